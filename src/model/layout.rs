//! Which parameters a shape has, by their Hugging Face names, and where each layer finds its own.

use super::{ModelError, Params};
use crate::recipe::ModelShape;
use crate::recipe::shape::Architecture;
use std::ops::Range;

/// Names and shapes of every parameter.
pub fn tensors(shape: &ModelShape) -> Vec<(String, Vec<usize>)> {
    let (d, q, kv) = (shape.hidden, shape.q_width(), shape.kv_width());
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_string(), vec![shape.vocab, d]),
        ("model.norm.weight".to_string(), vec![d]),
    ];
    if !shape.tied {
        tensors.push(("lm_head.weight".to_string(), vec![shape.vocab, d]));
    }
    for layer in 0..shape.layers {
        let mut add =
            |name: &str, dims: &[usize]| tensors.push((format!("model.layers.{layer}.{name}.weight"), dims.to_vec()));
        add("input_layernorm", &[d]);
        add("self_attn.q_proj", &[q, d]);
        add("self_attn.k_proj", &[kv, d]);
        add("self_attn.v_proj", &[kv, d]);
        add("self_attn.o_proj", &[d, q]);
        add("post_attention_layernorm", &[d]);
        add("mlp.gate_proj", &[shape.ffn, d]);
        add("mlp.up_proj", &[shape.ffn, d]);
        add("mlp.down_proj", &[d, shape.ffn]);
        if shape.architecture == Architecture::Qwen3 {
            add("self_attn.q_norm", &[shape.head_dim]);
            add("self_attn.k_norm", &[shape.head_dim]);
        }
        if shape.architecture == Architecture::Qwen2 {
            for (name, width) in [("q", q), ("k", kv), ("v", kv)] {
                tensors.push((format!("model.layers.{layer}.self_attn.{name}_proj.bias"), vec![width]));
            }
        }
    }
    tensors
}

/// Where one layer's tensors lie in the flat buffer.
#[derive(Debug, Clone)]
pub struct Layer {
    pub norm1: Range<usize>,
    pub q: Range<usize>,
    pub k: Range<usize>,
    pub v: Range<usize>,
    /// Biases of q, k and v (Qwen2).
    pub biases: Option<[Range<usize>; 3]>,
    /// Norm gains of q and k (Qwen3).
    pub qk_norms: Option<[Range<usize>; 2]>,
    pub o: Range<usize>,
    pub norm2: Range<usize>,
    pub gate: Range<usize>,
    pub up: Range<usize>,
    pub down: Range<usize>,
}

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Layout {
    pub embed: Range<usize>,
    /// The output projection: the embedding itself if tied.
    pub head: Range<usize>,
    pub norm: Range<usize>,
    pub layers: Vec<Layer>,
}

impl Layout {
    /// Checks that `params` are exactly those of `shape`.
    pub fn new(shape: &ModelShape, params: &Params) -> Result<Layout, ModelError> {
        check(shape)?;
        let expected = Params::zeros(tensors(shape));
        for info in expected.infos() {
            match params.infos().iter().find(|found| found.name == info.name) {
                None => return Err(ModelError::Missing { name: info.name.clone() }),
                Some(found) if found.shape != info.shape => {
                    let (name, found, expected) = (info.name.clone(), found.shape.clone(), info.shape.clone());
                    return Err(ModelError::WrongShape { name, found, expected });
                }
                Some(_) => {}
            }
        }
        if let Some(extra) =
            params.infos().iter().find(|found| !expected.infos().iter().any(|info| info.name == found.name))
        {
            return Err(ModelError::Extra { name: extra.name.clone(), architecture: shape.architecture.name() });
        }
        let at = |name: &str| {
            let info = params.info(name);
            info.offset..info.offset + info.len()
        };
        let layers = (0..shape.layers).map(|layer| {
            let at = |name: &str| at(&format!("model.layers.{layer}.{name}"));
            Layer {
                norm1: at("input_layernorm.weight"),
                q: at("self_attn.q_proj.weight"),
                k: at("self_attn.k_proj.weight"),
                v: at("self_attn.v_proj.weight"),
                biases: (shape.architecture == Architecture::Qwen2)
                    .then(|| ["q", "k", "v"].map(|name| at(&format!("self_attn.{name}_proj.bias")))),
                qk_norms: (shape.architecture == Architecture::Qwen3)
                    .then(|| ["q", "k"].map(|name| at(&format!("self_attn.{name}_norm.weight")))),
                o: at("self_attn.o_proj.weight"),
                norm2: at("post_attention_layernorm.weight"),
                gate: at("mlp.gate_proj.weight"),
                up: at("mlp.up_proj.weight"),
                down: at("mlp.down_proj.weight"),
            }
        });
        let embed = at("model.embed_tokens.weight");
        let head = if shape.tied { embed.clone() } else { at("lm_head.weight") };
        Ok(Layout { embed, head, norm: at("model.norm.weight"), layers: layers.collect() })
    }
}

