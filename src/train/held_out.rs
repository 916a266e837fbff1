//! The loss on text that no step trains on: the number that tells learning from remembering.

use crate::data::Shards;
use crate::model::{Batch, Decoder, DeviceError};
use crate::recipe::train::Boundary;
use crate::recipe::{HeldOut, Tokens, TrainRecipe};

/// A corpus that can't be measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("failed to hold out {asked} tokens in rows of {row_tokens}: the corpus has {held}; ask for less")]
pub struct TooSmall {
    asked: Tokens,
    held: Tokens,
    row_tokens: usize,
}

/// The first rows of a corpus, packed as training packs them.
#[derive(Debug)]
pub struct HeldOutRows {
    ids: Vec<u32>,
    targets: Vec<u32>,
    starts: Vec<usize>,
}

impl HeldOutRows {
    /// Whole rows: as many as `held_out.tokens` fill, at least one.
    pub fn new(corpus: &Shards, held_out: &HeldOut, recipe: &TrainRecipe) -> Result<HeldOutRows, TooSmall> {
        let row_tokens = recipe.row_tokens;
        let rows = (held_out.tokens.0 as usize / row_tokens).max(1);
        let count = rows * row_tokens;
        if corpus.len() <= count as u64 {
            return Err(TooSmall { asked: Tokens(count as u64), held: Tokens(corpus.len()), row_tokens });
        }
        let mut starts: Vec<usize> = (0..=count).step_by(row_tokens).collect();
        if recipe.boundary == Boundary::Document {
            starts.extend(corpus.starts_within(0, count as u64).map(|at| at as usize));
            starts.sort_unstable();
            starts.dedup();
        }
        Ok(HeldOutRows { ids: corpus.ids(0, count).collect(), targets: corpus.ids(1, count).collect(), starts })
    }

    /// Mean -log-probability a token, in nats.
    pub fn loss(&self, decoder: &Decoder, threads: usize) -> Result<f64, DeviceError> {
        let batch = Batch { ids: &self.ids, targets: &self.targets, starts: &self.starts };
        let scores = decoder.scores(batch, threads)?;
        Ok(-scores.logprob.iter().map(|logprob| f64::from(*logprob)).sum::<f64>() / self.ids.len() as f64)
    }
}
