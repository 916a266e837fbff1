//! One question with its gold answer.

use serde::{Deserialize, Serialize};

/// What is asked and what is right. The same for generated problems and for benchmark items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Names the item within its benchmark, so that outcomes of two models can be paired.
    pub id: String,
    /// The bare question, without instruction or examples.
    pub question: String,
    /// The right answer as its source writes it.
    pub gold: String,
}
