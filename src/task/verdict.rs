//! The four things a check of an answer can say.
//!
//! `GaveUp` is apart from `Wrong` so that a checker that runs into its own limits is visible in a table, and cannot
//! pass for a model that fails.

use serde::{Deserialize, Serialize};

/// The outcome of checking one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The answer equals the gold answer.
    Correct,
    /// It differs, or cannot be read as an answer at all.
    Wrong,
    /// There is no answer to check.
    NoAnswer,
    /// A stated budget ran out, or the precision did not decide.
    GaveUp,
}

impl Verdict {
    /// The name used in records.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Correct => "correct",
            Verdict::Wrong => "wrong",
            Verdict::NoAnswer => "no-answer",
            Verdict::GaveUp => "gave-up",
        }
    }
}
