//! Language-model training: optimizers, clipping, and the loop of one phase.
//!
//! A phase is a pure function of its recipe, its first weights and its corpora: the same bits on one thread or eight,
//! in one go or interrupted and resumed.

mod adamw;
pub mod clip;
pub mod held_out;
mod muon;
pub mod optimizer;
pub mod snapshot;
pub mod trainer;

pub use clip::clip;
pub use optimizer::OptimizerState;
pub use snapshot::SnapshotError;
pub use trainer::{StepError, StepMetrics, TrainError, Trainer};
