//! What one trial consists of: its stages, each with its recipe and key.

use crate::recipe::{Key, Recipe, Seed};

/// One arm under one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialPlan {
    pub arm: String,
    pub levels: Vec<(String, String)>,
    pub seed: Seed,
    /// In dependency order: a stage's inputs stand before it.
    pub stages: Vec<PlannedStage>,
}

/// One stage of a trial. Equal keys of different trials are the same work.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStage {
    /// `corpus:<name>`, `base`, a phase's name, `eval:<stage>` or `rl`.
    pub name: String,
    pub recipe: Recipe,
    pub key: Key,
}
