//! Sampling.

use super::Decoder;
use crate::recipe::Rng;

/// A prompt, prefilled once and shared by its samples.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// At least one token.
    pub ids: Vec<u32>,
    pub samples: usize,
}

#[derive(Debug, Clone)]
pub struct Sampling {
    /// Logits are divided by this; 0 is greedy (the first of equal maxima).
    pub temperature: f32,
    /// Longest completion in tokens, the end token included.
    pub max_new: usize,
    pub eos: u32,
    /// Tokens that are never drawn.
    pub banned: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The end token was drawn.
    Eos,
    /// The longest length was reached.
    Length,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// New tokens, the end token included if it was drawn.
    pub tokens: Vec<u32>,
    /// Of the model itself at temperature 1 with nothing banned; bitwise equal to [`Decoder::scores`].
    pub logprobs: Vec<f32>,
    pub entropy: Vec<f32>,
    pub stop: StopReason,
}

/// Draws `samples` completions of each prompt, in the order of prompts and samples.
///
/// `draw(prompt, sample)` gives each completion its own generator, of which every token takes one `f32`. Bitwise
/// independent of `threads` and of the other prompts.
pub fn generate(
    _decoder: &Decoder,
    _prompts: &[Prompt],
    _sampling: &Sampling,
    _draw: &(dyn Fn(usize, usize) -> Rng + Sync),
    _threads: usize,
) -> Vec<Vec<Completion>> {
    todo!()
}
