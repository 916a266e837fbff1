//! Is a stage's artifact there, and if not, why not.
//!
//! `plan`, `run` and `explain` call the one function here, so they cannot disagree. The answer to "why does this run again"
//! is a diff of two hashed texts: the stage's and that of what the same stage of the same trial used to be. Which one that
//! is comes from the trial's last results, or else from the names noted in the store's records; names only ever choose
//! what to compare with, never what to use.

use super::graph::Graph;
use super::trial::TrialPlan;
use crate::cache::{self, Check, Ending, Presence, Record, Store};
use crate::recipe::{Backend, Fingerprint, Key, Recipe};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// The state of one stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Freshness {
    /// The artifact is there.
    Hit,
    /// It is not there, and nothing that must run reads it: a corpus whose models are all made.
    Unneeded,
    /// An interrupted attempt got to this step and is taken up again.
    Resume { step: u64 },
    /// It must be made.
    Run(StaleReason),
}

/// Why a stage must run.
#[derive(Debug, Clone, PartialEq)]
pub enum StaleReason {
    NeverBuilt,
    /// The first of the changed fields; [`Assessment::changes`] has all.
    RecipeChanged {
        field: String,
        old: String,
        new: String,
    },
    /// The stage's code gives other numbers than it used to.
    VersionChanged {
        old: u32,
        new: u32,
    },
    BackendChanged {
        old: Backend,
        new: Backend,
    },
    /// Nothing but this input is another one than before.
    InputStale {
        input: String,
    },
    /// The store has it, but its bytes are not what its record says.
    Corrupt {
        reason: String,
    },
    Forced,
}

/// One field that differs from the last time; `None` where it is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// A path such as `mixture.web.share`.
    pub field: String,
    pub old: Option<String>,
    pub new: Option<String>,
    /// The value is the key of an input.
    pub input: bool,
}

/// What is known about one node of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    pub freshness: Freshness,
    /// How the artifact ended, if it is there.
    pub ending: Option<Ending>,
    /// All that differs from what the stage used to be, inputs last.
    pub changes: Vec<Change>,
}

impl Assessment {
    /// A run will have to make it.
    pub fn missing(&self) -> bool {
        matches!(self.freshness, Freshness::Run(_) | Freshness::Resume { .. })
    }
}

impl fmt::Display for StaleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StaleReason::NeverBuilt => write!(f, "never built"),
            StaleReason::RecipeChanged { field, old, new } => write!(f, "`{field}` changed: {old} → {new}"),
            StaleReason::VersionChanged { old, new } => write!(f, "the stage's code changed: version {old} → {new}"),
            StaleReason::BackendChanged { old, new } => {
                write!(f, "the backend changed: {} → {}", name(*old), name(*new))
            }
            StaleReason::InputStale { input } => write!(f, "its input `{input}` changed"),
            StaleReason::Corrupt { reason } => write!(f, "the stored artifact is damaged: {reason}"),
            StaleReason::Forced => write!(f, "forced"),
        }
    }
}

fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "cpu",
        Backend::Cuda => "cuda",
        Backend::Metal => "metal",
    }
}

/// What the stages of each trial were in its last results: (arm, seed) to stage name to key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History(pub BTreeMap<(String, u64), BTreeMap<String, Key>>);

/// Everything that decides freshness.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub trials: &'a [TrialPlan],
    pub graph: &'a Graph,
    pub store: &'a Store,
    pub backend: Backend,
    pub history: &'a History,
    /// Stages to make again although they are there.
    pub forced: &'a BTreeSet<Key>,
    /// A run looks at every byte; a plan is content with sizes.
    pub check: Check,
}

