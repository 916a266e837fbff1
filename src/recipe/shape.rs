//! The shape of a decoder: everything that decides which tensors exist and what a forward pass computes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The decoder families we train and load. They share one block; they differ in biases and in norms on q and k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Llama 2/3: no biases.
    Llama,
    /// Qwen2 / Qwen2.5: biases on the q, k and v projections.
    Qwen2,
    /// Qwen3: RMSNorm on each head of q and k, no biases.
    Qwen3,
}

impl Architecture {
    /// As `model_type` in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }
}

/// Pre-RMSNorm decoder with rotary positions (rotate-half), grouped-query attention and a SwiGLU feed-forward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    pub architecture: Architecture,
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Width of the feed-forward's hidden layer (`intermediate_size`).
    pub ffn: usize,
    pub rope_theta: f64,
    pub rope_scaling: Option<RopeScaling>,
    pub norm_eps: f64,
    /// The output projection is the embedding table.
    pub tied: bool,
}

/// Llama 3's frequency-dependent scaling (`rope_type: llama3`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    pub original_max_position_embeddings: usize,
}

impl ModelShape {
    /// Width of the concatenated query heads.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of the concatenated key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// All parameters, embeddings included once.
    pub fn parameters(&self) -> u64 {
        let (d, q, kv) = (self.hidden, self.q_width(), self.kv_width());
        let bias = if self.architecture == Architecture::Qwen2 { q + 2 * kv } else { 0 };
        let qk_norm = if self.architecture == Architecture::Qwen3 { 2 * self.head_dim } else { 0 };
        let layer = d * q + 2 * d * kv + q * d + 3 * d * self.ffn + 2 * d + bias + qk_norm;
        let head = if self.tied { 0 } else { self.vocab * d };
        (self.vocab * d + self.layers * layer + d + head) as u64
    }

    /// Multiply-adds that a matrix product does with each token, times two: the projections, the head, and attention
    /// over a mean of half the context. The backward pass costs twice as much again.
    pub fn forward_flops_per_token(&self, context: usize) -> f64 {
        let (d, q, kv) = (self.hidden as f64, self.q_width() as f64, self.kv_width() as f64);
        let layer = d * q + 2.0 * d * kv + q * d + 3.0 * d * self.ffn as f64 + q * context as f64;
        2.0 * (self.layers as f64 * layer + d * self.vocab as f64)
    }
}
