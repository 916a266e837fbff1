//! The generated maths world, as identity. The generator itself is in `data::world`.
//!
//! A problem tells how many things someone has, changes that number `k` times, and asks for the result; `k` is its
//! difficulty. Questions whose hash falls into the held-out share are only ever used for evaluation: no corpus and no RL
//! prompt contains them.

use serde::{Deserialize, Serialize};

/// The rules of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Numbers are `0..=max_number`, one token each.
    pub max_number: u8,
    /// Largest single change.
    pub max_change: u8,
    /// Changes that one event holds. With 1, an event is one sentence and one hop of arithmetic. With more, one hop over
    /// all of them is hard and step-by-step arithmetic is easy, which gives long chain-of-thought something to do.
    pub changes_per_event: u8,
    /// Probability that a change doubles the number instead. Sums and differences of an event may be taken in any order,
    /// hence all at once; doubles among them may not.
    pub doubles: f64,
    /// Relative frequency of difficulty 1, 2, … in every maths corpus.
    pub corpus_difficulty: Vec<f64>,
}

/// Words of the generated documents, besides numbers, `<eos>` and `<pad>`. `data::world` holds the words themselves and a
/// test there that this is their number; it is here because a model's shape is identity and needs it.
pub const WORDS: usize = 165;

impl World {
    /// Size of the vocabulary: `<eos>`, `<pad>`, the numbers, the words.
    pub fn vocab(&self) -> usize {
        2 + self.max_number as usize + 1 + WORDS
    }
}

/// A stream of problems with a mix of difficulties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProblemSet {
    pub world: World,
    /// Relative frequency of difficulty 1, 2, ….
    pub difficulty: Vec<f64>,
    /// `Training` draws from the questions that are not held out, `HeldOut` from those that are.
    pub split: Split,
    /// Which of the many sets of this kind: part of the random address.
    pub stream: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    Training,
    HeldOut,
}
