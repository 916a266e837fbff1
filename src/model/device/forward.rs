//! The forward pass over some whole segments.
//!
//! Queries attend block by block to the keys from the start of their first segment on, so the memory of attention grows
//! with a block times the longest segment, and a row of many short documents takes few launches. Query heads that share keys
//! are rows of one product; keys are not repeated.
//!
//! Norms, rotation and softmax are candle's fused kernels, which have no gradient: there is no graph, and `backward` is
//! written out. What is broadcast over all scores is kept to one operation, the mask: candle's CUDA kernels divide to find
//! each number's place in a tensor that is not contiguous, and that takes longer than reading it.

use super::weights::{DeviceWeights, Layer};
use crate::model::packed::Weights;
use crate::recipe::ModelShape;
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope_thd;
use std::ops::Range;

/// A score that no softmax sees; finite, so that its gradient is 0 and not NaN.
pub const HIDDEN: f32 = -1e30;

/// What every layer of one pass shares.
pub struct Pass<'a> {
    pub shape: &'a ModelShape,
    pub weights: &'a DeviceWeights,
    /// `[T]`.
    pub ids: Tensor,
    pub angles: Angles,
    pub blocks: Vec<Block>,
}

/// Cosines and sines of each token's position, `[T, head_dim / 2]`.
pub struct Angles {
    cos: Tensor,
    sin: Tensor,
}

/// Queries that attend at once, and the keys that any of them sees.
pub struct Block {
    pub queries: Range<usize>,
    pub keys: Range<usize>,
    /// 0 where a query sees a key and [`HIDDEN`] elsewhere, `[1, queries·keys]`.
    mask: Tensor,
}

impl Block {
    /// Where each query's segment `starts`, for all tokens of the pass.
    fn new(queries: Range<usize>, starts: &[usize], device: &Device) -> Result<Block> {
        let keys = starts[queries.start]..queries.end;
        let (n, m) = (queries.len(), keys.len());
        let numbers = |numbers: Vec<u32>, dims: (usize, usize)| Tensor::from_vec(numbers, dims, device);
        let key = numbers(keys.clone().map(|key| key as u32).collect(), (1, m))?;
        let query = numbers(queries.clone().map(|query| query as u32).collect(), (n, 1))?;
        let start = numbers(queries.clone().map(|query| starts[query] as u32).collect(), (n, 1))?;
        let later = key.broadcast_gt(&query)?.to_dtype(DType::F32)?;
        let before = key.broadcast_lt(&start)?.to_dtype(DType::F32)?;
        let mask = ((later + before)? * HIDDEN as f64)?.reshape((1, n * m))?;
        Ok(Block { queries, keys, mask })
    }
}

impl Angles {
    pub fn new(host: &Weights, positions: &[usize], device: &Device) -> Result<Angles> {
        let rotation = host.rotation(positions.iter().max().map_or(1, |last| last + 1));
        let half = rotation.half;
        let rows = |table: &[f32]| {
            let rows = positions.iter().flat_map(|at| &table[at * half..(at + 1) * half]);
            Tensor::from_vec(rows.copied().collect::<Vec<f32>>(), (positions.len(), half), device)
        };
        Ok(Angles { cos: rows(&rotation.cos)?, sin: rows(&rotation.sin)? })
    }

    /// Rotates `[T, heads, head_dim]`, the first half of a head against the second.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        rope_thd(&x.unsqueeze(0)?, &self.cos, &self.sin)?.squeeze(0)
    }

    /// The same angles the other way round: a rotation's gradient.
    pub fn back(&self, x: &Tensor) -> Result<Tensor> {
        rope_thd(&x.contiguous()?.unsqueeze(0)?, &self.cos, &self.sin.neg()?)?.squeeze(0)
    }
}

