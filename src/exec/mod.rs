//! Running what is missing.
pub mod results;
