//! What most verbs start from: the experiment and the lab, read and lowered, with the store beside the results.

use super::args::Selection;
use super::failure::Failure;
use super::folder;
use crate::cache::{Digests, Store};
use crate::exec::Setup;
use crate::exec::results::read_trials;
use crate::plan::{Known, Outside, TrialPlan, lower, lower_with};
use crate::recipe::{Backend, CheckpointRecipe, Key, Recipe, Seed};
use crate::spec::bind::Family;
use crate::spec::experiment::{Experiment, MOST_SEEDS};
use crate::spec::lab::{Lab, LabError};
use crate::spec::mistake::{Mistakes, Source};
use crate::text;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An experiment in a lab, lowered, and which of its trials were asked for.
pub struct Session {
    pub experiment: Experiment,
    pub lab: Lab,
    /// What its stages compute on.
    pub backend: Backend,
    /// Every trial of the experiment under the seeds asked for, and those of other seeds whose results still hold, in the
    /// order of results.
    pub trials: Vec<TrialPlan>,
    /// Indices of those asked for by `--only` and `--seeds`.
    pub selected: BTreeSet<usize>,
    pub store: Store,
    /// `results/<experiment>/<lab>`.
    pub results: PathBuf,
    /// What is known about data outside.
    outside: Outside,
    /// Where it lies.
    sources: BTreeMap<Key, PathBuf>,
    /// Data outside that is not where the lab says. A run can't start with any; everything else can.
    pub absent: Mistakes,
    /// Digests that a run keeps, so that the next one need not read the data again.
    #[cfg_attr(not(feature = "engine"), allow(dead_code))]
    pub digests: Digests,
}

impl Session {
    /// Reads and checks everything; nothing is written.
    pub fn open(selection: &Selection) -> Result<Session, Failure> {
        Session::new(selection, false)
    }

    /// As [`Session::open`], and fetches models of the Hub that a run needs.
    #[cfg(feature = "engine")]
    pub fn open_to_run(selection: &Selection) -> Result<Session, Failure> {
        Session::new(selection, true)
    }

    fn new(selection: &Selection, fetch: bool) -> Result<Session, Failure> {
        let experiment = read_experiment(&selection.experiment)?;
        let lab = read_lab(&selection.lab)?;
        match selection.seeds {
            Some(0) => return Err(Failure::usage("--seeds 0 leaves nothing to run")),
            Some(count) if count > MOST_SEEDS => {
                let message = format!("--seeds {count} are more than anybody waits for; {MOST_SEEDS} are the most");
                return Err(Failure::usage(message));
            }
            _ => {}
        }
        let backend = selection.device.backend;
        let seeds = lower::seeds(&experiment, &lab, selection.seeds);
        // Mistakes within the files come first, before anything is looked at that takes time.
        lower(&experiment, &lab, &seeds, backend).map_err(Failure::usage)?;
        let mut kept = experiment.clone();
        kept.keep_only(&pairs(&selection.only)?).map_err(Failure::usage)?;
        let results = selection.results.join(&experiment.name).join(&lab.name);
        folder::usable(&results, "--results")?;
        folder::usable(&selection.results.join(".store"), "--results")?;
        let store = Store::at(&selection.results.join(".store"))?;
        let (outside, sources, absent, digests) = look_outside(&kept, &lab, &store, fetch)?;
        // A run of fewer seeds takes nothing away. Results that cannot be read are set aside by the run, not here.
        let made = read_trials(&results).unwrap_or_default();
        let others: BTreeSet<Seed> =
            made.iter().map(|trial| Seed(trial.seed)).filter(|seed| !seeds.contains(seed)).collect();
        let all: Vec<Seed> = seeds.iter().copied().chain(others).collect();
        let mut trials = lower_with(&experiment, &lab, &outside, &all, backend).map_err(Failure::usage)?;
        trials.retain(|plan| seeds.contains(&plan.seed) || made.iter().any(|trial| trial.is_of(plan)));
        let kept: HashSet<&str> = kept.arms.iter().map(|arm| arm.id.as_str()).collect();
        let asked = |trial: &TrialPlan| kept.contains(trial.arm.as_str()) && seeds.contains(&trial.seed);
        let selected = (0..trials.len()).filter(|index| asked(&trials[*index])).collect();
        Ok(Session { experiment, lab, backend, trials, selected, store, results, outside, sources, absent, digests })
    }

