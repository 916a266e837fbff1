//! What users write: experiments and labs.
pub mod arm;
pub mod axis;
pub mod bind;
pub mod claim;
pub mod experiment;
pub mod lab;
#[cfg(test)]
mod messages;
pub mod mistake;
pub mod name;
mod reader;
pub mod settings;
#[cfg(test)]
mod tests;
mod yaml;
