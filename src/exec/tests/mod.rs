//! The runner's laws, with the stub bench in temporary directories.

mod company;
mod crash;
mod damage;
mod power_cut;
mod soak;
mod stale;
mod sweep;

use super::bench::Stop;
use super::event::{Event, Summary};
use super::prepare::{Setup, prepare};
use super::runner::run;
use super::stub::StubBench;
use crate::cache::{Check, Store};
use crate::plan::{Assessment, Caps, Freshness, StaleReason, TrialPlan, sample};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A folder with results and a store.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        // In memory where the system offers that: thousands of syncs take no time there, and a process that is killed loses
        // as little as on a disk.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Place { dir: dir.unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn results(&self) -> PathBuf {
        self.path().join("results").join("lab")
    }

    fn store(&self) -> Store {
        Store::create(&self.path().join(".store")).unwrap()
    }

    fn run(&self, trials: &[TrialPlan], bench: &StubBench) -> Summary {
        run_in(self.path(), trials, bench, |_| {})
    }

    /// Assesses without running: stage name to state, in graph order.
    fn states(&self, trials: &[TrialPlan]) -> Vec<(String, Assessment)> {
        let (store, results) = (self.store(), self.results());
        let prepared = prepare(&Setup::new(trials, &store, &results), Check::Bytes).unwrap();
        let names = prepared.graph.nodes.iter().map(|node| node.names[0].clone());
        names.zip(prepared.states).collect()
    }

    /// Why a stage would run.
    fn reason(&self, trials: &[TrialPlan], stage: &str) -> StaleReason {
        let states = self.states(trials);
        match states.iter().find(|(name, _)| name == stage).map(|(_, state)| state.freshness.clone()) {
            Some(Freshness::Run(reason)) => reason,
            other => panic!("{stage} is {other:?}"),
        }
    }

    /// The files that everybody reads.
    fn result_bytes(&self) -> BTreeMap<String, String> {
        let read = |name: &str| (name.to_string(), std::fs::read_to_string(self.results().join(name)).unwrap());
        BTreeMap::from([read("trials.jsonl"), read("curves.csv")])
    }

    /// Every byte of every artifact except records, which tell times.
    fn artifact_bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let objects = self.path().join(".store").join("objects");
        let mut all = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&objects) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() && entry.file_name() != "record.json" {
                let path = entry.path().strip_prefix(&objects).unwrap().to_path_buf();
                all.insert(path, std::fs::read(entry.path()).unwrap());
            }
        }
        all
    }
}

/// Runs in a folder with changes to the setup.
fn run_in(dir: &Path, trials: &[TrialPlan], bench: &StubBench, change: impl FnOnce(&mut Setup)) -> Summary {
    let (store, results) = (Store::create(&dir.join(".store")).unwrap(), dir.join("results").join("lab"));
    let mut setup = Setup::new(trials, &store, &results);
    change(&mut setup);
    run(&setup, Caps::default(), bench, &Stop::default(), &|_| {}).unwrap()
}

/// Two arms, two seeds: 3 shared stages, 1 corpus an arm, 3 stages a trial.
fn experiment() -> Vec<TrialPlan> {
    let mut trials = vec![];
    for (arm, level) in [("a", 1), ("b", 2)] {
        trials.extend((0..2).map(|seed| sample::trial(arm, level, seed)));
    }
    trials
}

const STAGES: usize = 3 + 2 + 4 * 3;

/// Collects events.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Heard {
    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}
