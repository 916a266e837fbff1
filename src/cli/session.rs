//! What most verbs start from: the experiment and the lab, read and lowered, with the store beside the results.

use super::args::Selection;
use super::failure::Failure;
use crate::cache::Store;
use crate::exec::Setup;
use crate::plan::{TrialPlan, lower};
use crate::recipe::{Backend, Key};
use crate::spec::experiment::Experiment;
use crate::spec::lab::{Lab, LabError};
use crate::spec::mistake::Source;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// An experiment in a lab, lowered, and which of its trials were asked for.
pub struct Session {
    pub experiment: Experiment,
    pub lab: Lab,
    /// Every trial of the experiment, in the order of results.
    pub trials: Vec<TrialPlan>,
    /// Indices of those asked for by `--only`.
    pub selected: BTreeSet<usize>,
    pub store: Store,
    /// `results/<experiment>/<lab>`.
    pub results: PathBuf,
}

impl Session {
    /// Reads and checks everything; nothing is written.
    pub fn open(selection: &Selection) -> Result<Session, Failure> {
        let experiment = read_experiment(&selection.experiment)?;
        let lab = read_lab(&selection.lab)?;
        let seeds = lower::seeds(&experiment, &lab, selection.seeds);
        if seeds.is_empty() {
            return Err(Failure::usage("--seeds 0 leaves nothing to run"));
        }
        let trials = lower(&experiment, &lab, &seeds, Backend::Cpu).map_err(Failure::usage)?;
        let mut kept = experiment.clone();
        kept.keep_only(&pairs(&selection.only)?).map_err(Failure::usage)?;
        let kept: HashSet<&str> = kept.arms.iter().map(|arm| arm.id.as_str()).collect();
        let selected = trials.iter().enumerate().filter(|(_, trial)| kept.contains(trial.arm.as_str()));
        let selected = selected.map(|(index, _)| index).collect();
        let store = Store::at(&selection.results.join(".store"))?;
        let results = selection.results.join(&experiment.name).join(&lab.name);
        Ok(Session { experiment, lab, trials, selected, store, results })
    }

    /// What the runner and the planner need; one stage at a time on one thread unless changed.
    pub fn setup(&self) -> Setup<'_> {
        let mut setup = Setup::new(&self.trials, &self.store, &self.results);
        setup.selected = self.selected.clone();
        setup.sources = self.sources();
        setup
    }

    fn sources(&self) -> BTreeMap<Key, PathBuf> {
        self.lab.places.clone()
    }
}

pub fn read_experiment(path: &Path) -> Result<Experiment, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("failed to read {}: {error}", path.display()))
            .hint("an experiment is a YAML file, such as experiments/corpus.yaml")
    })?;
    Experiment::parse(&Source::new(path.display().to_string(), text)).map_err(Failure::usage)
}

pub fn read_lab(name: &str) -> Result<Lab, Failure> {
    Lab::load(name).map_err(|error: LabError| Failure::usage(error))
}

/// `axis=level` pairs.
pub fn pairs(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((axis, level)) => Ok((axis.trim().to_string(), level.trim().to_string())),
        None => Err(Failure::usage(format!("`{text}` is not of the form axis=level"))),
    };
    texts.iter().map(split).collect()
}
