//! The seam between the ledger and the bench: plain data, one trait.
//!
//! A bench is told what to make and where its inputs lie. It never learns which experiment, arm or key-value store asks;
//! the ledger never learns what a tensor is. Behind the same seam stands [`super::stub::StubBench`], which makes nothing.

use crate::cache::disk;
use crate::recipe::{Key, Recipe};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Makes artifacts.
pub trait Bench: Sync {
    /// Makes what `recipe` says into `ctx.out()`. An artifact has at least `curves.csv` (`benchmark,metric,step,value`) and
    /// `metrics.json` (name → number); weights lie in `model/`. Equal recipes give equal bytes.
    fn run(&self, recipe: &Recipe, ctx: &StageContext) -> Result<Outcome, StageError>;
}

/// How a stage ended without an error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    Finished,
    /// The numbers ran away before this step's update. What was written until then becomes the artifact.
    Diverged {
        step: u64,
        loss: f64,
    },
    /// Stopped on request; `scratch()` holds what the next attempt goes on from.
    Interrupted,
}

/// Why a stage failed, with its causes. Any error turns into one with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    pub message: String,
    /// The machine ran out of memory or disk: the state that the stage went on from is not to blame, and is kept.
    pub starved: bool,
}

impl StageError {
    pub fn new(message: impl Into<String>) -> StageError {
        StageError { message: message.into(), starved: false }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `StageError` itself is no `std::error::Error`, or this conversion could not exist.
impl<E: std::error::Error + 'static> From<E> for StageError {
    fn from(error: E) -> StageError {
        let mut message = error.to_string();
        let (mut advice, mut starved) = ("", false);
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = next {
            let text = error.to_string();
            // Some messages quote their cause already.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                advice = disk::advice(error);
                let lacking = [ErrorKind::OutOfMemory, ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
                starved |= lacking.contains(&error.kind());
            }
            next = error.source();
        }
        if !message.contains(advice) {
            message += advice;
        }
        StageError { message, starved }
    }
}

/// What a stage may know and say while it runs.
pub struct StageContext<'a> {
    inputs: BTreeMap<Key, PathBuf>,
    sources: &'a BTreeMap<Key, PathBuf>,
    out: PathBuf,
    scratch: PathBuf,
    threads: usize,
    stop: Stop,
    tell: Box<dyn Fn(Told<'_>) + Sync + 'a>,
}

/// What a stage said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told<'a> {
    Progress {
        done: u64,
        total: u64,
        note: &'a str,
    },
    /// Scratch now holds everything up to this step.
    Saved {
        step: u64,
    },
    /// Something that people should know and that changes no result.
    Warning {
        text: &'a str,
    },
    /// Where the wall-clock seconds of a step went.
    Phases {
        step: u64,
        seconds: &'a [(&'a str, f64)],
    },
}

static NO_SOURCES: BTreeMap<Key, PathBuf> = BTreeMap::new();

impl<'a> StageContext<'a> {
    /// A context outside a runner, as tests of stages need it: no inputs, nobody listens.
    pub fn new(out: &Path, scratch: &Path, threads: usize) -> StageContext<'a> {
        StageContext {
            inputs: BTreeMap::new(),
            sources: &NO_SOURCES,
            out: out.to_path_buf(),
            scratch: scratch.to_path_buf(),
            threads,
            stop: Stop::default(),
            tell: Box::new(|_| {}),
        }
    }

    pub fn with_input(mut self, key: Key, dir: &Path) -> StageContext<'a> {
        self.inputs.insert(key, dir.to_path_buf());
        self
    }

    pub fn with_sources(mut self, sources: &'a BTreeMap<Key, PathBuf>) -> StageContext<'a> {
        self.sources = sources;
        self
    }

    pub fn with_stop(mut self, stop: Stop) -> StageContext<'a> {
        self.stop = stop;
        self
    }

    pub fn with_listener(mut self, tell: impl Fn(Told<'_>) + Sync + 'a) -> StageContext<'a> {
        self.tell = Box::new(tell);
        self
    }

    /// The finished, verified artifact of an input. Panics if the recipe does not name that input.
    pub fn input(&self, key: &Key) -> &Path {
        self.inputs.get(key).unwrap_or_else(|| panic!("{key:?} is no input of this stage"))
    }

    /// Where outside data with this digest lies: a checkpoint folder, a data set, a tokenizer.
    pub fn source(&self, key: &Key) -> Option<&Path> {
        self.sources.get(key).map(PathBuf::as_path)
    }

    /// An empty private directory, which becomes the artifact.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// A directory that survives an interruption of this stage, and nothing else: step checkpoints.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Says that `done` of `total` steps (or items) are done.
    pub fn progress(&self, done: u64, total: u64, note: &str) {
        (self.tell)(Told::Progress { done, total, note });
    }

    /// Says that a next attempt would go on from `step`, which plans then show.
    pub fn saved(&self, step: u64) {
        (self.tell)(Told::Saved { step });
    }

    /// Something that people should know and that changes no result.
    pub fn warn(&self, text: &str) {
        (self.tell)(Told::Warning { text });
    }

    /// Says where the wall-clock seconds of a step went, by phase. Kept beside the results, never in an artifact: clocks
    /// don't repeat.
    pub fn phases(&self, step: u64, seconds: &[(&str, f64)]) {
        (self.tell)(Told::Phases { step, seconds });
    }

    /// Asked to stop: save into `scratch()` and return [`Outcome::Interrupted`].
    pub fn stop_requested(&self) -> bool {
        self.stop.requested()
    }
}

/// A request to stop, by a signal or a deadline. Clones share the request.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Stops by itself after a time.
    pub fn after(time: Duration) -> Stop {
        Stop { flag: Arc::default(), deadline: Instant::now().checked_add(time) }
    }

    pub fn request(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    pub fn requested(&self) -> bool {
        self.flag.load(Ordering::SeqCst) || self.out_of_time()
    }

    /// Whether its time is over, whoever else may have asked.
    pub fn out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to save the policy")]
        struct Outer(#[source] std::io::Error);
        let fails = || -> Result<(), StageError> { Err(Outer(std::io::Error::other("no more room")))? };
        assert_eq!(fails().unwrap_err().message, "failed to save the policy: no more room");
        let full = || -> Result<(), StageError> { Err(Outer(std::io::ErrorKind::StorageFull.into()))? };
        assert!(full().unwrap_err().message.contains("`ablate gc` drops"), "what to do about it is said too");
    }

    #[test]
    fn clones_of_a_stop_share_the_request() {
        let stop = Stop::default();
        let other = stop.clone();
        assert!(!other.requested());
        stop.request();
        assert!(other.requested());
        assert!(Stop::after(Duration::ZERO).requested());
    }
}
