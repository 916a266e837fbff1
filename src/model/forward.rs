//! The forward pass over one chunk of tokens, with everything saved that the backward pass reads, and the parts of a layer
//! that it shares with the sampler's decode step.

use super::attention::{self, RowNorm, qkv_width};
use super::kernel::elementwise::{add, swiglu};
use super::kernel::gemm::{Into, Panels, gemm};
use super::kernel::norm::rms_norm;
use super::kernel::rope::rotate;
use super::packed::Weights;
use crate::recipe::ModelShape;
use crate::recipe::train::Precision;
use std::ops::Range;

/// What one layer computed, `[N, …]` each.
#[derive(Debug, Default)]
pub struct LayerTape {
    /// Residual stream before attention, and its norm.
    pub x: Vec<f32>,
    pub inverse1: Vec<f32>,
    pub normed1: Vec<f32>,
    pub heads: Projected,
    pub row_norms: Vec<RowNorm>,
    pub attended: Vec<f32>,
    /// Residual stream before the feed-forward, and its norm.
    pub middle: Vec<f32>,
    pub inverse2: Vec<f32>,
    pub normed2: Vec<f32>,
    /// `[gate | up]`.
    pub gate_up: Vec<f32>,
    pub activated: Vec<f32>,
}

/// Queries, keys and values of some tokens.
#[derive(Debug, Default)]
pub struct Projected {
    /// `[queries | keys | values]`, after norm and rotation.
    pub qkv: Vec<f32>,
    /// The same before the norm of heads, and the inverse norms, `[N, heads]` and `[N, kv_heads]` (Qwen3 only).
    pub raw: Vec<f32>,
    pub q_inverse: Vec<f32>,
    pub k_inverse: Vec<f32>,
}

/// What the whole pass computed.
#[derive(Debug, Default)]
pub struct Tape {
    pub layers: Vec<LayerTape>,
    /// Residual stream after the last layer, and its norm: what the head reads.
    pub x: Vec<f32>,
    pub inverse: Vec<f32>,
    pub normed: Vec<f32>,
    /// Position of each token in its segment.
    pub positions: Vec<usize>,
    pub scratch: attention::Scratch,
    /// A product on its way to the residual stream (bf16 only).
    pub spare: Vec<f32>,
}

/// Sets a buffer's length without caring what is in it.
pub fn size(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    buffer.resize(length, 0.0);
    buffer
}

fn copy(from: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(from);
}

/// `out = x·Wᵀ`, or `out += x·Wᵀ`, for packed weights.
pub fn linear(x: &[f32], weight: &Panels, out: &mut [f32], into: Into) {
    gemm(x, weight.k, out.len() / weight.n, weight.k, &weight.data, weight.k, weight.n, out, weight.n, into);
}

/// Adds `x·Wᵀ` to the residual stream.
pub fn residual(weights: &Weights, x: &[f32], weight: &Panels, stream: &mut [f32], spare: &mut Vec<f32>) {
    if weights.precision == Precision::F32 {
        return linear(x, weight, stream, Into::Add);
    }
    let product = size(spare, stream.len());
    linear(x, weight, product, Into::Replace);
    weights.round(product);
    add(stream, product);
}

/// Rows of the embedding table.
pub fn embed(shape: &ModelShape, weights: &Weights, ids: impl Iterator<Item = u32>, x: &mut [f32]) {
    let table = weights.get(&weights.layout.embed);
    for (row, id) in x.chunks_exact_mut(shape.hidden).zip(ids) {
        row.copy_from_slice(&table[id as usize * shape.hidden..][..shape.hidden]);
    }
}