/// The state of every node of the graph, in its order. Changes nothing on disk.
pub fn assess(question: &Question) -> cache::store::Result<Vec<Assessment>> {
    let Question { graph, store, .. } = *question;
    let mut presences = Vec::with_capacity(graph.nodes.len());
    let there = store.keys()?;
    for node in &graph.nodes {
        presences.push(match there.contains(&node.key) {
            true => store.look(&node.key, question.check)?,
            false => Presence::Absent,
        });
    }
    // From the results back to the sources: an absent source is only missed by a consumer that must run.
    let mut must_run = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        must_run[index] = match &presences[index] {
            _ if question.forced.contains(&node.key) => true,
            Presence::Present(_) => false,
            Presence::Damaged(_) => true,
            Presence::Absent => {
                let source = matches!(*node.recipe, Recipe::Corpus(_) | Recipe::Checkpoint(_));
                !source || node.consumers.iter().any(|consumer| must_run[*consumer])
            }
        };
    }
    let mut past = Past { question, records: None };
    let mut assessments = Vec::with_capacity(graph.nodes.len());
    for (index, presence) in presences.into_iter().enumerate() {
        let key = &graph.nodes[index].key;
        let mut changes = vec![];
        let mut ending = None;
        let freshness = match presence {
            _ if question.forced.contains(key) => Freshness::Run(StaleReason::Forced),
            Presence::Present(record) => {
                ending = Some(record.ending);
                Freshness::Hit
            }
            Presence::Damaged(reason) => Freshness::Run(StaleReason::Corrupt { reason }),
            Presence::Absent if !must_run[index] => Freshness::Unneeded,
            Presence::Absent => {
                let (reason, all) = past.why(index)?;
                changes = all;
                match store.noted(key) {
                    Some(noted) => Freshness::Resume { step: noted.step },
                    None => Freshness::Run(reason),
                }
            }
        };
        assessments.push(Assessment { freshness, ending, changes });
    }
    Ok(assessments)
}

/// What stages used to be.
struct Past<'a> {
    question: &'a Question<'a>,
    /// Read from the store when first needed.
    records: Option<Records>,
}

struct Records {
    /// The last finished record of each (arm, seed, stage).
    by_label: HashMap<(String, u64, String), Key>,
    /// What the inputs of old recipes were called.
    stage_of: HashMap<Key, String>,
}

impl Past<'_> {
    fn why(&mut self, index: usize) -> cache::store::Result<(StaleReason, Vec<Change>)> {
        let question = self.question;
        let node = &question.graph.nodes[index];
        let Some(old_key) = self.former_key(index)? else { return Ok((StaleReason::NeverBuilt, vec![])) };
        let new = node.recipe.fingerprint(question.backend);
        let Some(old) = question.store.fingerprint(&old_key) else {
            let (old, new) = (old_key.short(), node.key.short());
            return Ok((StaleReason::RecipeChanged { field: "recipe".into(), old, new }, vec![]));
        };
        let records = self.records()?;
        let name_of = |key: &Key| {
            let planned = node.inputs.iter().map(|input| &question.graph.nodes[*input]).find(|input| input.key == *key);
            planned.map(|input| input.names[0].clone()).or_else(|| records.stage_of.get(key).cloned())
        };
        let changes = diff(&old, &new, &name_of);
        let reason = if old.version != new.version {
            StaleReason::VersionChanged { old: old.version, new: new.version }
        } else if old.backend != new.backend {
            StaleReason::BackendChanged { old: old.backend, new: new.backend }
        } else {
            match changes.first() {
                Some(change) if change.input => {
                    let key: Option<Key> = change.new.as_ref().and_then(|key| key.parse().ok());
                    StaleReason::InputStale { input: key.and_then(|key| name_of(&key)).unwrap_or(change.field.clone()) }
                }
                Some(change) => {
                    let text = |value: &Option<String>| value.clone().unwrap_or("absent".into());
                    StaleReason::RecipeChanged {
                        field: change.field.clone(),
                        old: text(&change.old),
                        new: text(&change.new),
                    }
                }
                None => StaleReason::NeverBuilt,
            }
        };
        Ok((reason, changes))
    }

    /// The key that the same stage of one of the node's trials had before, if it was another.
    fn former_key(&mut self, index: usize) -> cache::store::Result<Option<Key>> {
        let question = self.question;
        let node = &question.graph.nodes[index];
        let mut stages = vec![];
        for trial_index in &node.trials {
            let trial = &question.trials[*trial_index];
            let own = trial.stages.iter().filter(|stage| stage.key == node.key);
            stages.extend(own.map(|stage| (trial.arm.clone(), trial.seed.0, stage.name.clone())));
        }
        for (arm, seed, stage) in &stages {
            let trial = question.history.0.get(&(arm.clone(), *seed));
            if let Some(key) = trial.and_then(|stages| stages.get(stage))
                && *key != node.key
            {
                return Ok(Some(*key));
            }
        }
        let records = self.records()?;
        let found = stages.iter().find_map(|label| records.by_label.get(label));
        Ok(found.copied().filter(|key| *key != node.key))
    }

    fn records(&mut self) -> cache::store::Result<&Records> {
        if self.records.is_none() {
            let mut all: Vec<Record> = self.question.store.records()?;
            // The clock only decides what to compare with; equal times fall back on the key, so the words are stable.
            all.sort_by_key(|record| (record.finished, record.key));
            let mut records = Records { by_label: HashMap::new(), stage_of: HashMap::new() };
            for record in all {
                for label in record.labels {
                    records.stage_of.entry(record.key).or_insert(label.stage.clone());
                    records.by_label.insert((label.arm, label.seed, label.stage), record.key);
                }
            }
            self.records = Some(records);
        }
        Ok(self.records.as_ref().expect("just read"))
    }
}

