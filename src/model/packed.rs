//! Parameters, and the forms in which products of this engine read them.

use super::kernel::elementwise::round_bf16;
use super::kernel::gemm::Panels;
use super::kernel::rope::Rotation;
use super::layout::Layout;
use super::{ModelError, Params};
use crate::recipe::ModelShape;
use crate::recipe::train::Precision;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// Parameters, and the forms in which products read them.
pub struct Weights {
    pub params: Params,
    pub layout: Layout,
    pub packed: Vec<PackedLayer>,
    pub head: Panels,
    /// For the backward pass; made when the first gradient is asked for.
    backward: OnceLock<BackwardWeights>,
    rotations: [OnceLock<Rotation>; 12],
    shape: ModelShape,
    pub precision: Precision,
}

/// Weights of one layer as `x·Wᵀ` reads them; projections of the same input are one matrix.
#[derive(Default)]
pub struct PackedLayer {
    pub qkv: Panels,
    pub o: Panels,
    pub gate_up: Panels,
    pub down: Panels,
}

/// Weights of one layer as `dy·W` reads them.
#[derive(Default)]
pub struct BackwardLayer {
    pub qkv: Panels,
    pub o: Panels,
    pub gate_up: Panels,
    pub down: Panels,
}

#[derive(Default)]
pub struct BackwardWeights {
    pub layers: Vec<BackwardLayer>,
    pub head: Panels,
}

impl Weights {
    /// Computes in f32; refuses parameters whose names or shapes are not those of `shape`.
    pub fn new(shape: &ModelShape, params: Params) -> Result<Weights, ModelError> {
        let layout = Layout::new(shape, &params)?;
        let mut weights = Weights {
            params,
            layout,
            packed: (0..shape.layers).map(|_| PackedLayer::default()).collect(),
            head: Panels::default(),
            backward: OnceLock::new(),
            rotations: Default::default(),
            shape: shape.clone(),
            precision: Precision::F32,
        };
        weights.pack();
        Ok(weights)
    }

    /// Drops what only products of the host read.
    pub fn unpack(&mut self) {
        self.packed.clear();
        self.head = Panels::default();
        self.backward.take();
    }

    pub fn get(&self, range: &Range<usize>) -> &[f32] {
        &self.params.flat()[range.clone()]
    }

    /// A table of rotations for at least so many positions; made once for each power of two.
    pub fn rotation(&self, positions: usize) -> &Rotation {
        let power = positions.div_ceil(256).next_power_of_two().trailing_zeros() as usize;
        self.rotations[power].get_or_init(|| Rotation::new(&self.shape, 256 << power))
    }

    pub fn backward(&self) -> &BackwardWeights {
        self.backward.get_or_init(|| {
            let mut packed = BackwardWeights::default();
            self.pack_backward(&mut packed);
            packed
        })
    }

    /// Rounds what a product reads or has made, if the decoder computes in bf16.
    pub fn round(&self, values: &mut [f32]) {
        if self.precision == Precision::Bf16 {
            round_bf16(values);
        }
    }

    /// Brings the packed forms up to date.
    pub fn pack(&mut self) {
        let (d, q, ffn) = (self.shape.hidden, self.shape.q_width(), self.shape.ffn);
        let flat = operands(&self.params, self.precision);
        let at = |range: &Range<usize>| &flat[range.clone()];
        for (packed, layer) in self.packed.iter_mut().zip(&self.layout.layers) {
            packed.qkv.pack_transposed(&[at(&layer.q), at(&layer.k), at(&layer.v)], d);
            packed.o.pack_transposed(&[at(&layer.o)], q);
            packed.gate_up.pack_transposed(&[at(&layer.gate), at(&layer.up)], d);
            packed.down.pack_transposed(&[at(&layer.down)], ffn);
        }
        self.head.pack_transposed(&[at(&self.layout.head)], d);
        if let Some(mut packed) = self.backward.take() {
            self.pack_backward(&mut packed);
            self.backward = packed.into();
        }
    }

    fn pack_backward(&self, to: &mut BackwardWeights) {
        let (d, q, ffn) = (self.shape.hidden, self.shape.q_width(), self.shape.ffn);
        let flat = operands(&self.params, self.precision);
        let at = |range: &Range<usize>| &flat[range.clone()];
        to.layers.resize_with(self.layout.layers.len(), BackwardLayer::default);
        for (packed, layer) in to.layers.iter_mut().zip(&self.layout.layers) {
            packed.qkv.pack(&[at(&layer.q), at(&layer.k), at(&layer.v)], d);
            packed.o.pack(&[at(&layer.o)], q);
            packed.gate_up.pack(&[at(&layer.gate), at(&layer.up)], d);
            packed.down.pack(&[at(&layer.down)], ffn);
        }
        to.head.pack(&[at(&self.layout.head)], d);
    }
}

/// All parameters, as products read them.
fn operands(params: &Params, precision: Precision) -> Cow<'_, [f32]> {
    match precision {
        Precision::F32 => Cow::Borrowed(params.flat()),
        Precision::Bf16 => {
            let mut rounded = params.flat().to_vec();
            round_bf16(&mut rounded);
            Cow::Owned(rounded)
        }
    }
}
