//! Pre-training and mid-training phases, as identity.

use super::key::Key;
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::seed::Seed;
use super::shape::ModelShape;
use super::units::{Steps, Tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One phase of language-model training: a mixture, a budget, a schedule. The optimizer starts afresh in each phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainRecipe {
    pub init: Init,
    /// Shares of the token budget, sorted by corpus key so that the order in which a user wrote them is no identity.
    pub mixture: Vec<MixturePart>,
    pub tokens: Tokens,
    /// Tokens of one packed row.
    pub row_tokens: usize,
    /// Rows of one optimizer step.
    pub batch_rows: usize,
    pub boundary: Boundary,
    /// How often the whole of a corpus may be seen. 1 refuses a mixture that asks for more than there is.
    pub epochs: u32,
    pub schedule: Schedule,
    pub optimizer: Optimizer,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    pub precision: Precision,
    /// Addresses the data order.
    pub seed: Seed,
    /// What is measured along the way and never trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
}

/// The first rows of a corpus, whose loss is measured before the first step, ten times along the way, and after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    pub corpus: Key,
    pub tokens: Tokens,
}

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Drawn at random. Embeddings N(0, `embedding_std`); matrices N(0, `matrix_std`), those that write to the residual stream divided by √(2·layers).
    Random {
        shape: ModelShape,
        embedding_std: f64,
        matrix_std: f64,
        seed: Seed,
    },
    From {
        weights: Key,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixturePart {
    pub corpus: Key,
    pub share: f64,
}

/// Whether attention crosses the border between documents packed into one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Boundary {
    /// Attention sees the whole row (nanotron's and the paper's packing, as far as known).
    Row,
    /// Attention, and positions, start anew with each document.
    Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    #[default]
    F32,
    /// bf16 weights, activations and their gradients in every matrix product; f32 sums, master weights and moments.
    Bf16,
}

impl TrainRecipe {
    /// Tokens of one optimizer step.
    pub fn batch_tokens(&self) -> u64 {
        (self.row_tokens * self.batch_rows) as u64
    }

    /// Optimizer steps: the budget divided by the batch, rounded down, at least one.
    pub fn steps(&self) -> Steps {
        Steps((self.tokens.0 / self.batch_tokens()).max(1))
    }
}
