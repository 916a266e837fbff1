//! A trial lowered to recipes: what the graph is made of.
//!
//! Lowering an experiment into these is `spec`'s and `plan::lower`'s work; from here on nobody knows about YAML.

use crate::recipe::{Key, Recipe, Seed};
use std::sync::Arc;

/// One arm under one seed, as a chain of stages.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialPlan {
    pub arm: String,
    /// Axis and level, in the order of the experiment file.
    pub levels: Vec<(String, String)>,
    pub seed: Seed,
    /// In dependency order: a stage stands after its inputs.
    pub stages: Vec<PlannedStage>,
}

/// One stage of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStage {
    /// `corpus:<name>`, `base`, a mid-training phase's name, `eval:<stage>`, `rl`. A name is no identity.
    pub name: String,
    pub recipe: Arc<Recipe>,
    pub key: Key,
}
