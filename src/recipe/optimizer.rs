//! Optimizers, as identity: the rule and its constants. The rule itself is in `train::optimizer`.

use serde::{Deserialize, Serialize};

/// How gradients become updates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    AdamW(AdamW),
    /// Muon on the 2-D matrices of the blocks; AdamW on embeddings, output head, norms and biases
    /// (Jordan et al. 2024). At the proxy's size it is worth about three times the tokens.
    Muon {
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        newton_schulz_steps: u32,
        rest: AdamW,
    },
}

/// AdamW with decoupled weight decay (Loshchilov and Hutter).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub decay: DecayMask,
}

/// Which parameters weight decay touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayMask {
    /// Every parameter, as `torch.optim.AdamW` does by default.
    All,
    /// Matrices only: no norm gains, no biases.
    Matrices,
}

impl Optimizer {
    /// The peak learning rate that reports quote.
    pub fn peak_lr(&self) -> f64 {
        match self {
            Optimizer::AdamW(adamw) => adamw.lr,
            Optimizer::Muon { lr, .. } => *lr,
        }
    }
}
