//! The forward pass over some whole segments, in candle's differentiable operations.
//!
//! Queries attend block by block to the keys from the start of their first segment on, so the memory of attention grows
//! with a block times the longest segment, and a row of many short documents takes few launches. Query heads that share keys
//! are rows of one product; keys are not repeated.

use super::weights::{DeviceWeights, Layer};
use crate::model::decoder::Weights;
use crate::recipe::ModelShape;
use candle_core::{D, DType, Device, Result, Tensor};
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
    blocks: Vec<Block>,
}

/// Cosines and sines of each token's position, `[T, 1, head_dim / 2]`.
pub struct Angles {
    cos: Tensor,
    sin: Tensor,
}

/// Queries that attend at once, and the keys that any of them sees.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
    /// 0 where a query sees a key and [`HIDDEN`] elsewhere, `[queries, keys]`.
    mask: Tensor,
}

impl Angles {
    pub fn new(host: &Weights, positions: &[usize], device: &Device) -> Result<Angles> {
        let rotation = host.rotation(positions.iter().max().map_or(1, |last| last + 1));
        let half = rotation.half;
        let rows = |table: &[f32]| {
            let rows = positions.iter().flat_map(|at| &table[at * half..(at + 1) * half]);
            Tensor::from_vec(rows.copied().collect::<Vec<f32>>(), (positions.len(), 1, half), device)
        };
        Ok(Angles { cos: rows(&rotation.cos)?, sin: rows(&rotation.sin)? })
    }

    /// Rotates `[T, heads, head_dim]`, the first half of a head against the second.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.dim(2)? / 2;
        let (low, high) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let turned_low = (low.broadcast_mul(&self.cos)? - high.broadcast_mul(&self.sin)?)?;
        let turned_high = (high.broadcast_mul(&self.cos)? + low.broadcast_mul(&self.sin)?)?;
        Tensor::cat(&[turned_low, turned_high], 2)
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
        let block = |first: usize| {
            let queries = first..ids.len().min(first + queries);
            let keys = segments[first]..queries.end;
            let sees = |query: usize, key: usize| (segments[query]..=query).contains(&key);
            let row = |query| keys.clone().map(move |key| if sees(query, key) { 0.0 } else { HIDDEN });
            let mask: Vec<f32> = queries.clone().flat_map(row).collect();
            let mask = Tensor::from_vec(mask, (queries.len(), keys.len()), device)?;
            Ok(Block { queries, keys, mask })
        };
        Ok(Pass {
            shape,
            weights,
            ids: Tensor::new(ids, device)?,
            angles: Angles::new(host, &positions, device)?,
            blocks: (0..ids.len()).step_by(queries.max(1)).map(block).collect::<Result<_>>()?,
        })
    }

    /// All layers, without a graph; `[T, hidden]`, before the last norm. `seen` is given the input, keys and values
    /// `[T, kv_heads, head_dim]` of each layer.
    pub fn run(&self, mut seen: impl FnMut(&Tensor, Tensor, Tensor) -> Result<()>) -> Result<Tensor> {
        let mut x = self.weights.embed.index_select(&self.ids, 0)?;
        for layer in &self.weights.plain {
            let [q, k, v] = project(self.shape, layer, &x, &self.angles)?;
            let attended = self.attend(&q, &k, &v, layer.o.value.dtype())?;
            let after = finish(self.shape, layer, &x, &attended)?;
            seen(&x, k, v)?;
            x = after;
        }
        Ok(x)
    }

    /// One layer, `[T, hidden]` to the same.
    pub fn layer(&self, layer: &Layer, x: &Tensor) -> Result<Tensor> {
        let [q, k, v] = project(self.shape, layer, x, &self.angles)?;
        let attended = self.attend(&q, &k, &v, layer.o.value.dtype())?;
        finish(self.shape, layer, x, &attended)
    }

    /// The last norm, without a graph.
    pub fn hidden(&self, x: &Tensor) -> Result<Tensor> {
        norm(x, &self.weights.norm.value.detach(), self.shape)
    }

    /// `[T, heads·head_dim]` of queries, keys and values `[T, heads, head_dim]`, with products in `dtype`.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, dtype: DType) -> Result<Tensor> {
        let shape = self.shape;
        let (heads, dim, group) = (shape.kv_heads, shape.head_dim, shape.heads / shape.kv_heads);
        let attend = |block: &Block| {
            let (n, m) = (block.queries.len(), block.keys.len());
            let q = q.narrow(0, block.queries.start, n)?.reshape((n, heads, group, dim))?.permute((1, 2, 0, 3))?;
            let q = q.contiguous()?.reshape((heads, group * n, dim))?.to_dtype(dtype)?;
            let keyed = |x: &Tensor| x.narrow(0, block.keys.start, m)?.transpose(0, 1)?.contiguous()?.to_dtype(dtype);
            let scores = q.matmul(&keyed(k)?.t()?)?.to_dtype(DType::F32)?.reshape((shape.heads, n, m))?;
            let scores = (scores * (1.0 / (dim as f64).sqrt()))?;
            let shares = softmax(&scores.broadcast_add(&block.mask)?)?;
            let shares = shares.reshape((heads, group * n, m))?.to_dtype(dtype)?;
            let out = shares.matmul(&keyed(v)?)?.to_dtype(DType::F32)?.reshape((heads, group, n, dim))?;
            out.permute((2, 0, 1, 3))?.contiguous()?.reshape((n, shape.q_width()))
        };
        Tensor::cat(&self.blocks.iter().map(attend).collect::<Result<Vec<_>>>()?, 0)
    }
}

