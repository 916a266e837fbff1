//! Causal grouped-query attention over segments, forward and backward.
//!
//! Scores and outputs are matrix products over blocks of query rows; each element is the same FMA chain as in the decode
//! step of the sampler, so both give the same bits. Probabilities are not kept: the backward pass makes them again from the
//! saved normaliser, which costs one more product and saves memory that grows with the square of the context.

use super::kernel::gemm::{Left, Right, product};
use super::kernel::softmax::{softmax, softmax_again, softmax_backward};
use crate::recipe::ModelShape;

/// Query rows of one block.
const BLOCK: usize = 32;

/// Scratch of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    d_scores: Vec<f32>,
}

/// Widths and strides of one layer's attention.
#[derive(Clone, Copy)]
pub struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f32,
}

impl Heads {
    pub fn new(shape: &ModelShape) -> Heads {
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        Heads { heads: shape.heads, kv_heads: shape.kv_heads, head_dim: shape.head_dim, scale }
    }

    /// Query heads that share one key-value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// Activations of one layer that attention reads: `q: [N, heads·head_dim]`, `k`, `v: [N, kv_heads·head_dim]`, after rotation.
#[derive(Clone, Copy)]
pub struct Qkv<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
}

/// `out: [N, heads·head_dim]`; `log_sums: [N, heads]` for the backward pass. `starts` are the borders of the segments.
pub fn forward(heads: Heads, qkv: Qkv, starts: &[usize], out: &mut [f32], log_sums: &mut [f32], scratch: &mut Scratch) {
    let (dim, q_width, kv_width) = (heads.head_dim, heads.q_width(), heads.kv_width());
    for (start, end) in starts.windows(2).map(|pair| (pair[0], pair[1])) {
        let length = end - start;
        let padded = length.next_multiple_of(16);
        for kv_head in 0..heads.kv_heads {
            let kv_at = start * kv_width + kv_head * dim;
            transpose(&qkv.k[kv_at..], kv_width, length, dim, padded, &mut scratch.keys);
            for head in kv_head * heads.group()..(kv_head + 1) * heads.group() {
                for top in (0..length).step_by(BLOCK) {
                    let bottom = (top + BLOCK).min(length);
                    let (rows, at) = (bottom - top, (start + top) * q_width + head * dim);
                    scratch.scores.resize(BLOCK * padded, 0.0);
                    let queries = Left { data: &qkv.q[at..], row_stride: q_width, step: 1 };
                    let keys = Right { data: &scratch.keys, stride: padded };
                    product(queries, keys, [rows, dim, bottom], &mut scratch.scores, padded, false);
                    for row in 0..rows {
                        let scores = &mut scratch.scores[row * padded..row * padded + bottom];
                        let (seen, future) = scores.split_at_mut(top + row + 1);
                        log_sums[(start + top + row) * heads.heads + head] = softmax(seen, heads.scale);
                        future.fill(0.0);
                    }
                    let probabilities = Left { data: &scratch.scores, row_stride: padded, step: 1 };
                    let values = Right { data: &qkv.v[kv_at..], stride: kv_width };
                    product(probabilities, values, [rows, bottom, dim], &mut out[at..], q_width, false);
                }
            }
        }
    }
}

/// Gradients by q, k and v, given the gradient by the output. `dk` and `dv` must be zero on entry; `dq` is written.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    heads: Heads,
    qkv: Qkv,
    starts: &[usize],
    log_sums: &[f32],
    d_out: &[f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (dim, q_width, kv_width) = (heads.head_dim, heads.q_width(), heads.kv_width());
    for (start, end) in starts.windows(2).map(|pair| (pair[0], pair[1])) {
        let length = end - start;
        let padded = length.next_multiple_of(16);
        scratch.scores.resize(BLOCK * padded, 0.0);
        scratch.d_scores.resize(BLOCK * padded, 0.0);
        for kv_head in 0..heads.kv_heads {
            let kv_at = start * kv_width + kv_head * dim;
            transpose(&qkv.k[kv_at..], kv_width, length, dim, padded, &mut scratch.keys);
            transpose(&qkv.v[kv_at..], kv_width, length, dim, padded, &mut scratch.values);
            for head in kv_head * heads.group()..(kv_head + 1) * heads.group() {
                for top in (0..length).step_by(BLOCK) {
                    let bottom = (top + BLOCK).min(length);
                    let (rows, at) = (bottom - top, (start + top) * q_width + head * dim);
                    let queries = Left { data: &qkv.q[at..], row_stride: q_width, step: 1 };
                    let gradients = Left { data: &d_out[at..], row_stride: q_width, step: 1 };
                    let keys = Right { data: &scratch.keys, stride: padded };
                    let values = Right { data: &scratch.values, stride: padded };
                    product(queries, keys, [rows, dim, bottom], &mut scratch.scores, padded, false);
                    product(gradients, values, [rows, dim, bottom], &mut scratch.d_scores, padded, false);
                    for row in 0..rows {
                        let seen = top + row + 1;
                        let scores = &mut scratch.scores[row * padded..row * padded + bottom];
                        let d_scores = &mut scratch.d_scores[row * padded..row * padded + bottom];
                        let log_sum = log_sums[(start + top + row) * heads.heads + head];
                        softmax_again(&mut scores[..seen], heads.scale, log_sum);
                        softmax_backward(&scores[..seen], &mut d_scores[..seen], heads.scale);
                        scores[seen..].fill(0.0);
                        d_scores[seen..].fill(0.0);
                    }
                    let by_row = Left { data: &scratch.d_scores, row_stride: padded, step: 1 };
                    let by_key = Left { data: &scratch.d_scores, row_stride: 1, step: padded };
                    let p_by_key = Left { data: &scratch.scores, row_stride: 1, step: padded };
                    let k_rows = Right { data: &qkv.k[kv_at..], stride: kv_width };
                    let q_rows = Right { data: &qkv.q[at..], stride: q_width };
                    let d_rows = Right { data: &d_out[at..], stride: q_width };
                    product(by_row, k_rows, [rows, bottom, dim], &mut dq[at..], q_width, false);
                    product(by_key, q_rows, [bottom, rows, dim], &mut dk[kv_at..], kv_width, true);
                    product(p_by_key, d_rows, [bottom, rows, dim], &mut dv[kv_at..], kv_width, true);
                }
            }
        }
    }
}

/// `out: [dim, padded]` from `rows` rows of `dim` values, `stride` apart.
fn transpose(from: &[f32], stride: usize, rows: usize, dim: usize, padded: usize, out: &mut Vec<f32>) {
    out.resize(dim * padded, 0.0);
    for row in 0..rows {
        for (index, value) in from[row * stride..row * stride + dim].iter().enumerate() {
            out[index * padded + row] = *value;
        }
    }
}
