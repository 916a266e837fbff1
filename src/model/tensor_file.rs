//! Named tensors written to a safetensors file, one at a time.
//!
//! A tensor becomes bytes when it is written and not before, so a file of any size costs the memory of its largest tensor.
//! The same tensors give the same bytes: the format's order (type, then name) is the writer's, whatever order they come in.

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

/// Numbers of one tensor, row-major.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    U64(&'a [u64]),
}

/// A tensor as the format sees it.
struct Tensor<'a> {
    shape: &'a [usize],
    numbers: Numbers<'a>,
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::F32(_) => Dtype::F32,
            Numbers::U64(_) => Dtype::U64,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        match self.numbers {
            Numbers::F32(values) => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
            Numbers::U64(values) => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
        }
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        match self.numbers {
            Numbers::F32(values) => size_of_val(values),
            Numbers::U64(values) => size_of_val(values),
        }
    }
}

/// Writes tensors (name, shape, numbers) in place of what is at `path`.
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a [usize], Numbers<'a>)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<(), SafeTensorError> {
    // The format's writer makes a file that only its owner may read, and renames it; the folder's other readers count too.
    let permissions = File::create(path)?.metadata()?.permissions();
    let tensors = tensors.into_iter().map(|(name, shape, numbers)| (name, Tensor { shape, numbers }));
    safetensors::serialize_to_file(tensors, metadata, path)?;
    Ok(fs::set_permissions(path, permissions)?)
}
