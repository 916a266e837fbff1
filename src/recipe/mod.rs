//! The floor: plain nouns that bear identity.
//!
//! Everything here is hashed into a stage's key; nothing here does IO, reads a clock, or knows a path, a host or a thread
//! count. A field that must not change a result has no place in this module: execution settings live in [`crate::exec`].
//!
//! Recipes name their inputs by [`Key`], so the whole chain `corpus → base → mid-training → RL → evaluation` is a Merkle
//! tree: change one mixture weight and exactly the stages that depend on it get new keys.

pub mod contamination;
pub mod corpus;
pub mod eval;
pub mod key;
pub mod optimizer;
pub mod rl;
pub mod schedule;
pub mod seed;
pub mod shape;
pub mod template;
pub mod train;
pub mod units;
pub mod world;

pub use contamination::{ContaminationRecipe, Probed};
pub use corpus::CorpusRecipe;
pub use eval::{EvalProtocol, EvalRecipe};
pub use key::{Fingerprint, Key, canonical_json};
pub use optimizer::Optimizer;
pub use rl::RlRecipe;
pub use schedule::{DecayCurve, Schedule};
pub use seed::{Rng, Seed, Stream};
pub use shape::ModelShape;
pub use template::Template;
pub use train::{HeldOut, Init, MixturePart, TrainRecipe};
pub use units::{Steps, Tokens};
pub use world::{ProblemSet, World};

use serde::{Deserialize, Serialize};

/// What one stage makes. A closed set: a new kind of stage is a new variant, and the compiler lists what to teach it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
// Half a kilobyte a stage is nothing beside the stage, and a box in every pattern would be something.
#[allow(clippy::large_enum_variant)]
pub enum Recipe {
    /// Token shards of one corpus.
    Corpus(CorpusRecipe),
    /// Weights after a pre-training, mid-training or decay phase.
    Train(TrainRecipe),
    /// Weights and curves after reinforcement learning.
    Rl(RlRecipe),
    /// Accuracy, length and per-item outcomes of one model.
    Eval(EvalRecipe),
    /// Weights taken from a checkpoint folder, identified by the digest of its bytes.
    Checkpoint(CheckpointRecipe),
    /// Which items of benchmarks occur in the text of a corpus.
    Contamination(ContaminationRecipe),
}

/// Weights that exist already: identity is the content, never the path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRecipe {
    /// Digest of the files that decide what the model computes.
    pub content: Key,
    /// Digest of its tokenizer, which goes with the weights from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Key>,
}

/// The kind of a stage, as users see it in plans and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Corpus,
    Checkpoint,
    Pretrain,
    Midtrain,
    Rl,
    Eval,
    Contamination,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 7] =
        [Kind::Corpus, Kind::Checkpoint, Kind::Pretrain, Kind::Midtrain, Kind::Rl, Kind::Eval, Kind::Contamination];

    /// The name used in plans, records and directories of the store.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Corpus => "corpus",
            Kind::Checkpoint => "checkpoint",
            Kind::Pretrain => "pretrain",
            Kind::Midtrain => "midtrain",
            Kind::Rl => "rl",
            Kind::Eval => "eval",
            Kind::Contamination => "contamination",
        }
    }

    /// The semantics version of this kind's code; part of every key. Bump it when the same recipe gives other numbers:
    /// the golden losses under `tests/` fail until it is bumped.
    pub fn version(self) -> u32 {
        match self {
            Kind::Corpus => 1,
            // 2: what comes from a GGUF file keeps its context length and its chat template.
            Kind::Checkpoint => 2,
            Kind::Pretrain | Kind::Midtrain => 1,
            Kind::Rl => 1,
            Kind::Eval => 1,
            Kind::Contamination => 1,
        }
    }
}

impl Recipe {
    pub fn kind(&self) -> Kind {
        match self {
            Recipe::Corpus(_) => Kind::Corpus,
            Recipe::Train(t) => match t.init {
                Init::Random { .. } => Kind::Pretrain,
                Init::From { .. } => Kind::Midtrain,
            },
            Recipe::Rl(_) => Kind::Rl,
            Recipe::Eval(_) => Kind::Eval,
            Recipe::Checkpoint(_) => Kind::Checkpoint,
            Recipe::Contamination(_) => Kind::Contamination,
        }
    }

    /// Keys of the artifacts this stage reads, in a fixed order, each once.
    pub fn inputs(&self) -> Vec<Key> {
        let mut keys = match self {
            Recipe::Corpus(_) | Recipe::Checkpoint(_) | Recipe::Contamination(_) => vec![],
            Recipe::Train(t) => {
                let mut keys: Vec<Key> = t.mixture.iter().map(|part| part.corpus).collect();
                if let Init::From { weights } = t.init {
                    keys.push(weights);
                }
                keys.extend(t.held_out.map(|held_out| held_out.corpus));
                keys
            }
            Recipe::Rl(r) => vec![r.policy],
            Recipe::Eval(e) => vec![e.model],
        };
        keys.sort();
        keys.dedup();
        keys
    }

    /// The recipe that a hashed text describes; none if it is of another version of this program.
    pub fn from_fingerprint(fingerprint: &Fingerprint) -> Option<Recipe> {
        let (name, value) = (fingerprint.kind.as_str(), fingerprint.recipe.clone());
        match Kind::ALL.into_iter().find(|kind| kind.name() == name)? {
            Kind::Corpus => serde_json::from_value(value).map(Recipe::Corpus).ok(),
            Kind::Checkpoint => serde_json::from_value(value).map(Recipe::Checkpoint).ok(),
            Kind::Pretrain | Kind::Midtrain => serde_json::from_value(value).map(Recipe::Train).ok(),
            Kind::Rl => serde_json::from_value(value).map(Recipe::Rl).ok(),
            Kind::Eval => serde_json::from_value(value).map(Recipe::Eval).ok(),
            Kind::Contamination => serde_json::from_value(value).map(Recipe::Contamination).ok(),
        }
    }

    /// The hashed text of this stage on a backend; see [`Fingerprint`].
    pub fn fingerprint(&self, backend: Backend) -> Fingerprint {
        Fingerprint::new(self, backend)
    }
}

/// The family of devices a number was computed on. The same recipe on another family gives other last bits, so it is part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    #[default]
    Cpu,
    Cuda,
    Metal,
}

impl Backend {
    pub fn is_cpu(&self) -> bool {
        *self == Backend::Cpu
    }
}
