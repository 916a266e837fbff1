//! The backward pass over one chunk: from the gradient by the final hidden states to the gradient by every parameter.

use super::attention::{self, Heads, Qkv};
use super::decoder::Weights;
use super::forward::{Tape, size};
use super::kernel::elementwise::{add_bias_backward, swiglu_backward};
use super::kernel::gemm::{add_weight_gradient, input_gradient};
use super::kernel::norm::rms_norm_backward;
use super::kernel::rope::rotate_back;
use crate::recipe::ModelShape;

/// Buffers of one thread.
#[derive(Debug, Default)]
pub struct Buffers {
    dx: Vec<f32>,
    d_normed: Vec<f32>,
    d_wide: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    raw: Vec<f32>,
}

/// Adds to `grads` (in the layout of the weights) the gradient of the pass in `tape`, given that by `tape.normed`.
///
/// Overwrites parts of the tape.
pub fn backward(
    shape: &ModelShape,
    weights: &Weights,
    ids: &[u32],
    starts: &[usize],
    tape: &mut Tape,
    d_final: &[f32],
    buffers: &mut Buffers,
    grads: &mut [f32],
) {
    let (n, d, q_width, kv_width) = (ids.len(), shape.hidden, shape.q_width(), shape.kv_width());
    let Buffers { dx, d_normed, d_wide, dq, dk, dv, raw } = buffers;
    let Tape { layers, x, inverse, positions, scratch, .. } = tape;
    size(dx, n * d).fill(0.0);
    let norm = weights.layout.norm.clone();
    rms_norm_backward(x, weights.get(&norm), inverse, d_final, dx, &mut grads[norm.clone()]);
    for (index, layer) in layers.iter_mut().enumerate().rev() {
        let at = &weights.layout.layers[index];
        // Feed-forward: x + down(swiglu(gate(norm x), up(norm x))).
        add_weight_gradient(dx, &layer.activated, n, &mut grads[at.down.clone()]);
        input_gradient(dx, weights.get(&at.down), n, size(d_wide, n * shape.ffn), false);
        swiglu_backward(&mut layer.gate, &mut layer.up, d_wide);
        add_weight_gradient(&layer.gate, &layer.normed2, n, &mut grads[at.gate.clone()]);
        add_weight_gradient(&layer.up, &layer.normed2, n, &mut grads[at.up.clone()]);
        input_gradient(&layer.gate, weights.get(&at.gate), n, size(d_normed, n * d), false);
        input_gradient(&layer.up, weights.get(&at.up), n, d_normed, true);
        let norm2 = at.norm2.clone();
        rms_norm_backward(&layer.middle, weights.get(&norm2), &layer.inverse2, d_normed, dx, &mut grads[norm2.clone()]);
        // Attention: x + o(attend(q, k, v)).
        add_weight_gradient(dx, &layer.attended, n, &mut grads[at.o.clone()]);
        input_gradient(dx, weights.get(&at.o), n, size(d_wide, n * q_width), false);
        size(dq, n * q_width);
        size(dk, n * kv_width).fill(0.0);
        size(dv, n * kv_width).fill(0.0);
        let qkv = Qkv { q: &layer.q, k: &layer.k, v: &layer.v };
        attention::backward(Heads::new(shape), qkv, starts, &layer.log_sums, d_wide, dq, dk, dv, scratch);
        let rotation = weights.rotation(positions.iter().max().map_or(0, |last| last + 1));
        let half = rotation.half;
        for (row, position) in positions.iter().enumerate() {
            let angles = position * half..(position + 1) * half;
            let (cos, sin) = (&rotation.cos[angles.clone()], &rotation.sin[angles]);
            rotate_back(&mut dq[row * q_width..(row + 1) * q_width], cos, sin);
            rotate_back(&mut dk[row * kv_width..(row + 1) * kv_width], cos, sin);
        }
        if let Some([q, k]) = &at.qk_norms {
            for (range, tape, inverse, gradient) in
                [(q, &layer.q_raw, &layer.q_inverse, &mut *dq), (k, &layer.k_raw, &layer.k_inverse, &mut *dk)]
            {
                size(raw, gradient.len()).fill(0.0);
                rms_norm_backward(tape, weights.get(range), inverse, gradient, raw, &mut grads[range.clone()]);
                gradient.copy_from_slice(raw);
            }
        }
        if let Some([q, k, v]) = &at.biases {
            add_bias_backward(dq, &mut grads[q.clone()]);
            add_bias_backward(dk, &mut grads[k.clone()]);
            add_bias_backward(dv, &mut grads[v.clone()]);
        }
        let mut accumulate = false;
        for (weight, gradient) in [(&at.q, &*dq), (&at.k, &*dk), (&at.v, &*dv)] {
            add_weight_gradient(gradient, &layer.normed1, n, &mut grads[weight.clone()]);
            input_gradient(gradient, weights.get(weight), n, d_normed, accumulate);
            accumulate = true;
        }
        let norm1 = at.norm1.clone();
        rms_norm_backward(&layer.x, weights.get(&norm1), &layer.inverse1, d_normed, dx, &mut grads[norm1.clone()]);
    }
    let d_embed = &mut grads[weights.layout.embed.clone()];
    for (id, dx) in ids.iter().zip(dx.chunks_exact(d)) {
        for (to, from) in d_embed[*id as usize * d..].iter_mut().zip(dx) {
            *to += from;
        }
    }
}