/// The fields in which two hashed texts differ: version, backend, recipe fields in order of their path, then inputs.
pub fn diff(old: &Fingerprint, new: &Fingerprint, name_of: &dyn Fn(&Key) -> Option<String>) -> Vec<Change> {
    let leaves = |fingerprint: &Fingerprint| {
        let mut leaves = BTreeMap::new();
        leaves.insert(" version".to_string(), fingerprint.version.to_string());
        leaves.insert(" backend".to_string(), name(fingerprint.backend).to_string());
        flatten(&fingerprint.recipe, String::new(), name_of, &mut leaves);
        leaves
    };
    let (old, new) = (leaves(old), leaves(new));
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = fields.into_iter().filter(|field| old.get(*field) != new.get(*field));
    let mut changes: Vec<Change> = differing
        .map(|field| {
            let (old, new) = (old.get(field).cloned(), new.get(field).cloned());
            let last = field.rsplit('.').next().unwrap_or(field);
            // Datasets' and tokenizers' digests are contents, not inputs: they stay fields.
            let input = matches!(last, "corpus" | "weights" | "policy" | "model");
            Change { field: field.trim_start().to_string(), old, new, input }
        })
        .collect();
    changes.sort_by_key(|change| change.input);
    changes
}

/// Every leaf of a recipe by its path. Parts of a mixture and benchmarks are listed under their names instead of their
/// places, so that one more of them is one change and not a shift of all.
fn flatten(
    value: &Value,
    path: String,
    name_of: &dyn Fn(&Key) -> Option<String>,
    leaves: &mut BTreeMap<String, String>,
) {
    let join = |part: &str| if path.is_empty() { part.to_string() } else { format!("{path}.{part}") };
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                flatten(value, join(member), name_of, leaves);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let corpus = item["corpus"].as_str().and_then(|key| key.parse::<Key>().ok());
                let corpus = corpus.map(|key| name_of(&key).unwrap_or_else(|| key.short()));
                let corpus = corpus.map(|name| name.trim_start_matches("corpus:").to_string());
                let named = corpus.or_else(|| item["name"].as_str().map(str::to_string));
                flatten(item, join(&named.unwrap_or_else(|| index.to_string())), name_of, leaves);
            }
            if items.is_empty() {
                leaves.insert(path, "[]".into());
            }
        }
        Value::String(text) => {
            leaves.insert(path, text.clone());
        }
        plain => {
            leaves.insert(path, plain.to_string());
        }
    }
}
