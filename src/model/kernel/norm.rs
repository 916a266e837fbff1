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

    /// Adds the gradient by `x` to `dx` and the gradient by the gain to `d_gain`.
    pub fn rms_norm_backward(x: &[f32], gain: &[f32], inverse: &[f32], dy: &[f32], dx: &mut [f32], d_gain: &mut [f32]) {
        let width = gain.len();
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).zip(inverse);
        for (((x, dy), dx), inverse) in rows {
            let mut lanes = [0.0f32; 8];
            for ((dy, gain), x) in dy.chunks_exact(8).zip(gain.chunks_exact(8)).zip(x.chunks_exact(8)) {
                for lane in 0..8 {
                    lanes[lane] = (dy[lane] * gain[lane]).mul_add(x[lane], lanes[lane]);
                }
            }
            let mut projection: f32 = lanes.iter().sum();
            for index in width / 8 * 8..width {
                projection = (dy[index] * gain[index]).mul_add(x[index], projection);
            }
            let along = inverse * inverse * inverse * projection / width as f32;
            for index in 0..width {
                dx[index] += inverse * gain[index] * dy[index] - along * x[index];
                d_gain[index] = (dy[index] * inverse).mul_add(x[index], d_gain[index]);
            }
        }
    }
}