    /// What the runner and the planner need; one stage at a time on one thread unless changed.
    pub fn setup(&self) -> Setup<'_> {
        let mut setup = Setup::new(&self.trials, &self.store, &self.results);
        setup.backend = self.backend;
        setup.selected = self.selected.clone();
        setup.sources = self.sources.clone();
        setup.known = self.known();
        setup
    }

    fn known(&self) -> Known {
        let mut checkpoints = BTreeMap::new();
        for (name, family) in &self.lab.families {
            let Family::Checkpoint(checkpoint) = family else { continue };
            let Some(shape) = self.outside.shapes.get(name) else { continue };
            let (content, tokenizer) = (self.outside.content(&checkpoint.place), Some(self.outside.tokenizer(name)));
            let recipe = Recipe::Checkpoint(CheckpointRecipe { content, tokenizer });
            checkpoints.insert(recipe.fingerprint(Backend::Cpu).key(), shape.clone());
        }
        Known { checkpoints, datasets: self.outside.sizes.clone() }
    }
}

type Seen = (Outside, BTreeMap<Key, PathBuf>, Mistakes, Digests);

/// What the arms need from outside; fails if some of it is there and can't be used.
#[cfg(feature = "engine")]
fn look_outside(experiment: &Experiment, lab: &Lab, store: &Store, fetch: bool) -> Result<Seen, Failure> {
    let found = super::outside::find(experiment.arms.iter(), lab, store, fetch);
    found.wrong.or(Some(())).map_err(Failure::usage)?;
    Ok((found.outside, found.sources, found.absent, found.digests))
}

/// Without the engine nothing outside can be opened, nor needs to be.
#[cfg(not(feature = "engine"))]
fn look_outside(_: &Experiment, _: &Lab, _: &Store, _: bool) -> Result<Seen, Failure> {
    Ok(Default::default())
}

pub fn read_experiment(path: &Path) -> Result<Experiment, Failure> {
    let text = text::read(path).map_err(|error| {
        let hint = unreadable(&error).unwrap_or("an experiment is a YAML file, such as experiments/corpus.yaml");
        Failure::usage(format!("failed to read {}: {error}", path.display())).hint(hint)
    })?;
    let is_lab = has_key(&text, "lab") && !has_key(&text, "question");
    Experiment::parse(&Source::new(path.display().to_string(), text)).map_err(|mistakes| match is_lab {
        true => Failure::usage(format!("{} is a lab, not an experiment", path.display()))
            .hint(format!("ablate run EXPERIMENT.yaml --lab {}", path.display())),
        false => Failure::usage(mistakes),
    })
}

/// What to do about a file that is there and can't be read.
pub fn unreadable(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::InvalidData => Some("save it as UTF-8"),
        ErrorKind::PermissionDenied => Some("let whoever runs this read it, and look into the folders above it"),
        _ => None,
    }
}

/// Whether a file's text has this key at its top level, mistakes or not.
fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
}

pub fn read_lab(name: &str) -> Result<Lab, Failure> {
    Lab::load(name).map_err(|error: LabError| {
        let text = text::read(Path::new(name)).unwrap_or_default();
        if has_key(&text, "question") && !has_key(&text, "lab") {
            return Failure::usage(format!("{name} is an experiment, not a lab"))
                .hint("a lab binds names and amounts; `ablate schema lab` says how one reads");
        }
        let hint = match &error {
            LabError::Read { source, .. } => unreadable(source)
                .or(Some("a lab is a YAML file, or one that is built in: `ablate run --help` names them")),
            _ => None,
        };
        let failure = Failure::usage(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// `axis=level` pairs.
pub fn pairs(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((axis, level)) => Ok((axis.trim().to_string(), level.trim().to_string())),
        None => Err(Failure::usage(format!("`{text}` is not of the form axis=level"))
            .hint("`ablate plan` lists the arms, each by its levels: `family=llama,data=web`")),
    };
    texts.iter().map(split).collect()
}
