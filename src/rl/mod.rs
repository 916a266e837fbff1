//! Reinforcement learning with verifiable rewards: GRPO and its relatives.
//!
//! `trainer` is the loop; each of its steps has a file of its own: `rollout` samples, `reward` pays, `advantage` compares
//! within a group, `objective` turns that into a loss and its derivative.

pub mod advantage;
pub mod metrics;
pub mod objective;
pub mod reward;
pub mod rollout;
pub mod trainer;

#[cfg(test)]
mod tests;

pub use metrics::{PhaseSeconds, RlMetrics};
pub use rollout::{Rollout, RolloutGroup};
pub use trainer::{RlError, RlTrainer};
