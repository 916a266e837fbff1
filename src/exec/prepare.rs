//! What a run would do: the graph, the state of each stage and its price. `plan` and `explain` show it, `run` does it.

use super::event::StageName;
use super::results::{self, ResultsError};
use super::writer;
use crate::cache::{CacheError, Check, DiskError, Store};
use crate::plan::cost::{self, Item};
use crate::plan::memory;
use crate::plan::{
    Assessment, Calibration, Cost, Freshness, Graph, GraphError, Known, Machine, Question, TrialPlan, assess,
};
use crate::recipe::{Backend, Key};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What to run and where; nothing in here is part of a key.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The full plan, in the order in which results are written.
    pub trials: &'a [TrialPlan],
    /// Indices of the trials to run.
    pub selected: BTreeSet<usize>,
    pub store: &'a Store,
    /// `results/<experiment>/<lab>`.
    pub results: &'a Path,
    pub backend: Backend,
    /// Stages at a time.
    pub jobs: usize,
    /// Threads of each stage.
    pub threads: usize,
    /// Outside data by digest.
    pub sources: BTreeMap<Key, PathBuf>,
    pub known: Known,
    pub forced: BTreeSet<Key>,
    /// `git describe` of the working tree, for the records.
    pub git: Option<String>,
}

impl<'a> Setup<'a> {
    /// All trials on the CPU, one stage at a time, one thread each.
    pub fn new(trials: &'a [TrialPlan], store: &'a Store, results: &'a Path) -> Setup<'a> {
        Setup {
            trials,
            selected: (0..trials.len()).collect(),
            store,
            results,
            backend: Backend::Cpu,
            jobs: 1,
            threads: 1,
            sources: BTreeMap::new(),
            known: Known::default(),
            forced: BTreeSet::new(),
            git: None,
        }
    }
}

/// A plan ready to be shown or run.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The selected trials, in plan order.
    pub trials: Vec<TrialPlan>,
    /// Their indices in the full plan.
    pub indices: Vec<usize>,
    pub graph: Graph,
    /// The following are in the order of `graph.nodes`.
    pub states: Vec<Assessment>,
    pub costs: Vec<Cost>,
    /// Expected seconds of each stage, had it to be made from nothing.
    pub seconds: Vec<f64>,
}

/// Why a run cannot start. Nothing has been started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error(transparent)]
    TooExpensive(#[from] cost::TooExpensive),
}

/// Looks at everything and changes nothing. `check` is [`Check::Sizes`] to show a plan and [`Check::Bytes`] to run it.
pub fn prepare(setup: &Setup, check: Check) -> Result<Prepared, PrepareError> {
    let indices: Vec<usize> = setup.selected.iter().copied().filter(|index| *index < setup.trials.len()).collect();
    let trials: Vec<TrialPlan> = indices.iter().map(|index| setup.trials[*index].clone()).collect();
    let graph = Graph::new(&trials)?;
    let history = writer::history(&results::read(setup.results)?.trials);
    let states = assess(&Question {
        trials: &trials,
        graph: &graph,
        store: setup.store,
        backend: setup.backend,
        history: &history,
        forced: &setup.forced,
        check,
    })?;
    let costs = cost::costs(&graph, &setup.known);
    let calibration = Calibration::read(setup.store);
    let machine = Machine::here(setup.backend, setup.threads);
    let seconds = graph.nodes.iter().zip(&costs);
    let seconds = seconds.map(|(node, cost)| calibration.seconds(&machine, node.recipe.kind(), cost));
    let seconds = seconds.collect();
    Ok(Prepared { trials, indices, graph, states, costs, seconds })
}

impl Prepared {
    /// Indices of the stages that must be made.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.states.len()).filter(|index| self.states[*index].missing())
    }

    /// What people call a stage.
    pub fn name(&self, node: usize) -> StageName {
        let found = &self.graph.nodes[node];
        let first = &self.trials[found.trials[0]];
        StageName {
            key: found.key,
            kind: found.recipe.kind(),
            name: found.names[0].clone(),
            arm: first.arm.clone(),
            seed: first.seed.0,
            trials: found.trials.len(),
        }
    }

    /// The missing stages with their prices, for [`cost::Caps::check`]. Memory is the host's.
    pub fn price(&self, setup: &Setup) -> Vec<Item> {
        let shapes = self.graph.shapes(&setup.known.checkpoints);
        let item = |node: usize| {
            let name = self.name(node);
            let what = format!("{} of {} seed {}", name.name, name.arm, name.seed);
            let (cost, recipe) = (&self.costs[node], &*self.graph.nodes[node].recipe);
            let memory =
                shapes[node].as_ref().and_then(|shape| memory::host(recipe, shape, setup.threads, setup.backend));
            Item {
                what,
                stage: name.name,
                seconds: self.seconds[node],
                disk: cost.disk,
                scratch: cost::scratch(recipe.kind(), cost),
                held: memory.map_or(0, |memory| memory.total() as u64),
            }
        };
        self.missing().map(item).collect()
    }

    /// How many stages are there, are taken up again, and must be made, in this order.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |of: fn(&Freshness) -> bool| self.states.iter().filter(|state| of(&state.freshness)).count();
        (
            count(|freshness| matches!(freshness, Freshness::Hit | Freshness::Unneeded)),
            count(|freshness| matches!(freshness, Freshness::Resume { .. })),
            count(|freshness| matches!(freshness, Freshness::Run(_))),
        )
    }
}
