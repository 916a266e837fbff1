//! Which items of benchmarks occur in a text, as identity.

use super::corpus::{BadLines, Render};
use super::key::Key;
use serde::{Deserialize, Serialize};

/// Words in a row that count as an occurrence, as in the GPT-3 paper.
pub const WORDS: usize = 13;

/// One text against some benchmarks. No tokenizer: words are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContaminationRecipe {
    /// The text, as a corpus of it has it.
    pub content: Key,
    pub render: Render,
    pub bad_lines: BadLines,
    pub benchmarks: Vec<Probed>,
    /// Words in a row that count as an occurrence.
    pub words: usize,
}

/// A benchmark that is looked for. Its name is in the key because the stage writes it into its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    pub name: String,
    /// Its file.
    pub content: Key,
}
