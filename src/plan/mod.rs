//! Arms → stages: what must be made, and in which order.

pub mod lower;
pub mod trial;

pub use lower::lower;
pub use trial::{PlannedStage, TrialPlan};

#[cfg(test)]
mod lower_tests;
