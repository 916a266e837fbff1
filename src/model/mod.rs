//! (in progress)
pub mod params;
pub use params::{ParamInfo, Params};