impl<'a> Pass<'a> {
    /// `starts` are those of the segments of `ids`, ascending, with the end.
    pub fn new(
        shape: &'a ModelShape,
        host: &Weights,
        weights: &'a DeviceWeights,
        ids: &[u32],
        starts: &[usize],
        queries: usize,
        device: &Device,
    ) -> Result<Pass<'a>> {
        let segments = starts.windows(2).flat_map(|pair| std::iter::repeat_n(pair[0], pair[1] - pair[0]));
        let segments: Vec<usize> = segments.collect();
        let positions: Vec<usize> = segments.iter().enumerate().map(|(token, start)| token - start).collect();
        let block = |first: usize| Block::new(first..ids.len().min(first + queries), &segments, device);
        Ok(Pass {
            shape,
            weights,
            ids: Tensor::new(ids, device)?,
            angles: Angles::new(host, &positions, device)?,
            blocks: (0..ids.len()).step_by(queries.max(1)).map(block).collect::<Result<_>>()?,
        })
    }

    /// All layers; `[T, hidden]`, before the last norm. `seen` is given the input, keys and values `[T, kv_heads, head_dim]`
    /// of each layer.
    pub fn run(&self, mut seen: impl FnMut(&Tensor, Tensor, Tensor) -> Result<()>) -> Result<Tensor> {
        let mut x = self.weights.embed.index_select(&self.ids, 0)?;
        for layer in &self.weights.layers {
            let [q, k, v] = project(self.shape, layer, &x, &self.angles)?;
            let attended = self.attend(&q, &k, &v, layer.dtype(), |_| ())?;
            let after = finish(self.shape, layer, &x, &attended)?;
            seen(&x, k, v)?;
            x = after;
        }
        Ok(x)
    }

    /// The last norm.
    pub fn hidden(&self, x: &Tensor) -> Result<Tensor> {
        norm(x, &self.weights.norm.value, self.shape)
    }

    /// `[T, heads·head_dim]` of queries, keys and values `[T, heads, head_dim]`, with products in `dtype`. `seen` is given
    /// each block's shares, `[kv_heads, group·queries, keys]` in f32.
    pub fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        dtype: DType,
        mut seen: impl FnMut(Tensor),
    ) -> Result<Tensor> {
        let shape = self.shape;
        let q = scaled(q)?.to_dtype(dtype)?;
        let (k, v) = (k.to_dtype(dtype)?, v.to_dtype(dtype)?);
        let attend = |block: &Block| {
            let (n, m) = (block.queries.len(), block.keys.len());
            let scores = block.grouped(&q, shape)?.matmul(&block.keyed(&k)?.t()?)?.to_dtype(DType::F32)?;
            let scores = scores.reshape((shape.heads, n * m))?.broadcast_add(&block.mask)?;
            let shares = softmax_last_dim(&scores.reshape((shape.kv_heads, (), m))?)?;
            let out = block.ungrouped(&shares.to_dtype(dtype)?.matmul(&block.keyed(&v)?)?, shape)?;
            seen(shares);
            Ok(out)
        };
        Tensor::cat(&self.blocks.iter().map(attend).collect::<Result<Vec<_>>>()?, 0)?.to_dtype(DType::F32)
    }
}

impl Block {
    /// Of the whole pass `[T, heads, n]` to the block's `[kv_heads, group·queries, n]`.
    pub fn grouped(&self, x: &Tensor, shape: &ModelShape) -> Result<Tensor> {
        let (n, kv) = (self.queries.len(), shape.kv_heads);
        let each = x.dim(2)?;
        let x = x.narrow(0, self.queries.start, n)?.reshape((n, kv, shape.heads / kv, each))?;
        x.permute((1, 2, 0, 3))?.contiguous()?.reshape((kv, (), each))
    }

    /// The other way round, `[queries, heads·head_dim]`.
    pub fn ungrouped(&self, x: &Tensor, shape: &ModelShape) -> Result<Tensor> {
        let (n, kv) = (self.queries.len(), shape.kv_heads);
        let x = x.reshape((kv, shape.heads / kv, n, shape.head_dim))?;
        x.permute((2, 0, 1, 3))?.contiguous()?.reshape((n, shape.q_width()))
    }

