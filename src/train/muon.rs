//! Muon on one matrix (Jordan et al. 2024): momentum whose singular values are pushed towards 1 before it is applied.
//!
//! Newton–Schulz with the quintic 3.4445, −4.7750, 2.0315: five steps bring singular values into about 0.7 to 1.2, which
//! is orthogonal enough. All in f32; the published bf16 is for speed on GPUs.

use crate::model::kernel::gemm::{Left, Right, WIDTH, product};

const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;

/// Rows of a block of a symmetric product: whole tiles and whole panels of the matrix kernel.
const BLOCK: usize = 48;

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
    let (m, n) = (rows.min(cols).next_multiple_of(WIDTH), rows.max(cols).next_multiple_of(WIDTH));
    // Zero rows and columns stay zero, so the matrix may be laid out with some to spare.
    let (m_stride, n_stride) = (stride(m), stride(n));
    let place = |row: usize, col: usize| if tall { col * n_stride + row } else { row * n_stride + col };
    let norm = matrix.iter().map(|value| *value as f64 * *value as f64).sum::<f64>().sqrt();
    let scale = (1.0 / (norm + 1e-7)) as f32;
    let mut x = vec![0.0; m * n_stride];
    for (row, values) in matrix.chunks_exact(cols).enumerate() {
        for (col, value) in values.iter().enumerate() {
            x[place(row, col)] = value * scale;
        }
    }
    let (mut next, mut transposed) = (vec![0.0; m * n_stride], vec![0.0; n * m_stride]);
    let (mut gram, mut polynomial) = (vec![0.0; m * m_stride], vec![0.0; m * m_stride]);
    for _ in 0..steps {
        // x·xᵀ and its square are symmetric.
        transpose(&x, n_stride, &mut transposed, m_stride, n);
        symmetric(rows_of(&x, n_stride), n, &transposed, m, &mut gram);
        symmetric(rows_of(&gram, m_stride), m, &gram, m, &mut polynomial);
        for (value, gram) in polynomial.iter_mut().zip(&gram) {
            *value = B * gram + C * *value;
        }
        for (next, x) in next.iter_mut().zip(&x) {
            *next = A * x;
        }
        let right = Right { data: &x, stride: n_stride };
        product(rows_of(&polynomial, m_stride), right, [m, m, n], &mut next, n_stride, true);
        std::mem::swap(&mut x, &mut next);
    }
    let mut out = Vec::with_capacity(matrix.len());
    for row in 0..rows {
        out.extend((0..cols).map(|col| x[place(row, col)]));
    }
    out
}

/// From one row to the next: an odd number of panels, for rows a power of two apart fight for the same lines of the cache.
fn stride(columns: usize) -> usize {
    (columns / WIDTH | 1) * WIDTH
}

/// A product `[m, k] · [k, m]` that is known to be symmetric: the upper part is computed, the lower one mirrored.
fn symmetric(left: Left, k: usize, right: &[f32], m: usize, out: &mut [f32]) {
    let stride = stride(m);
    for row in (0..m).step_by(BLOCK) {
        let size = [BLOCK.min(m - row), k, m - row];
        let left = Left { data: &left.data[row * left.row_stride..], ..left };
        let right = Right { data: &right[row..], stride };
        product(left, right, size, &mut out[row * stride + row..], stride, false);
    }
    for row in BLOCK..m {
        for column in 0..row / BLOCK * BLOCK {
            out[row * stride + column] = out[column * stride + row];
        }
    }
}

fn rows_of(data: &[f32], stride: usize) -> Left<'_> {
    Left { data, row_stride: stride, step: 1 }
}

/// The transpose of a matrix of `cols` columns; both have rows their stride apart.
fn transpose(matrix: &[f32], stride: usize, out: &mut [f32], out_stride: usize, cols: usize) {
    for (row, values) in matrix.chunks_exact(stride).enumerate() {
        for (col, value) in values[..cols].iter().enumerate() {
            out[col * out_stride + row] = *value;
        }
    }
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
    fn a_mirrored_product_equals_the_whole_one() {
        for (m, k) in [(16, 16), (48, 32), (112, 64), (128, 128)] {
            let (x, m_stride) = (random(m * k), stride(m));
            let mut transposed = vec![0.0; k * m_stride];
            transpose(&x, k, &mut transposed, m_stride, k);
            let (mut mirrored, mut whole) = (vec![0.0; m * m_stride], vec![0.0; m * m_stride]);
            symmetric(rows_of(&x, k), k, &transposed, m, &mut mirrored);
            let right = Right { data: &transposed, stride: m_stride };
            product(rows_of(&x, k), right, [m, k, m], &mut whole, m_stride, false);
            assert_eq!(mirrored, whole);
        }
    }

    #[test]
    fn no_gradient_moves_nothing() {
        let mut values = vec![1.0; 6];
        let rule = Muon { lr: 0.1, momentum: 0.95, weight_decay: 0.0, newton_schulz_steps: 5 };
        update(&rule, 2, 3, &mut values, &[0.0; 6], &mut [0.0; 6]);
        assert_eq!(values, [1.0; 6]);
    }
    #[test]
    #[ignore]
    fn speed() {
        for (r, c) in [(64, 64), (128, 128), (352, 128), (128, 352), (512, 2048)] {
            let m: Vec<f32> = (0..r * c).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect();
            let mut best = f64::MAX;
            for _ in 0..10 {
                let cpu = || std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9;
 let t = cpu();
                std::hint::black_box(orthogonalise(&m, r, c, 5));
                best = best.min(cpu() - t);
            }
            let (a, b) = (r.min(c) as f64, r.max(c) as f64);
            println!(
                "{r}x{c}: {:.3} ms {:.1} GFLOP/s",
                best * 1e3,
                5.0 * 2.0 * (2.0 * a * a * b + a * a * a) / best / 1e9
            );
        }
    }
}
