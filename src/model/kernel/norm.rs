//! RMSNorm: `y = x · g / √(mean(x²) + ε)`.

use super::softmax::dot;

vectorised! {
    /// Rows of width `gain.len()`; `inverse` receives one `1/√(mean(x²) + ε)` a row, which the backward pass needs.
    pub fn rms_norm(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32], inverse: &mut [f32]) {
        let width = gain.len();
        for ((x, y), inverse) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(inverse) {
            let scale = 1.0 / (dot(x, x) / width as f32 + eps).sqrt();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * scale * gain;
            }
            *inverse = scale;
        }
    }

    /// Adds the gradient by `x` to `dx` and the gradient by the gain to `d_gain`. `scratch` holds a row.
    pub fn rms_norm_backward(
        x: &[f32], gain: &[f32], inverse: &[f32], dy: &[f32], dx: &mut [f32], d_gain: &mut [f32], scratch: &mut [f32],
    ) {
        let width = gain.len();
        let scratch = &mut scratch[..width];
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).zip(inverse);
        for (((x, dy), dx), inverse) in rows {
            for (((scaled, x), dy), (gain, d_gain)) in
                scratch.iter_mut().zip(x).zip(dy).zip(gain.iter().zip(d_gain.iter_mut()))
            {
                *d_gain = (dy * inverse).mul_add(*x, *d_gain);
                *scaled = dy * gain;
            }
            let along = -dot(scratch, x) * (inverse * inverse * inverse / width as f32);
            for ((dx, scaled), x) in dx.iter_mut().zip(scratch.iter()).zip(x) {
                *dx += x.mul_add(along, scaled * inverse);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_difference_quotient() {
        let (rows, width) = (3, 21);
        let numbers = |n: usize, salt: usize| {
            (0..n).map(|i| ((i * 37 + salt * 11) % 19) as f32 * 0.2 - 1.7).collect::<Vec<f32>>()
        };
        let (x, gain, weights) = (numbers(rows * width, 1), numbers(width, 2), numbers(rows * width, 3));
        let value = |x: &[f32], gain: &[f32]| {
            let (mut y, mut inverse) = (vec![0.0; rows * width], vec![0.0; rows]);
            rms_norm(x, gain, 1e-5, &mut y, &mut inverse);
            (y.iter().zip(&weights).map(|(y, w)| *y as f64 * *w as f64).sum::<f64>(), inverse)
        };
        let inverse = value(&x, &gain).1;
        let (mut dx, mut d_gain) = (vec![0.0; rows * width], vec![0.0; width]);
        rms_norm_backward(&x, &gain, &inverse, &weights, &mut dx, &mut d_gain, &mut vec![0.0; width]);
        let slope = |f: &dyn Fn(f32) -> f64| (f(1e-2) - f(-1e-2)) / 2e-2;
        for i in 0..x.len() {
            let nudged = |by: f32| {
                let mut x = x.clone();
                x[i] += by;
                value(&x, &gain).0
            };
            assert!((slope(&nudged) - dx[i] as f64).abs() < 2e-3, "x[{i}]: {} and {}", slope(&nudged), dx[i]);
        }
        for i in 0..width {
            let nudged = |by: f32| {
                let mut gain = gain.clone();
                gain[i] += by;
                value(&x, &gain).0
            };
            assert!(
                (slope(&nudged) - d_gain[i] as f64).abs() < 2e-3,
                "gain[{i}]: {} and {}",
                slope(&nudged),
                d_gain[i]
            );
        }
    }
}
