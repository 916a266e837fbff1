//! Parameters: one flat buffer with named views, sorted by name.
//!
//! Names are those of Hugging Face checkpoints, so that saving and loading need no table. Sorted, because a sum over all
//! parameters (the global gradient norm) must always run in the same order.

/// One tensor of the model. A vector (norm gain, bias) has one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamInfo {
    pub name: String,
    /// `[rows, cols]` for a matrix (`[out, in]` for a projection, `[vocab, hidden]` for embeddings), `[n]` for a vector.
    pub shape: Vec<usize>,
    /// Where the tensor starts in the flat buffer.
    pub offset: usize,
}

impl ParamInfo {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2
    }
}

/// Named tensors in one flat buffer; also used for gradients and optimizer moments, which have the same layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    infos: Vec<ParamInfo>,
    data: Vec<f32>,
}

impl Params {
    /// Zeros for the given names and shapes, in any order.
    ///
    /// Panics if a name occurs twice.
    pub fn zeros(mut tensors: Vec<(String, Vec<usize>)>) -> Params {
        tensors.sort();
        let mut infos = Vec::with_capacity(tensors.len());
        let mut offset = 0;
        for (name, shape) in tensors {
            assert!(infos.last().is_none_or(|last: &ParamInfo| last.name != name), "parameter {name} occurs twice");
            let info = ParamInfo { name, shape, offset };
            offset += info.len();
            infos.push(info);
        }
        Params { infos, data: vec![0.0; offset] }
    }

    /// Zeros with the layout of another set.
    pub fn zeros_like(other: &Params) -> Params {
        Params { infos: other.infos.clone(), data: vec![0.0; other.data.len()] }
    }

    pub fn infos(&self) -> &[ParamInfo] {
        &self.infos
    }

    /// All values, tensor after tensor.
    pub fn flat(&self) -> &[f32] {
        &self.data
    }

    pub fn flat_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The tensor of that name, row-major.
    ///
    /// Panics if there is none: names are fixed by the model's shape.
    pub fn get(&self, name: &str) -> &[f32] {
        let info = self.info(name);
        &self.data[info.offset..info.offset + info.len()]
    }

    pub fn get_mut(&mut self, name: &str) -> &mut [f32] {
        let info = self.info(name);
        let range = info.offset..info.offset + info.len();
        &mut self.data[range]
    }

    pub fn info(&self, name: &str) -> &ParamInfo {
        match self.infos.binary_search_by(|info| info.name.as_str().cmp(name)) {
            Ok(index) => &self.infos[index],
            Err(_) => panic!("the model has no parameter named {name}"),
        }
    }
}
