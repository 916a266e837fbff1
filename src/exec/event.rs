//! What happens during a run, as it happens. The runner tells, listeners show; nothing is decided by an event.

use super::results::Outcome;
use crate::cache::Holder;
use crate::recipe::{Key, Kind};

/// One thing that happened. Listeners are called from worker threads, one call at a time per thread.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event: what there is to do.
    Planned {
        hits: usize,
        resumed: usize,
        to_run: usize,
        trials: usize,
        expected: Work,
    },
    StageStarted {
        stage: StageName,
        why: String,
        resumes_at: Option<u64>,
    },
    StageProgress {
        stage: StageName,
        done: u64,
        total: u64,
        note: String,
        work: Work,
    },
    /// Something that people should know and that changes no result: a damaged artifact or state was set aside.
    StageWarning {
        stage: StageName,
        text: String,
    },
    StageFinished {
        stage: StageName,
        seconds: f64,
        work: Work,
    },
    /// The numbers ran away; what there is has been kept, and what depends on it is not run.
    StageDiverged {
        stage: StageName,
        step: u64,
        loss: f64,
        work: Work,
    },
    StageFailed {
        stage: StageName,
        message: String,
        work: Work,
    },
    /// Another runner made it meanwhile.
    StageHit {
        stage: StageName,
        work: Work,
    },
    /// Another runner is making it; told once per stage.
    StageWaits {
        stage: StageName,
        holder: Option<Holder>,
    },
    /// Stopped on request; the next run goes on from `step`.
    StageInterrupted {
        stage: StageName,
        step: u64,
    },
    /// Not run because of what happened to its inputs.
    StageNotRun {
        stage: StageName,
        because: String,
        work: Work,
    },
    TrialFinished {
        arm: String,
        seed: u64,
        outcome: Outcome,
        done: usize,
        total: usize,
    },
    /// Something about the whole run that people should know.
    Note {
        text: String,
    },
    /// The results could not be written; the run goes on and tries again.
    ResultsNotWritten {
        message: String,
    },
    /// The last event.
    RunFinished {
        summary: Summary,
    },
}

/// What people call a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageName {
    pub key: Key,
    pub kind: Kind,
    pub name: String,
    /// The first trial that wants it.
    pub arm: String,
    pub seed: u64,
    /// How many trials want it.
    pub trials: usize,
}

/// How far the run is, in seconds of work.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    pub done: f64,
    pub total: f64,
    /// Seconds until the end, at the speed so far.
    pub eta: f64,
}

/// The plan's own guess of the speed counts as much as this share of the run: the first stages are cheap ones, whose prices
/// can be wrong by a factor of twenty, and would promise the end of a long run within minutes.
const GUESSED: f64 = 0.02;

impl Work {
    /// `done` of `total` seconds of work, of which `inherited` is what earlier runs had done and says nothing of the speed
    /// of this one. `elapsed` is wall seconds, in which `jobs` stages ran at once.
    pub fn new(done: f64, total: f64, inherited: f64, elapsed: f64, jobs: usize) -> Work {
        let guessed = (GUESSED * (total - inherited)).max(f64::MIN_POSITIVE);
        let wall_per_work = (elapsed + guessed / jobs.max(1) as f64) / (done - inherited + guessed);
        Work { done, total, eta: (total - done) * wall_per_work }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Stages whose artifacts were there, or were made by another runner meanwhile.
    pub hits: usize,
    /// Stages made by this run, diverged ones included.
    pub made: usize,
    pub diverged: Vec<StageName>,
    pub failed: Vec<(StageName, String)>,
    /// Why the results files are not what they should be, if the last attempt to write them failed.
    pub not_written: Option<String>,
    /// What was damaged and has been made anew, in words.
    pub notes: Vec<String>,
    /// Stages left out because an input failed or diverged.
    pub not_run: usize,
    /// Stages still to do, because the run was stopped.
    pub left: usize,
    pub trials_finished: usize,
    pub trials_diverged: usize,
    pub trials_failed: usize,
    pub trials_left: usize,
    /// Stopped on request before everything was done.
    pub interrupted: bool,
    /// Wall seconds.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_starts_at_the_plans_and_ends_at_the_speed_of_this_run() {
        let left = |done, inherited, elapsed, jobs| Work::new(done, 10_000.0, inherited, elapsed, jobs).eta;
        assert_eq!((left(0.0, 0.0, 0.0, 1), left(0.0, 0.0, 0.0, 2)), (10_000.0, 5_000.0));
        let after_corpora = left(24.0, 0.0, 1.0, 2);
        assert!(
            (4_000.0..5_000.0).contains(&after_corpora),
            "corpora were 24 times as fast as their price: {after_corpora}"
        );
        let halfway = left(5_000.0, 0.0, 10_000.0, 2);
        assert!((9_000.0..10_000.0).contains(&halfway), "four times as slow as the plan: {halfway}");
        assert_eq!(
            left(6_000.0, 6_000.0, 0.0, 1),
            4_000.0,
            "what an earlier run had done says nothing of this one's speed"
        );
        assert_eq!(Work::new(0.0, 0.0, 0.0, 3.0, 2).eta, 0.0);
    }
}
