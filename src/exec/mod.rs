//! Running what is missing.
//!
//! [`runner`] walks the missing stages of a plan and hands each to a [`Bench`]; [`results`] are what remains of it. The same
//! [`prepare()`] answers `plan`, `explain` and `run`, so they cannot disagree.
//!
//! Deliberately absent: a queue, a daemon, a job database. The set of stages to make is derived from the experiment file,
//! their state from the store; `run` does what is missing and can be stopped and repeated at any moment.
pub mod bench;
pub mod collect;
pub mod event;
pub mod import;
pub mod prepare;
pub mod recompute;
pub mod results;
pub mod runner;
pub mod stage;
pub mod stub;
pub mod writer;

#[cfg(test)]
mod tests;

pub use bench::{Bench, Outcome, StageContext, StageError, Stop};
pub use event::{Event, StageName, Summary, Work};
pub use prepare::{PrepareError, Prepared, Setup, prepare};
pub use recompute::{Recomputed, recompute};
pub use runner::run;