/// Queries, keys and values of `[T, hidden]`, rotated: `[T, heads, head_dim]` each.
pub fn project(shape: &ModelShape, layer: &Layer, x: &Tensor, angles: &Angles) -> Result<[Tensor; 3]> {
    let normed = norm(x, &layer.norm1.value, shape)?;
    let project = |part: usize, heads: usize| {
        let y = linear(&normed, &layer.qkv[part].value)?;
        let y = match &layer.biases {
            Some(biases) => y.broadcast_add(&biases[part].value)?,
            None => y,
        };
        let y = y.reshape((x.dim(0)?, heads, shape.head_dim))?;
        match &layer.qk_norms {
            Some(gains) if part < 2 => norm(&y, &gains[part].value, shape),
            _ => Ok(y),
        }
    };
    let (q, k, v) = (project(0, shape.heads)?, project(1, shape.kv_heads)?, project(2, shape.kv_heads)?);
    Ok([angles.rotate(&q)?, angles.rotate(&k)?, v])
}

/// The rest of a layer: `x` with attention's output and the feed-forward's added.
pub fn finish(shape: &ModelShape, layer: &Layer, x: &Tensor, attended: &Tensor) -> Result<Tensor> {
    let x = (x + linear(attended, &layer.o.value)?)?;
    let normed = norm(&x, &layer.norm2.value, shape)?;
    let activated = (linear(&normed, &layer.gate.value)?.silu()? * linear(&normed, &layer.up.value)?)?;
    &x + linear(&activated, &layer.down.value)?
}

/// `x·Wᵀ`, computed in the type of `W`, from f32 to f32.
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(DType::F32)
}

/// RMSNorm over the last dimension.
pub fn norm(x: &Tensor, gain: &Tensor, shape: &ModelShape) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + shape.norm_eps)?.sqrt()?;
    x.broadcast_div(&scale)?.broadcast_mul(gain)
}

/// Over the last dimension. The largest score is a constant: it cancels out, and so does its gradient.
pub fn softmax(scores: &Tensor) -> Result<Tensor> {
    let top = scores.max_keepdim(D::Minus1)?.detach();
    let powers = scores.broadcast_sub(&top)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}
