//! The models and the tokens that both sides get.

use crate::Result;
use ablate::model::{Decoder, weights};
use ablate::recipe::shape::Architecture;
use ablate::recipe::{ModelShape, Seed};
use std::path::Path;

/// Tokens of a row in training, of a prompt, and new ones of a completion.
pub const ROW: usize = 128;
pub const PROMPT: usize = 32;
pub const NEW: usize = 96;
pub const VOCAB: usize = 512;

/// Llama-style decoders: XS is the proxy lab's, the others are those of the goals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    Xs,
    S,
    M,
    L,
}

impl Size {
    pub fn shape(self) -> ModelShape {
        let (hidden, layers, heads, kv_heads, ffn) = match self {
            Size::Xs => (64, 3, 2, 2, 176),
            Size::S => (128, 3, 4, 2, 256),
            Size::M => (256, 4, 8, 8, 640),
            Size::L => (384, 6, 6, 6, 1216),
        };
        ModelShape {
            architecture: Architecture::Llama,
            vocab: VOCAB,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim: hidden / heads,
            ffn,
            rope_theta: 10_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            tied: true,
        }
    }

    /// Tokens of one training step.
    pub fn step_tokens(self) -> usize {
        if self == Size::L { 2048 } else { 4096 }
    }

    pub fn decoder(self) -> Decoder {
        Decoder::random(self.shape(), 0.02, 0.02, Seed(0))
    }
}

/// How sequences end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lengths {
    /// All at the longest length.
    Equal,
    /// At each token with a probability of about 1/40: 35 tokens on average.
    Vary,
}

/// A model whose end token comes never, or now and then: the first number of every embedding is a constant that survives
/// the layers, and the end token's own shifts its logit.
pub fn sampler(size: Size, lengths: Lengths) -> Decoder {
    let mut decoder = size.decoder();
    let hidden = size.shape().hidden;
    decoder.update(|params| {
        let table = params.get_mut("model.embed_tokens.weight");
        table.chunks_exact_mut(hidden).for_each(|row| row[0] = 0.1);
        table[0] += if lengths == Lengths::Equal { -8.0 } else { 2.55 / (0.1 / 0.0224) };
    });
    decoder
}

/// Writes a checkpoint that transformers reads.
pub fn save(decoder: &Decoder, place: &Path) -> Result<()> {
    Ok(weights::save(place, decoder, &serde_json::Map::new())?)
}

pub fn random_ids(count: usize, salt: u64) -> Vec<u32> {
    let mut rng = Seed(7).stream("bench").at(&[salt]);
    // Neither the end token nor padding.
    (0..count).map(|_| 2 + rng.below(VOCAB as u64 - 2) as u32).collect()
}

/// Prompts that begin with the end token, as the RL loop's do.
pub fn prompts(count: usize) -> Vec<Vec<u32>> {
    (0..count).map(|index| [vec![0], random_ids(PROMPT - 1, 1 + index as u64)].concat()).collect()
}

/// The vocabulary as words, of which `numbers` are numbers.
pub fn words(numbers: usize) -> Vec<String> {
    (2..VOCAB).map(|id| if id < 2 + numbers { id.to_string() } else { format!("w{id}") }).collect()
}
