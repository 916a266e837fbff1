//! The decoder and what it is asked for.

use super::{ModelError, Params};
use crate::recipe::{ModelShape, Seed};
use std::ops::Range;

/// Marks a position of [`Batch::targets`] whose score nobody needs, such as a prompt's: no logits are computed there.
pub const NO_TARGET: u32 = u32::MAX;

/// `N` tokens in a row, cut into segments. Positions and attention start anew at each segment.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub ids: &'a [u32],
    /// What position `i` is scored on, given its segment up to and including `ids[i]`: usually `ids[i + 1]`, or [`NO_TARGET`].
    pub targets: &'a [u32],
    /// Where segments start, and `N` at the end: first 0, ascending, one more entry than there are segments.
    pub starts: &'a [usize],
}

/// What the model says of a batch; both `[N]`, in nats, 0 at positions without a target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenScores {
    /// Log-probability of `targets[i]`.
    pub logprob: Vec<f32>,
    /// Entropy of the distribution that `targets[i]` was scored with.
    pub entropy: Vec<f32>,
}

/// A decoder with its weights.
pub struct Decoder {
    shape: ModelShape,
    params: Params,
}

impl Decoder {
    /// Wraps weights; refuses parameters whose names or shapes are not those of `shape`.
    pub fn new(shape: ModelShape, params: Params) -> Result<Decoder, ModelError> {
        Ok(Decoder { shape, params })
    }

    /// Embeddings N(0, `embedding_std`); matrices N(0, `matrix_std`), those that write to the residual stream divided
    /// by √(2·layers); norm gains 1; biases 0. Drawn from the stream `init` of `seed`, addressed by parameter.
    pub fn random(_shape: ModelShape, _embedding_std: f64, _matrix_std: f64, _seed: Seed) -> Decoder {
        todo!()
    }

    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Changes the weights.
    pub fn update(&mut self, f: impl FnOnce(&mut Params)) {
        f(&mut self.params)
    }

    /// Logits of every position, `[N, vocab]`.
    pub fn logits(&self, _ids: &[u32], _starts: &[usize]) -> Vec<f32> {
        todo!()
    }

    /// Log-probabilities and entropies. Independent, bit for bit, of `threads` and of what else is in the batch.
    pub fn scores(&self, _batch: Batch, _threads: usize) -> TokenScores {
        todo!()
    }

    /// One forward and backward pass. `objective(range, logprob, dlogprob)` is given the log-probabilities of the
    /// positions `range` of the batch and writes the derivative of the loss by each of them (0: not in the loss).
    ///
    /// Ranges are of any size and may cut a segment; each position is in exactly one. Adds the gradient to `grads`.
    /// Bitwise independent of `threads`.
    pub fn gradient(
        &self,
        _batch: Batch,
        _threads: usize,
        _objective: &(dyn Fn(Range<usize>, &[f32], &mut [f32]) + Sync),
        _grads: &mut Params,
    ) -> TokenScores {
        todo!()
    }
}
