//! Muon on one matrix (Jordan et al. 2024): momentum whose singular values are pushed towards 1 before it is applied.
//!
//! Newton–Schulz with the quintic 3.4445, −4.7750, 2.0315: five steps bring singular values into about 0.7 to 1.2, which
//! is orthogonal enough. All in f32; the published bf16 is for speed on GPUs.

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
    let (m, n) = if tall { (cols, rows) } else { (rows, cols) };
    let mut x = if tall { transpose(matrix, rows, cols) } else { matrix.to_vec() };
    let norm = x.iter().map(|value| *value as f64 * *value as f64).sum::<f64>().sqrt();
    let scale = (1.0 / (norm + 1e-7)) as f32;
    x.iter_mut().for_each(|value| *value *= scale);
    for _ in 0..steps {
        let gram = product(&x, &transpose(&x, m, n), m, n, m);
        let mut polynomial = product(&gram, &gram, m, m, m);
        for (value, gram) in polynomial.iter_mut().zip(&gram) {
            *value = B * gram + C * *value;
        }
        let mut next = product(&polynomial, &x, m, m, n);
        for (value, x) in next.iter_mut().zip(&x) {
            *value += A * x;
        }
        x = next;
    }
    if tall { transpose(&x, m, n) } else { x }
}

fn transpose(matrix: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; matrix.len()];
    for row in 0..rows {
        for col in 0..cols {
            out[col * rows + row] = matrix[row * cols + col];
        }
    }
    out
}

/// `[m, k] · [k, n]`.
fn product(left: &[f32], right: &[f32], m: usize, k: usize, n: usize) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    for (row, out) in left.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (factor, right) in row.iter().zip(right.chunks_exact(n)) {
            for (out, right) in out.iter_mut().zip(right) {
                *out += factor * right;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Seed;

    #[test]
    fn a_direction_becomes_nearly_orthogonal_on_its_short_side() {
        for (rows, cols) in [(8, 24), (24, 8), (16, 16)] {
            let mut rng = Seed(1).stream("test").at(&[rows as u64]);
            let matrix: Vec<f32> = (0..rows * cols).map(|_| rng.normal() as f32).collect();
            let x = orthogonalise(&matrix, rows, cols, 5);
            let (x, m, n) = if rows > cols { (transpose(&x, rows, cols), cols, rows) } else { (x, rows, cols) };
            let gram = product(&x, &transpose(&x, m, n), m, n, m);
            let trace: f32 = (0..m).map(|at| gram[at * m + at]).sum::<f32>() / m as f32;
            assert!((0.5..1.5).contains(&trace), "mean squared singular value {trace}");
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