/// Projects normed rows to queries, keys and values, normed (Qwen3) and rotated.
pub fn project(
    shape: &ModelShape,
    weights: &Weights,
    layer: usize,
    normed: &[f32],
    positions: &[usize],
    out: &mut Projected,
) {
    let (at, width, n, eps) = (&weights.layout.layers[layer], qkv_width(shape), positions.len(), shape.norm_eps as f32);
    let (q_width, kv_width) = (shape.q_width(), shape.kv_width());
    let qkv = size(&mut out.qkv, n * width);
    let into = match &at.biases {
        None => Into::Replace,
        Some([q, k, v]) => {
            for row in qkv.chunks_exact_mut(width) {
                row[..q_width].copy_from_slice(weights.get(q));
                row[q_width..q_width + kv_width].copy_from_slice(weights.get(k));
                row[q_width + kv_width..].copy_from_slice(weights.get(v));
            }
            Into::Add
        }
    };
    linear(normed, &weights.packed[layer].qkv, qkv, into);
    weights.round(qkv);
    if let Some([q, k]) = &at.qk_norms {
        copy(qkv, &mut out.raw);
        size(&mut out.q_inverse, n * shape.heads);
        size(&mut out.k_inverse, n * shape.kv_heads);
        let inverses = out.q_inverse.chunks_exact_mut(shape.heads).zip(out.k_inverse.chunks_exact_mut(shape.kv_heads));
        let rows = qkv.chunks_exact_mut(width).zip(out.raw.chunks_exact(width));
        for ((row, raw), (q_inverse, k_inverse)) in rows.zip(inverses) {
            let keys = q_width..q_width + kv_width;
            rms_norm(&raw[..q_width], weights.get(q), eps, &mut row[..q_width], q_inverse);
            rms_norm(&raw[keys.clone()], weights.get(k), eps, &mut row[keys], k_inverse);
        }
    }
    let longest = positions.iter().max().map_or(0, |last| last + 1);
    rotate(qkv, width, shape.heads + shape.kv_heads, positions, weights.rotation(longest), 1.0);
    weights.round(qkv);
}

/// Adds the feed-forward of normed rows to the residual stream.
#[allow(clippy::too_many_arguments)]
pub fn feed_forward(
    shape: &ModelShape,
    weights: &Weights,
    layer: usize,
    normed: &[f32],
    gate_up: &mut Vec<f32>,
    activated: &mut Vec<f32>,
    x: &mut [f32],
    spare: &mut Vec<f32>,
) {
    let n = normed.len() / shape.hidden;
    linear(normed, &weights.packed[layer].gate_up, size(gate_up, n * 2 * shape.ffn), Into::Replace);
    weights.round(gate_up);
    swiglu(gate_up, shape.ffn, size(activated, n * shape.ffn));
    weights.round(activated);
    residual(weights, activated, &weights.packed[layer].down, x, spare);
}

/// The norm of rows, as the products that follow read it.
pub fn norm(weights: &Weights, gain: &Range<usize>, eps: f32, x: &[f32], y: &mut [f32], inverse: &mut [f32]) {
    rms_norm(x, weights.get(gain), eps, y, inverse);
    weights.round(y);
}

/// Runs the decoder on `ids` cut at `starts`; `tape.normed` holds the final hidden states.
pub fn forward(shape: &ModelShape, weights: &Weights, ids: &[u32], starts: &[usize], tape: &mut Tape) {
    let (n, d, q_width, width) = (ids.len(), shape.hidden, shape.q_width(), qkv_width(shape));
    let eps = shape.norm_eps as f32;
    tape.positions.clear();
    tape.positions.extend(starts.windows(2).flat_map(|pair| 0..pair[1] - pair[0]));
    tape.layers.resize_with(shape.layers, LayerTape::default);
    embed(shape, weights, ids.iter().copied(), size(&mut tape.x, n * d));
    let Tape { layers, x, inverse, normed, positions, scratch, spare } = tape;
    for (index, layer) in layers.iter_mut().enumerate() {
        let at = &weights.layout.layers[index];
        copy(x, &mut layer.x);
        size(&mut layer.inverse1, n);
        norm(weights, &at.norm1, eps, x, size(&mut layer.normed1, n * d), &mut layer.inverse1);
        project(shape, weights, index, &layer.normed1, positions, &mut layer.heads);
        layer.row_norms.resize(n * shape.heads, RowNorm::default());
        size(&mut layer.attended, n * q_width);
        for (start, end) in starts.windows(2).map(|pair| (pair[0], pair[1])) {
            let qkv = &layer.heads.qkv[start * width..end * width];
            let attended = &mut layer.attended[start * q_width..end * q_width];
            let norms = &mut layer.row_norms[start * shape.heads..end * shape.heads];
            attention::forward(shape, qkv, attended, norms, scratch);
        }
        weights.round(&mut layer.attended);
        residual(weights, &layer.attended, &weights.packed[index].o, x, spare);
        copy(x, &mut layer.middle);
        size(&mut layer.inverse2, n);
        norm(weights, &at.norm2, eps, x, size(&mut layer.normed2, n * d), &mut layer.inverse2);
        feed_forward(shape, weights, index, &layer.normed2, &mut layer.gate_up, &mut layer.activated, x, spare);
    }
    size(inverse, n);
    norm(weights, &weights.layout.norm, eps, x, size(normed, n * d), inverse);
}