/// Bytes that may be spent on a configuration before its weights are looked at.
const ROOM: u64 = 1 << 25;

/// Bytes that names and shapes of one layer's tensors take in memory, at most.
const LAYER_NAMES: u128 = 4096;

/// Refuses a shape whose numbers cannot lie in `bytes` at `bits` a number, before anything is allocated for it: a
/// configuration is a few words that anyone can write. What takes no more than [`ROOM`] in memory anyway is left to the
/// readers, who say more precisely what is missing.
pub fn check_room(shape: &ModelShape, bytes: u64, bits: u64) -> Result<(), ModelError> {
    check(shape)?;
    let wide = |n: usize| n as u128;
    let (d, heads, kv_heads) = (wide(shape.hidden), wide(shape.heads), wide(shape.kv_heads));
    // Saturating: nothing that overflows 128 bits fits anywhere.
    let times = |factors: &[u128]| factors.iter().fold(1u128, |product, factor| product.saturating_mul(*factor));
    let attention = times(&[2, heads.saturating_add(kv_heads), wide(shape.head_dim), d]);
    let layer = attention.saturating_add(times(&[3, wide(shape.ffn), d]));
    let numbers = times(&[wide(shape.vocab), d]).saturating_add(times(&[wide(shape.layers), layer]));
    let names = times(&[wide(shape.layers), LAYER_NAMES]);
    let takes = |bits: u128| times(&[numbers, bits]).saturating_add(times(&[names, 8]));
    if takes(bits.into()) > u128::from(bytes) * 8 && takes(32) > u128::from(ROOM) * 8 {
        return Err(ModelError::Room { numbers, bytes });
    }
    Ok(())
}

fn check(shape: &ModelShape) -> Result<(), ModelError> {
    let wrong = |what: String| Err(ModelError::Shape(what));
    if shape.hidden == 0 || shape.ffn == 0 || shape.head_dim == 0 || !shape.head_dim.is_multiple_of(2) {
        return wrong(format!(
            "hidden {}, ffn {} and head_dim {} must be positive, and head_dim even",
            shape.hidden, shape.ffn, shape.head_dim
        ));
    }
    if shape.vocab == 0
        || shape.layers == 0
        || shape.kv_heads == 0
        || !shape.heads.is_multiple_of(shape.kv_heads)
        || shape.heads == 0
    {
        return wrong(format!(
            "vocab {}, layers {}, heads {} and kv_heads {} must be positive, and heads a multiple of kv_heads",
            shape.vocab, shape.layers, shape.heads, shape.kv_heads
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_without_weights_to_match_takes_little_memory() {
        let small = ModelShape {
            architecture: Architecture::Llama,
            vocab: 11,
            hidden: 8,
            layers: 1,
            heads: 2,
            kv_heads: 1,
            head_dim: 4,
            ffn: 16,
            rope_theta: 1e4,
            rope_scaling: None,
            norm_eps: 1e-5,
            tied: true,
        };
        let refused =
            |shape: ModelShape, bytes, bits| matches!(check_room(&shape, bytes, bits), Err(ModelError::Room { .. }));
        assert!(!refused(small.clone(), 100, 16), "readers say what is missing");
        // Few numbers, and a hundred bytes of name for each; many numbers, each of a bit.
        assert!(refused(ModelShape { layers: 262_145, ..small.clone() }, 4256, 1));
        assert!(refused(ModelShape { vocab: 20_000_000, ..small.clone() }, 4256, 1));
        assert!(!refused(ModelShape { vocab: 20_000_000, ..small.clone() }, 20_100_000, 1));
        assert!(refused(ModelShape { hidden: usize::MAX, ..small }, 1 << 40, 16));
    }
}
