//! `ablate`: which mid-training data makes a base model good at RL?

pub mod recipe;

// The ledger: decides what must be made and whether the result means anything. No tensors.
pub mod cache;
pub mod exec;
pub mod plan;
pub mod report;
pub mod spec;
pub mod verdict;

// The bench: makes it. Has never heard of an experiment.
pub mod data;
#[cfg(feature = "engine")]
pub mod eval;
#[cfg(feature = "engine")]
pub mod model;
#[cfg(feature = "engine")]
pub mod rl;
pub mod task;
#[cfg(feature = "engine")]
pub mod train;

// The only room where both meet.
#[cfg(feature = "engine")]
pub mod stages;

pub mod cli;
