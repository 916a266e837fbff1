//! What users write: experiments and labs.
pub mod arm;
pub mod axis;
pub mod claim;
pub mod experiment;
pub mod mistake;
mod reader;
mod yaml;
