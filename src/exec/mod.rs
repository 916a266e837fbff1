//! Running what is missing.
pub mod import;
pub mod results;
