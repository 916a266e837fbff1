//! Reinforcement learning with verifiable rewards, as identity.

use super::eval::EvalProtocol;
use super::key::Key;
use super::optimizer::AdamW;
use super::seed::Seed;
use super::template::Template;
use super::units::Steps;
use super::world::ProblemSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One RL run from one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RlRecipe {
    pub policy: Key,
    pub prompts: Prompts,
    pub template: Template,
    /// Rollout steps.
    pub steps: Steps,
    /// Prompts of one rollout step.
    pub prompts_per_step: usize,
    /// Responses to each prompt.
    pub group_size: usize,
    /// Optimizer updates per rollout step; each sees an equal part of the prompts once.
    pub updates_per_step: usize,
    pub temperature: f64,
    /// Longest response in tokens from a rollout step on; the first entry is at step 0.
    pub max_response: Vec<LengthStep>,
    pub objective: Objective,
    pub reward: Reward,
    pub optimizer: AdamW,
    /// Linear warm-up of the learning rate in rollout steps, constant afterwards.
    pub warmup: Steps,
    pub max_grad_norm: f64,
    /// Evaluate before the first step, then every so many, and after the last.
    pub eval_every: Steps,
    pub eval: EvalProtocol,
    pub seed: Seed,
}

/// Where prompts come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prompts {
    World(ProblemSet),
    /// Questions with gold answers, identified by content. Each epoch reads them in an order of its own.
    Dataset {
        content: Key,
        /// Questions whose prompt is longer than this are left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_prompt_tokens: Option<usize>,
    },
}

/// From this rollout step on, responses may have this many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthStep {
    pub from: Steps,
    pub max_tokens: usize,
}

/// The policy objective with its own constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    pub advantage: Advantage,
    pub aggregation: Aggregation,
    /// The ratio is clipped to `[1 - clip_low, 1 + clip_high]`.
    pub clip_low: f64,
    pub clip_high: f64,
    /// Lower bound for negative advantages (dual clip); off if absent.
    pub dual_clip: Option<f64>,
}

/// How a group's rewards become advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Advantage {
    /// `(r - mean) / (std + 1e-6)`, unbiased std (GRPO, DeepSeekMath §4.1; verl `compute_grpo_outcome_advantage`).
    Grpo,
    /// `r - mean` (Dr. GRPO, arXiv 2503.20783).
    DrGrpo,
    /// `r - mean of the others` (RLOO, arXiv 2402.14740).
    Rloo,
}

/// How per-token losses become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Sum over all response tokens of the mini-batch, divided by their number.
    TokenMean,
    /// Sum over tokens of each response, then the mean over responses.
    SeqMeanTokenSum,
    /// Mean over tokens of each response, then the mean over responses.
    SeqMeanTokenMean,
    /// Sum over tokens of each response, divided by the longest possible response, then the mean over responses.
    SeqMeanTokenSumNorm,
}

/// What a response earns. "No answer" is told apart from "wrong" in every metric, whatever they earn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    pub correct: f64,
    pub wrong: f64,
    pub no_answer: f64,
    /// The verifier gave up within its budget.
    pub gave_up: f64,
}

impl RlRecipe {
    /// The longest response that a rollout step allows.
    pub fn max_response_at(&self, step: u64) -> usize {
        let reached = self.max_response.iter().rev().find(|entry| entry.from.0 <= step);
        reached.expect("a length schedule starts at step 0").max_tokens
    }
}
