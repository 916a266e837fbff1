//! Evaluation, as identity.

use super::key::Key;
use super::seed::Seed;
use super::template::Template;
use super::world::ProblemSet;
use serde::{Deserialize, Serialize};

/// One model under one protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRecipe {
    pub model: Key,
    pub protocol: EvalProtocol,
}

/// What is asked and how answers are drawn. Every benchmark is answered greedily once and, if `samples` is not 0, that
/// many times at `temperature`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalProtocol {
    pub benchmarks: Vec<Benchmark>,
    pub template: Template,
    pub max_new_tokens: usize,
    pub samples: usize,
    pub temperature: f64,
    /// `pass@k` for these k, each at most `samples`.
    pub pass_at: Vec<usize>,
    /// Addresses the sampling; the same for every arm, so that arms answer the same draws.
    pub seed: Seed,
}

/// A named set of questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// The name under which curves report it. It is in the key because the stage writes it into its results.
    pub name: String,
    pub items: Items,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Items {
    /// The first `count` problems of a set.
    World { problems: ProblemSet, count: usize },
    /// Questions with gold answers, identified by content: the first `limit` of them, or all.
    Dataset {
        content: Key,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
}
