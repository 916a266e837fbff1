//! Causal grouped-query attention over segments, forward and backward.
//!
//! Both are products over blocks of query rows and a softmax of each row. A row's scores, softmax and output are the same
//! chains of operations whatever block it is in: keys that it must not see have weight exactly 0, and adding 0 times a
//! number changes no sum. So a row computed from the sampler's cache has the same bits. Key and value heads are never
//! repeated in memory. Probabilities are not kept: the backward pass makes them again from each row's maximum and sum,
//! which costs one more product and saves memory that grows with the square of the context.

use super::kernel::gemm::{
    Into, PANEL, clear_tail, gemm, gemm_tn, pack, pack_strips, pack_transposed, panels_len, strips_len,
};
use super::kernel::softmax::{multiply, softmax, softmax_backward};
use crate::recipe::ModelShape;

/// Query rows of one block. More rows waste more work on keys that the first of them must not see.
const FORWARD_ROWS: usize = 12;
const BACKWARD_ROWS: usize = 32;

/// A row's greatest score, and the inverse of its sum of exponentials.
pub type RowNorm = [f32; 2];

/// Scratch of one thread; grows to the longest segment.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    key_rows: Vec<f32>,
    scores: Vec<f32>,
    d_scores: Vec<f32>,
    strips: Vec<f32>,
    rows: Vec<f32>,
    d_keys: Vec<f32>,
    d_values: Vec<f32>,
}

fn grow(buffer: &mut Vec<f32>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
}

/// Scores are multiplied by this before the softmax.
pub fn score_scale(shape: &ModelShape) -> f32 {
    1.0 / (shape.head_dim as f32).sqrt()
}

/// Rows `[queries | keys | values]`, after rotation.
pub fn qkv_width(shape: &ModelShape) -> usize {
    shape.q_width() + 2 * shape.kv_width()
}

/// One segment. Rows of `qkv` are `[queries | keys | values]`; rows of `out` are the concatenated heads; `norms` is
/// `[tokens, heads]`.
pub fn forward(shape: &ModelShape, qkv: &[f32], out: &mut [f32], norms: &mut [RowNorm], scratch: &mut Scratch) {
    let (dim, heads, group) = (shape.head_dim, shape.heads, shape.heads / shape.kv_heads);
    let (q_width, stride) = (shape.q_width(), qkv_width(shape));
    let tokens = qkv.len() / stride;
    let scale = score_scale(shape);
    let ld = tokens.next_multiple_of(PANEL);
    grow(&mut scratch.keys, panels_len(dim, tokens));
    grow(&mut scratch.values, panels_len(tokens, dim));
    grow(&mut scratch.scores, FORWARD_ROWS * ld);
    for kv in 0..shape.kv_heads {
        let (k_at, v_at) = (q_width + kv * dim, q_width + shape.kv_width() + kv * dim);
        pack_transposed(&qkv[k_at..], dim, stride, tokens, 0, &mut scratch.keys);
        clear_tail(dim, tokens, &mut scratch.keys);
        pack(&qkv[v_at..], tokens, dim, stride, 0, tokens, &mut scratch.values);
        for head in kv * group..(kv + 1) * group {
            for first in (0..tokens).step_by(FORWARD_ROWS) {
                let rows = FORWARD_ROWS.min(tokens - first);
                let seen = first + rows;
                let queries = &qkv[first * stride + head * dim..];
                gemm(queries, stride, rows, dim, &scratch.keys, dim, seen, &mut scratch.scores, ld, Into::Replace);
                for row in 0..rows {
                    norms[(first + row) * heads + head] =
                        softmax(&mut scratch.scores[row * ld..][..seen], first + row + 1, scale);
                }
                let out = &mut out[first * q_width + head * dim..];
                gemm(&scratch.scores, ld, rows, seen, &scratch.values, tokens, dim, out, q_width, Into::Replace);
                for row in 0..rows {
                    multiply(&mut out[row * q_width..][..dim], norms[(first + row) * heads + head][1]);
                }
            }
        }
    }
}

