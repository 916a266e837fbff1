//! SwiGLU, additions and biases.

use super::softmax::exp;

vectorised! {
    /// `out = silu(gate) · up`.
    pub fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate / (1.0 + exp(-gate)) * up;
        }
    }

    /// The gradients by `gate` and `up`, written over them.
    pub fn swiglu_backward(gate: &mut [f32], up: &mut [f32], d_out: &[f32]) {
        for ((gate, up), d_out) in gate.iter_mut().zip(up).zip(d_out) {
            let sigmoid = 1.0 / (1.0 + exp(-*gate));
            let silu = *gate * sigmoid;
            let d_gate = d_out * *up * (sigmoid + silu * (1.0 - sigmoid));
            *up = d_out * silu;
            *gate = d_gate;
        }
    }

    /// `to += from`.
    pub fn add(to: &mut [f32], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }

    /// Adds a bias to every row.
    pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }

    /// Adds every row to the gradient of a bias.
    pub fn add_bias_backward(d_rows: &[f32], d_bias: &mut [f32]) {
        for row in d_rows.chunks_exact(d_bias.len()) {
            for (d_bias, value) in d_bias.iter_mut().zip(row) {
                *d_bias += value;
            }
        }
    }
}