    /// Of the whole pass `[T, kv_heads, head_dim]` to `[kv_heads, keys, head_dim]`.
    pub fn keyed(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(0, self.keys.start, self.keys.len())?.transpose(0, 1)?.contiguous()
    }
}

/// Over the square root of the last dimension: queries, before they meet keys.
pub fn scaled(q: &Tensor) -> Result<Tensor> {
    q * (1.0 / (q.dim(D::Minus1)? as f64).sqrt())
}

/// Queries, keys and values of `[T, hidden]`, rotated: `[T, heads, head_dim]` each.
pub fn project(shape: &ModelShape, layer: &Layer, x: &Tensor, angles: &Angles) -> Result<[Tensor; 3]> {
    let normed = norm(x, &layer.norm1.value, shape)?.to_dtype(layer.dtype())?;
    let part = |part: usize| turn(shape, layer, &raw(shape, layer, &normed, part)?, part, angles);
    Ok([part(0)?, part(1)?, part(2)?])
}

/// One of the three as it is projected, `[T, heads, head_dim]`.
pub fn raw(shape: &ModelShape, layer: &Layer, normed: &Tensor, part: usize) -> Result<Tensor> {
    let y = linear(normed, &layer.qkv[part].value)?;
    let y = match &layer.biases {
        Some(biases) => y.broadcast_add(&biases[part].value)?,
        None => y,
    };
    y.reshape((normed.dim(0)?, (), shape.head_dim))
}

/// Queries and keys with their norm and rotated; values as they are.
pub fn turn(shape: &ModelShape, layer: &Layer, raw: &Tensor, part: usize, angles: &Angles) -> Result<Tensor> {
    match &layer.qk_norms {
        _ if part == 2 => Ok(raw.clone()),
        Some(gains) => angles.rotate(&norm(raw, &gains[part].value, shape)?),
        None => angles.rotate(raw),
    }
}

/// The rest of a layer: `x` with attention's output and the feed-forward's added.
pub fn finish(shape: &ModelShape, layer: &Layer, x: &Tensor, attended: &Tensor) -> Result<Tensor> {
    let x = (x + linear(attended, &layer.o.value)?)?;
    let normed = norm(&x, &layer.norm2.value, shape)?.to_dtype(layer.dtype())?;
    let activated = (silu(&linear(&normed, &layer.gate.value)?)? * linear(&normed, &layer.up.value)?)?;
    &x + linear(&activated, &layer.down.value)?
}

/// `x·Wᵀ`, computed in the type of `W`, to f32.
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(DType::F32)
}

/// RMSNorm over the last dimension.
pub fn norm(x: &Tensor, gain: &Tensor, shape: &ModelShape) -> Result<Tensor> {
    rms_norm(x, gain, shape.norm_eps as f32)
}

/// What rows of logits say, `[rows, vocab]`: only sums over the vocabulary are ever divided, never the numbers themselves.
pub struct Spread {
    /// `exp(logit - largest)`, `[rows, vocab]`.
    pub powers: Tensor,
    /// Their sums, `[rows, 1]`, as the others are.
    pub total: Tensor,
    /// `log Σ exp(logit)`.
    pub whole: Tensor,
    pub entropy: Tensor,
}

impl Spread {
    pub fn of(logits: &Tensor) -> Result<Spread> {
        let top = logits.max_keepdim(D::Minus1)?;
        let powers = logits.broadcast_sub(&top)?.exp()?;
        let total = powers.sum_keepdim(D::Minus1)?;
        let mean = ((&powers * logits)?.sum_keepdim(D::Minus1)? / &total)?;
        let whole = (total.log()? + top)?;
        let entropy = (&whole - mean)?;
        Ok(Spread { powers, total, whole, entropy })
    }
}
