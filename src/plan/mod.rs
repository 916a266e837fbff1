//! What must be made, in which order, why, and what it costs.
//!
//! Trials (lowered by their experiment) → [`graph`] merges equal keys → [`freshness`] asks the store about each →
//! [`cost`] prices what is missing. Nothing here starts anything or writes to disk, except that [`calibration`] keeps the speeds
//! that a runner measured.

pub mod calibration;
pub mod cost;
pub mod freshness;
pub mod graph;
pub mod lower;
pub mod memory;
pub mod outside;
pub mod trial;

#[cfg(test)]
pub(crate) mod sample;

pub use calibration::{Calibration, Machine};
pub use cost::{Caps, Cost, Known, TooExpensive};
pub use freshness::{Assessment, Change, Freshness, History, Question, StaleReason, assess};
pub use graph::{Graph, GraphError, Node};
pub use lower::{lower, lower_with};
pub use outside::Outside;
pub use trial::{PlannedStage, TrialPlan};

#[cfg(test)]
mod lower_tests;
