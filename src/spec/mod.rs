//! What people write: experiment files in the paper's language, and labs that bind its names to things that exist.
//!
//! `load` turns a file into an [`Experiment`] or a [`Lab`], or into every [`Mistakes`] it holds, each with line, column
//! and a way out. Both are valid by construction; nothing downstream checks again. What one file alone can't know (whether
//! a lab binds a name, whether a corpus is large enough) is checked by [`crate::plan::lower()`], with places as well.
//!
//! | file | holds |
//! |---|---|
//! | `yaml` | text → a tree with places; anchors, merge keys, limits; how an overlay is laid over a base |
//! | `reader` | tree → numbers, amounts, names, maps |
//! | `mistake` | places, mistakes, how they print, "did you mean" |
//! | `arm` `axis` `claim` `experiment` | the experiment file |
//! | `bind` `place` `settings` `lab` | the lab file |
//! | `schema` | JSON Schemas for editors |
//!
//! Deliberately absent: expressions, templating, environment variables, includes. A file says what it says.

pub mod arm;
pub mod axis;
pub mod bind;
pub mod claim;
pub mod experiment;
pub mod lab;
pub mod mistake;
pub mod name;
pub mod place;
mod reader;
pub mod schema;
pub mod settings;
mod yaml;

pub use arm::{Arm, ArmId, ArmSpec, Phase, RlSpec};
pub use axis::{Axis, Level};
pub use claim::{Claim, Direction, Metric, PaperClaim, Side};
pub use experiment::{Experiment, Paper, Trial};
pub use lab::{Lab, LabError};
pub use mistake::{Mistake, Mistakes, Source};
pub use name::Name;

use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("failed to read the experiment {path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// Prints as one report after another, each beginning with `error:`.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// Reads an experiment file.
pub fn load(path: &Path) -> Result<Experiment, LoadError> {
    let name = path.display().to_string();
    let text = crate::text::read(path).map_err(|source| LoadError::Read { path: name.clone(), source })?;
    Ok(Experiment::parse(&Source::new(name, text))?)
}

#[cfg(test)]
mod messages;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
