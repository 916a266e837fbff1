//! The backward pass over one chunk: from the gradient by the final hidden states to the gradient by every parameter.

use super::attention::{self, qkv_width};
use super::forward::{Tape, linear, size};
use super::kernel::elementwise::{add_rows, swiglu_backward};
use super::kernel::gemm::{Into, Panels, gemm_tn, pack_strips, strips_len};
use super::kernel::norm::rms_norm_backward;
use super::kernel::rope::rotate;
use super::packed::{BackwardLayer, Weights};
use crate::recipe::ModelShape;
use crate::recipe::train::Precision;
use std::ops::Range;

/// Buffers of one lane.
#[derive(Debug, Default)]
pub struct Buffers {
    dx: Vec<f32>,
    d_normed: Vec<f32>,
    d_wide: Vec<f32>,
    d_qkv: Vec<f32>,
    raw: Vec<f32>,
    row: Vec<f32>,
    rounded: Vec<f32>,
    pub products: ProductBuffers,
}

/// Packed forms of the two sides of a weight's gradient.
#[derive(Debug, Default)]
pub struct ProductBuffers {
    strips: Vec<f32>,
    inputs: Panels,
}

impl ProductBuffers {
    /// Packs the input of one or several linear layers.
    pub fn input(&mut self, x: &[f32], width: usize) {
        self.inputs.pack(&[x], width);
    }

    /// Adds `dyᵀ·x` to a weight's gradient, for the columns of `dy` (rows `stride` apart) and the packed input `x`.
    pub fn add_gradient(&mut self, dy: &[f32], stride: usize, columns: Range<usize>, grad: &mut [f32]) {
        let (rows, n, m) = (self.inputs.k, self.inputs.n, columns.len());
        let strips = size(&mut self.strips, strips_len(rows, m));
        pack_strips(&dy[columns.start..], rows, m, stride, strips);
        gemm_tn(strips, m, rows, &self.inputs.data, n, grad, n);
    }
}

/// A gradient as products read it; the residual stream's own stays f32.
fn operand<'a>(weights: &Weights, values: &'a [f32], rounded: &'a mut Vec<f32>) -> &'a [f32] {
    if weights.precision == Precision::F32 {
        return values;
    }
    rounded.clear();
    rounded.extend_from_slice(values);
    weights.round(rounded);
    rounded
}