/// The gradient of one segment, into `d_qkv`.
pub fn backward(
    shape: &ModelShape,
    qkv: &[f32],
    norms: &[RowNorm],
    d_out: &[f32],
    d_qkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (dim, heads, group) = (shape.head_dim, shape.heads, shape.heads / shape.kv_heads);
    let (q_width, stride) = (shape.q_width(), qkv_width(shape));
    let tokens = qkv.len() / stride;
    let scale = score_scale(shape);
    let ld = tokens.next_multiple_of(PANEL);
    let s = scratch;
    grow(&mut s.keys, panels_len(dim, tokens));
    grow(&mut s.values, panels_len(dim, tokens));
    grow(&mut s.key_rows, panels_len(tokens, dim));
    grow(&mut s.scores, BACKWARD_ROWS * ld);
    grow(&mut s.d_scores, BACKWARD_ROWS * ld);
    grow(&mut s.strips, strips_len(BACKWARD_ROWS, tokens));
    grow(&mut s.rows, panels_len(BACKWARD_ROWS, dim));
    grow(&mut s.d_keys, tokens * dim);
    grow(&mut s.d_values, tokens * dim);
    for kv in 0..shape.kv_heads {
        let (k_at, v_at) = (q_width + kv * dim, q_width + shape.kv_width() + kv * dim);
        pack_transposed(&qkv[k_at..], dim, stride, tokens, 0, &mut s.keys);
        clear_tail(dim, tokens, &mut s.keys);
        pack_transposed(&qkv[v_at..], dim, stride, tokens, 0, &mut s.values);
        clear_tail(dim, tokens, &mut s.values);
        pack(&qkv[k_at..], tokens, dim, stride, 0, tokens, &mut s.key_rows);
        s.d_keys[..tokens * dim].fill(0.0);
        s.d_values[..tokens * dim].fill(0.0);
        for head in kv * group..(kv + 1) * group {
            for first in (0..tokens).step_by(BACKWARD_ROWS) {
                let rows = BACKWARD_ROWS.min(tokens - first);
                let seen = first + rows;
                let queries = &qkv[first * stride + head * dim..];
                let d_out = &d_out[first * q_width + head * dim..];
                gemm(queries, stride, rows, dim, &s.keys, dim, seen, &mut s.scores, ld, Into::Replace);
                gemm(d_out, q_width, rows, dim, &s.values, dim, seen, &mut s.d_scores, ld, Into::Replace);
                for row in 0..rows {
                    let (scores, d_scores) = (&mut s.scores[row * ld..][..seen], &mut s.d_scores[row * ld..][..seen]);
                    let norm = norms[(first + row) * heads + head];
                    softmax_backward(scores, d_scores, first + row + 1, scale, norm);
                }
                let d_queries = &mut d_qkv[first * stride + head * dim..];
                gemm(&s.d_scores, ld, rows, seen, &s.key_rows, tokens, dim, d_queries, stride, Into::Replace);
                pack_strips(&s.scores, rows, seen, ld, &mut s.strips);
                pack(d_out, rows, dim, q_width, 0, rows, &mut s.rows);
                gemm_tn(&s.strips, seen, rows, &s.rows, dim, &mut s.d_values, dim);
                pack_strips(&s.d_scores, rows, seen, ld, &mut s.strips);
                pack(queries, rows, dim, stride, 0, rows, &mut s.rows);
                gemm_tn(&s.strips, seen, rows, &s.rows, dim, &mut s.d_keys, dim);
            }
        }
        for token in 0..tokens {
            let row = &mut d_qkv[token * stride..][..stride];
            row[k_at..][..dim].copy_from_slice(&s.d_keys[token * dim..][..dim]);
            row[v_at..][..dim].copy_from_slice(&s.d_values[token * dim..][..dim]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Seed;
    use crate::recipe::shape::Architecture;

    const TOKENS: usize = 37;

    /// Three query heads to each of two key heads; more tokens than a block of rows, and not a multiple of a panel.
    fn shape() -> ModelShape {
        ModelShape {
            architecture: Architecture::Llama,
            vocab: 2,
            hidden: 4,
            layers: 1,
            heads: 6,
            kv_heads: 2,
            head_dim: 10,
            ffn: 2,
            rope_theta: 1e4,
            rope_scaling: None,
            norm_eps: 1e-5,
            tied: true,
        }
    }

    fn numbers(count: usize, salt: u64) -> Vec<f32> {
        let mut rng = Seed(salt).stream("test").at(&[]);
        (0..count).map(|_| rng.normal() as f32).collect()
    }

    /// Attention as the formula has it, in double precision: softmax(q·kᵀ/√d)·v over the tokens so far.
    fn plain(shape: &ModelShape, qkv: &[f64]) -> Vec<f64> {
        let (dim, width, q_width, kv_width) = (shape.head_dim, qkv_width(shape), shape.q_width(), shape.kv_width());
        let mut out = vec![0.0; qkv.len() / width * q_width];
        for token in 0..qkv.len() / width {
            for head in 0..shape.heads {
                let kv = head / (shape.heads / shape.kv_heads);
                let query = &qkv[token * width + head * dim..][..dim];
                let row = |at: usize, past: usize| &qkv[past * width + at + kv * dim..][..dim];
                let dot = |past| query.iter().zip(row(q_width, past)).map(|(a, b)| a * b).sum::<f64>();
                let shares: Vec<f64> = (0..=token).map(|past| (dot(past) / (dim as f64).sqrt()).exp()).collect();
                let total: f64 = shares.iter().sum();
                for (past, share) in shares.iter().enumerate() {
                    let out = &mut out[token * q_width + head * dim..][..dim];
                    out.iter_mut().zip(row(q_width + kv_width, past)).for_each(|(o, v)| *o += share / total * v);
                }
            }
        }
        out
    }

    #[test]
    fn attention_equals_the_plain_formula_and_its_gradient_the_difference_quotient() {
        let shape = shape();
        let (width, mut scratch) = (qkv_width(&shape), Scratch::default());
        let (qkv, weights) = (numbers(TOKENS * width, 1), numbers(TOKENS * shape.q_width(), 2));
        let exact: Vec<f64> = qkv.iter().map(|x| f64::from(*x)).collect();
        let mut out = vec![0.0; TOKENS * shape.q_width()];
        let mut norms = vec![RowNorm::default(); TOKENS * shape.heads];
        forward(&shape, &qkv, &mut out, &mut norms, &mut scratch);
        for (at, (ours, plain)) in out.iter().zip(plain(&shape, &exact)).enumerate() {
            assert!((f64::from(*ours) - plain).abs() < 1e-5, "{at}: {ours} and {plain}");
        }
        let mut gradient = vec![f32::NAN; qkv.len()];
        backward(&shape, &qkv, &norms, &weights, &mut gradient, &mut scratch);
        let value = |at: usize, by: f64| {
            let mut moved = exact.clone();
            moved[at] += by;
            plain(&shape, &moved).iter().zip(&weights).map(|(o, w)| o * f64::from(*w)).sum::<f64>()
        };
        for at in (0..qkv.len()).step_by(7) {
            let slope = (value(at, 1e-4) - value(at, -1e-4)) / 2e-4;
            let ours = f64::from(gradient[at]);
            assert!((slope - ours).abs() < 1e-4 * slope.abs().max(1.0), "{at}: {slope} and {ours}");
        }
    }
}
