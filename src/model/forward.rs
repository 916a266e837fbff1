//! The forward pass over one chunk of tokens, with everything saved that the backward pass reads.

use super::attention::{self, Heads, Qkv};
use super::decoder::Weights;
use super::kernel::elementwise::{add, add_bias, swiglu};
use super::kernel::gemm::gemm;
use super::kernel::norm::rms_norm;
use super::kernel::rope::rotate;
use crate::recipe::ModelShape;

/// What one layer computed, `[N, …]` each.
#[derive(Debug, Default)]
pub struct LayerTape {
    /// Residual stream before attention, and its norm.
    pub x: Vec<f32>,
    pub inverse1: Vec<f32>,
    pub normed1: Vec<f32>,
    /// Projections before the norm of their heads (Qwen3 only), and the inverse norms.
    pub q_raw: Vec<f32>,
    pub k_raw: Vec<f32>,
    pub q_inverse: Vec<f32>,
    pub k_inverse: Vec<f32>,
    /// After norm and rotation.
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub log_sums: Vec<f32>,
    pub attended: Vec<f32>,
    /// Residual stream before the feed-forward, and its norm.
    pub middle: Vec<f32>,
    pub inverse2: Vec<f32>,
    pub normed2: Vec<f32>,
    pub gate: Vec<f32>,
    pub up: Vec<f32>,
    pub activated: Vec<f32>,
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
    branch: Vec<f32>,
}

/// Sets a buffer's length without caring what is in it.
pub fn size(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    buffer.resize(length, 0.0);
    buffer
}

/// Positions of the tokens of consecutive segments.
pub fn positions(starts: &[usize], out: &mut Vec<usize>) {
    out.clear();
    for pair in starts.windows(2) {
        out.extend(0..pair[1] - pair[0]);
    }
}

/// Runs the decoder on `ids` cut at `starts`; `tape.normed` holds the final hidden states.
pub fn forward(shape: &ModelShape, weights: &Weights, ids: &[u32], starts: &[usize], tape: &mut Tape) {
    let (n, d, q_width, kv_width) = (ids.len(), shape.hidden, shape.q_width(), shape.kv_width());
    let eps = shape.norm_eps as f32;
    positions(starts, &mut tape.positions);
    tape.layers.resize_with(shape.layers, LayerTape::default);
    let embed = weights.get(&weights.layout.embed);
    for (row, id) in size(&mut tape.x, n * d).chunks_exact_mut(d).zip(ids) {
        row.copy_from_slice(&embed[*id as usize * d..(*id as usize + 1) * d]);
    }
    let Tape { layers, x, inverse, normed, positions, scratch, branch } = tape;
    for (index, layer) in layers.iter_mut().enumerate() {
        let (at, packed) = (&weights.layout.layers[index], &weights.packed[index]);
        layer.x.clear();
        layer.x.extend_from_slice(x);
        size(&mut layer.inverse1, n);
        rms_norm(x, weights.get(&at.norm1), eps, size(&mut layer.normed1, n * d), &mut layer.inverse1);
        gemm(&layer.normed1, &packed.q, size(&mut layer.q, n * q_width), false);
        gemm(&layer.normed1, &packed.k, size(&mut layer.k, n * kv_width), false);
        gemm(&layer.normed1, &packed.v, size(&mut layer.v, n * kv_width), false);
        if let Some([q, k, v]) = &at.biases {
            add_bias(&mut layer.q, weights.get(q));
            add_bias(&mut layer.k, weights.get(k));
            add_bias(&mut layer.v, weights.get(v));
        }
        if let Some([q, k]) = &at.qk_norms {
            std::mem::swap(&mut layer.q, &mut layer.q_raw);
            std::mem::swap(&mut layer.k, &mut layer.k_raw);
            size(&mut layer.q_inverse, n * shape.heads);
            size(&mut layer.k_inverse, n * shape.kv_heads);
            rms_norm(&layer.q_raw, weights.get(q), eps, size(&mut layer.q, n * q_width), &mut layer.q_inverse);
            rms_norm(&layer.k_raw, weights.get(k), eps, size(&mut layer.k, n * kv_width), &mut layer.k_inverse);
        }
        let rotation = weights.rotation(positions.iter().max().map_or(0, |last| last + 1));
        let half = rotation.half;
        for (row, position) in positions.iter().enumerate() {
            let angles = position * half..(position + 1) * half;
            let (cos, sin) = (&rotation.cos[angles.clone()], &rotation.sin[angles]);
            rotate(&mut layer.q[row * q_width..(row + 1) * q_width], cos, sin);
            rotate(&mut layer.k[row * kv_width..(row + 1) * kv_width], cos, sin);
        }
        let qkv = Qkv { q: &layer.q, k: &layer.k, v: &layer.v };
        size(&mut layer.log_sums, n * shape.heads);
        let attended = size(&mut layer.attended, n * q_width);
        attention::forward(Heads::new(shape), qkv, starts, attended, &mut layer.log_sums, scratch);
        gemm(&layer.attended, &packed.o, size(branch, n * d), false);
        add(x, branch);
        layer.middle.clear();
        layer.middle.extend_from_slice(x);
        size(&mut layer.inverse2, n);
        rms_norm(x, weights.get(&at.norm2), eps, size(&mut layer.normed2, n * d), &mut layer.inverse2);
        gemm(&layer.normed2, &packed.gate, size(&mut layer.gate, n * shape.ffn), false);
        gemm(&layer.normed2, &packed.up, size(&mut layer.up, n * shape.ffn), false);
        swiglu(&layer.gate, &layer.up, size(&mut layer.activated, n * shape.ffn));
        gemm(&layer.activated, &packed.down, branch, false);
        add(x, branch);
    }
    size(inverse, n);
    rms_norm(x, weights.get(&weights.layout.norm), eps, size(normed, n * d), inverse);
}