/// Adds to `grads` (in the layout of the weights) the gradient of the pass in `tape`, given that by `tape.normed`.
///
/// Overwrites parts of the tape.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    shape: &ModelShape,
    weights: &Weights,
    packed: &[BackwardLayer],
    ids: &[u32],
    starts: &[usize],
    tape: &mut Tape,
    d_final: &[f32],
    buffers: &mut Buffers,
    grads: &mut [f32],
) {
    let (n, d, ffn, q_width, kv_width) = (ids.len(), shape.hidden, shape.ffn, shape.q_width(), shape.kv_width());
    let (width, heads, keys) = (qkv_width(shape), shape.heads, q_width..q_width + kv_width);
    let Buffers { dx, d_normed, d_wide, d_qkv, raw, row, rounded, products } = buffers;
    let Tape { layers, x, inverse, positions, scratch, .. } = tape;
    size(row, d.max(shape.head_dim));
    size(dx, n * d).fill(0.0);
    let norm = &weights.layout.norm;
    rms_norm_backward(x, weights.get(norm), inverse, d_final, dx, &mut grads[norm.clone()], row);
    for (index, layer) in layers.iter_mut().enumerate().rev() {
        let (at, packed) = (&weights.layout.layers[index], &packed[index]);
        // Feed-forward: x + down(swiglu(gate(norm x), up(norm x))).
        products.input(&layer.activated, ffn);
        let dy = operand(weights, dx, rounded);
        products.add_gradient(dy, d, 0..d, &mut grads[at.down.clone()]);
        linear(dy, &packed.down, size(d_wide, n * ffn), Into::Replace);
        weights.round(d_wide);
        swiglu_backward(&mut layer.gate_up, ffn, d_wide);
        weights.round(&mut layer.gate_up);
        products.input(&layer.normed2, d);
        products.add_gradient(&layer.gate_up, 2 * ffn, 0..ffn, &mut grads[at.gate.clone()]);
        products.add_gradient(&layer.gate_up, 2 * ffn, ffn..2 * ffn, &mut grads[at.up.clone()]);
        linear(&layer.gate_up, &packed.gate_up, size(d_normed, n * d), Into::Replace);
        weights.round(d_normed);
        let norm = &at.norm2;
        rms_norm_backward(
            &layer.middle,
            weights.get(norm),
            &layer.inverse2,
            d_normed,
            dx,
            &mut grads[norm.clone()],
            row,
        );
        // Attention: x + o(attend(q, k, v)).
        products.input(&layer.attended, q_width);
        let dy = operand(weights, dx, rounded);
        products.add_gradient(dy, d, 0..d, &mut grads[at.o.clone()]);
        linear(dy, &packed.o, size(d_wide, n * q_width), Into::Replace);
        weights.round(d_wide);
        size(d_qkv, n * width);
        for (start, end) in starts.windows(2).map(|pair| (pair[0], pair[1])) {
            let (wide, narrow) = (start * width..end * width, start * q_width..end * q_width);
            let norms = &layer.row_norms[start * heads..end * heads];
            attention::backward(
                shape,
                &layer.heads.qkv[wide.clone()],
                norms,
                &d_wide[narrow],
                &mut d_qkv[wide],
                scratch,
            );
        }
        weights.round(d_qkv);
        let longest = positions.iter().max().map_or(0, |last| last + 1);
        rotate(d_qkv, width, heads + shape.kv_heads, positions, weights.rotation(longest), -1.0);
        if let Some([q, k]) = &at.qk_norms {
            let tape = &layer.heads;
            let inverses = tape.q_inverse.chunks_exact(heads).zip(tape.k_inverse.chunks_exact(shape.kv_heads));
            for ((d_row, raw_row), (q_inverse, k_inverse)) in
                d_qkv.chunks_exact_mut(width).zip(tape.raw.chunks_exact(width)).zip(inverses)
            {
                for (part, gain, inverse) in [(0..q_width, q, q_inverse), (keys.clone(), k, k_inverse)] {
                    let d_raw = size(raw, part.len());
                    d_raw.fill(0.0);
                    let (gains, d_gain) = (weights.get(gain), &mut grads[gain.clone()]);
                    rms_norm_backward(&raw_row[part.clone()], gains, inverse, &d_row[part.clone()], d_raw, d_gain, row);
                    d_row[part].copy_from_slice(d_raw);
                }
            }
        }
        weights.round(d_qkv);
        let parts = [0..q_width, keys.clone(), q_width + kv_width..width];
        if let Some(biases) = &at.biases {
            for (bias, part) in biases.iter().zip(&parts) {
                add_rows(&d_qkv[part.start..], width, &mut grads[bias.clone()]);
            }
        }
        products.input(&layer.normed1, d);
        for (weight, part) in [&at.q, &at.k, &at.v].into_iter().zip(parts) {
            products.add_gradient(d_qkv, width, part, &mut grads[weight.clone()]);
        }
        linear(d_qkv, &packed.qkv, size(d_normed, n * d), Into::Replace);
        weights.round(d_normed);
        let norm = &at.norm1;
        rms_norm_backward(&layer.x, weights.get(norm), &layer.inverse1, d_normed, dx, &mut grads[norm.clone()], row);
    }
    let d_embed = &mut grads[weights.layout.embed.clone()];
    for (id, dx) in ids.iter().zip(dx.chunks_exact(d)) {
        for (to, from) in d_embed[*id as usize * d..].iter_mut().zip(dx) {
            *to += from;
        }
    }
}
