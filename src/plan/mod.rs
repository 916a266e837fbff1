//! What must be made, in which order, why, and what it costs.
pub mod trial;

pub use trial::{PlannedStage, TrialPlan};
