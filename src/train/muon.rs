//! Muon on one matrix (Jordan et al. 2024): momentum whose singular values are pushed towards 1 before it is applied.
//!
//! Newton–Schulz with the quintic 3.4445, −4.7750, 2.0315: five steps bring singular values into about 0.7 to 1.2, which
//! is orthogonal enough. All in f32; the published bf16 is for speed on GPUs, and on processors that multiply in it at twice
//! the rate. Two of a step's three products are symmetric, and only half of them is computed.

use crate::model::kernel::gemm::{Into, Panels, gemm, gemm_symmetric};

const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;

/// The constants of one update.
pub struct Muon {
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub newton_schulz_steps: u32,
}

/// One update of a `rows × cols` matrix. The step is scaled by √max(1, rows/cols).
pub fn update(rule: &Muon, rows: usize, cols: usize, values: &mut [f32], gradients: &[f32], momentum: &mut [f32]) {
    let (keep, rest) = (rule.momentum as f32, (1.0 - rule.momentum) as f32);
    let mut direction = Vec::with_capacity(values.len());
    for (buffer, gradient) in momentum.iter_mut().zip(gradients) {
        *buffer += rest * (gradient - *buffer);
        direction.push(gradient + keep * (*buffer - gradient));
    }
    let direction = orthogonalise(&direction, rows, cols, rule.newton_schulz_steps);
    let kept = (1.0 - rule.lr * rule.weight_decay) as f32;
    let size = (rule.lr * (rows as f64 / cols as f64).max(1.0).sqrt()) as f32;
    for (value, direction) in values.iter_mut().zip(&direction) {
        *value = kept * *value - size * direction;
    }
}

/// Newton–Schulz iteration on the wide side: works on at most `min(rows, cols)` squared.
fn orthogonalise(matrix: &[f32], rows: usize, cols: usize, steps: u32) -> Vec<f32> {
    let tall = rows > cols;
    let (m, n) = (rows.min(cols), rows.max(cols));
    let norm = matrix.iter().map(|value| *value as f64 * *value as f64).sum::<f64>().sqrt();
    let scale = (1.0 / (norm + 1e-7)) as f32;
    let mut x: Vec<f32> = if tall { transpose(matrix, cols) } else { matrix.to_vec() };
    x.iter_mut().for_each(|value| *value *= scale);
    let mut panels = Panels::default();
    let (mut gram, mut polynomial, mut next) = (vec![0.0; m * m], vec![0.0; m * m], vec![0.0; m * n]);
    for _ in 0..steps {
        panels.pack_transposed(&[&x], n);
        gemm_symmetric(&x, m, n, &panels.data, &mut gram);
        panels.pack(&[&gram], m);
        gemm_symmetric(&gram, m, m, &panels.data, &mut polynomial);
        for (value, gram) in polynomial.iter_mut().zip(&gram) {
            *value = B * gram + C * *value;
        }
        for (next, x) in next.iter_mut().zip(&x) {
            *next = A * x;
        }
        panels.pack(&[&x], n);
        gemm(&polynomial, m, m, m, &panels.data, m, n, &mut next, n, Into::Add);
        std::mem::swap(&mut x, &mut next);
    }
    if tall { transpose(&x, n) } else { x }
}

/// The transpose of a matrix of `cols` columns.
fn transpose(matrix: &[f32], cols: usize) -> Vec<f32> {
    let rows = matrix.len() / cols;
    (0..cols).flat_map(|col| (0..rows).map(move |row| matrix[row * cols + col])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Seed;

    fn random(length: usize) -> Vec<f32> {
        let mut rng = Seed(1).stream("test").at(&[length as u64]);
        (0..length).map(|_| rng.normal() as f32).collect()
    }

    #[test]
    fn a_direction_becomes_nearly_orthogonal_on_its_short_side() {
        for (rows, cols) in [(8, 24), (24, 8), (16, 16), (128, 40)] {
            let x = orthogonalise(&random(rows * cols), rows, cols, 5);
            let (m, n) = (rows.min(cols), rows.max(cols));
            let at =
                |short: usize, long: usize| if rows > cols { x[long * cols + short] } else { x[short * cols + long] };
            let dot = |a: usize, b: usize| (0..n).map(|long| at(a, long) * at(b, long)).sum::<f32>();
            let mean = (0..m).map(|row| dot(row, row)).sum::<f32>() / m as f32;
            assert!((0.5..1.5).contains(&mean), "mean squared singular value {mean}");
            let crossed = (1..m).map(|row| dot(row - 1, row).abs()).fold(0.0, f32::max);
            assert!(crossed < 0.5, "rows are far from orthogonal: {crossed}");
        }
    }

    #[test]
    fn no_gradient_moves_nothing() {
        let mut values = vec![1.0; 6];
        let rule = Muon { lr: 0.1, momentum: 0.95, weight_decay: 0.0, newton_schulz_steps: 5 };
        update(&rule, 2, 3, &mut values, &[0.0; 6], &mut [0.0; 6]);
        assert_eq!(values, [1.0; 6]);
    }
}
