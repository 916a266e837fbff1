//! SwiGLU, additions and biases.

use super::softmax::exp;

vectorised! {
    /// `out = silu(gate) · up`, for rows `[gate | up]` of twice `width`.
    pub fn swiglu(gate_up: &[f32], width: usize, out: &mut [f32]) {
        for (row, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
            let (gate, up) = row.split_at(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        }
    }

    /// The gradients by gate and up, written over them.
    pub fn swiglu_backward(gate_up: &mut [f32], width: usize, d_out: &[f32]) {
        for (row, d_out) in gate_up.chunks_exact_mut(2 * width).zip(d_out.chunks_exact(width)) {
            let (gate, up) = row.split_at_mut(width);
            for ((gate, up), d_out) in gate.iter_mut().zip(up).zip(d_out) {
                let sigmoid = 1.0 / (1.0 + exp(-*gate));
                let silu = *gate * sigmoid;
                let d_gate = d_out * *up * (sigmoid + silu * (1.0 - sigmoid));
                *up = d_out * silu;
                *gate = d_gate;
            }
        }
    }

    /// Rounds to the nearest bf16, ties to even; NaN stays NaN.
    pub fn round_bf16(values: &mut [f32]) {
        for value in values.iter_mut() {
            let bits = value.to_bits();
            let even = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
            let quiet = bits & 0xffff_0000 | 0x0040_0000;
            *value = f32::from_bits(if value.is_nan() { quiet } else { even });
        }
    }

    /// `to += from`.
    pub fn add(to: &mut [f32], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }

    /// Adds the first columns of every row, rows `stride` apart, to the gradient of a bias.
    pub fn add_rows(d_rows: &[f32], stride: usize, d_bias: &mut [f32]) {
        for row in d_rows.chunks(stride) {
            for (d_bias, value) in d_bias.iter_mut().zip(row) {
                *d_bias += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_bf16_as_the_half_crate_rounds_them() {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-42, f32::NAN];
        let numbers: Vec<f32> = (0..200_000u32).map(|i| f32::from_bits(i * 21_379)).chain(special).collect();
        let mut rounded = numbers.clone();
        round_bf16(&mut rounded);
        for (number, rounded) in numbers.iter().zip(rounded) {
            let expected = half::bf16::from_f32(*number).to_f32();
            assert!(rounded.to_bits() == expected.to_bits() || (rounded.is_nan() && expected.is_nan()), "{number}");
        }
    }

    #[test]
    fn the_gradient_of_swiglu_is_the_difference_quotient() {
        let width = 5;
        let gate_up: Vec<f32> = (0..20).map(|i| ((i * 7) % 13) as f32 * 0.5 - 3.0).collect();
        let weights: Vec<f32> = (0..10).map(|i| i as f32 * 0.3 - 1.0).collect();
        let value = |gate_up: &[f32]| {
            let mut out = vec![0.0; 10];
            swiglu(gate_up, width, &mut out);
            out.iter().zip(&weights).map(|(out, w)| *out as f64 * *w as f64).sum::<f64>()
        };
        let mut gradient = gate_up.clone();
        swiglu_backward(&mut gradient, width, &weights);
        for i in 0..gate_up.len() {
            let nudge = |by: f32| {
                let mut gate_up = gate_up.clone();
                gate_up[i] += by;
                value(&gate_up)
            };
            let slope = (nudge(1e-2) - nudge(-1e-2)) / 2e-2;
            assert!((slope - gradient[i] as f64).abs() < 1e-3, "{i}: {slope} and {}", gradient[i]);
        }
    }
}
