//! Matrix products in f32 whose every output element is one sequential FMA chain over the inner dimension.
//!
//! That chain is what makes results independent of batch size, tiling and thread count: a row's product is the same bits
//! whether it is computed alone (a decode step) or among five hundred others (a training pass), by AVX2 or by the
//! portable kernel, since `f32::mul_add` rounds once wherever it runs. Libraries choose other kernels for other shapes
//! and give up that property; at our shapes they are no faster.
//!
//! One micro-kernel of 6 rows × 16 columns serves all three forms of a linear layer through strides:
//! `y = x·Wᵀ` and `dx = dy·W` read W from panels packed once per update, `dW += dyᵀ·x` reads x as it lies.

/// A right-hand matrix `[k, n]` in panels of 16 columns, zero-padded: `panel[p][k][16]`.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    k: usize,
    n: usize,
    data: Vec<f32>,
}

pub const WIDTH: usize = 16;
const HEIGHT: usize = 6;
/// Rows of the left matrix that stay in cache while all panels pass by.
const BLOCK: usize = 96;

impl Packed {
    /// Packs `wᵀ` for `w: [n, k]` row-major.
    pub fn pack_transposed(&mut self, w: &[f32], n: usize, k: usize) {
        assert_eq!(w.len(), n * k);
        self.reset(k, n);
        for (panel, rows) in self.data.chunks_exact_mut(k * WIDTH).zip(w.chunks(k * WIDTH)) {
            for (column, row) in rows.chunks_exact(k).enumerate() {
                for (index, value) in row.iter().enumerate() {
                    panel[index * WIDTH + column] = *value;
                }
            }
        }
    }

    fn reset(&mut self, k: usize, n: usize) {
        (self.k, self.n) = (k, n);
        self.data.clear();
        self.data.resize(n.div_ceil(WIDTH) * WIDTH * k, 0.0);
    }
}

/// `out[m, n] = x[m, k] · packed[k, n]`, added to `out` if `accumulate`.
pub fn gemm(x: &[f32], packed: &Packed, out: &mut [f32], accumulate: bool) {
    let (k, n) = (packed.k, packed.n);
    let m = out.len() / n;
    assert!(x.len() == m * k && out.len() == m * n, "gemm: x {} out {} for k {k}, n {n}", x.len(), out.len());
    for top in (0..m).step_by(BLOCK) {
        let rows = BLOCK.min(m - top);
        for (p, panel) in packed.data.chunks_exact(k * WIDTH).enumerate() {
            let columns = WIDTH.min(n - p * WIDTH);
            let tile = Tile { k, row_stride: k, step: 1, b_step: WIDTH, out_stride: n, columns, accumulate };
            tile.rows(&x[top * k..], panel, &mut out[top * n + p * WIDTH..], rows);
        }
    }
}

/// A left-hand matrix that lies in a slice with any strides: element `(row, inner)` is at `row·row_stride + inner·step`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub step: usize,
}

/// A right-hand matrix `[inner, columns]` whose rows are `stride` apart. `columns` must be a multiple of 16, or the rows padded to one.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

/// `out = left · right`, added to `out` if `accumulate`; `size` is `[rows, inner, columns]`, rows of `out` are `out_stride` apart.
pub fn product(left: Left, right: Right, size: [usize; 3], out: &mut [f32], out_stride: usize, accumulate: bool) {
    let [rows, inner, columns] = size;
    if rows == 1 {
        return row_product(left.data, left.step, right, [inner, columns], out, accumulate);
    }
    for x in (0..columns).step_by(WIDTH) {
        let columns = WIDTH.min(columns - x);
        let Left { row_stride, step, .. } = left;
        let tile = Tile { k: inner, row_stride, step, b_step: right.stride, out_stride, columns, accumulate };
        tile.rows(left.data, &right.data[x..], &mut out[x..], rows);
    }
}

/// `d_weight[n, k] += dyᵀ · x` for `dy: [rows, n]`, `x: [rows, k]`, `k` a multiple of 16: the gradient of a weight.
pub fn add_weight_gradient(dy: &[f32], x: &[f32], rows: usize, d_weight: &mut [f32]) {
    let (n, k) = (dy.len() / rows, x.len() / rows);
    let left = Left { data: dy, row_stride: 1, step: n };
    product(left, Right { data: x, stride: k }, [n, rows, k], d_weight, k, true);
}

/// `dx[rows, k] = dy[rows, n] · w[n, k]`, `k` a multiple of 16: the gradient of an input.
pub fn input_gradient(dy: &[f32], w: &[f32], rows: usize, dx: &mut [f32], accumulate: bool) {
    let (n, k) = (dy.len() / rows, dx.len() / rows);
    for top in (0..rows).step_by(BLOCK) {
        let height = BLOCK.min(rows - top);
        let left = Left { data: &dy[top * n..], row_stride: n, step: 1 };
        product(left, Right { data: w, stride: k }, [height, n, k], &mut dx[top * k..], k, accumulate);
    }
}

/// [`product`] for a single row: wider panels, since one row alone does not fill the pipeline. The same chains, so the same bits.
fn row_product(a: &[f32], step: usize, right: Right, [k, columns]: [usize; 2], out: &mut [f32], accumulate: bool) {
    let mut x = 0;
    while x < columns {
        let (a, b, out) = (a, &right.data[x..], &mut out[x..columns]);
        let width = out.len();
        let wide = |panel: usize| {
            width >= panel && k > 0 && a.len() > (k - 1) * step && b.len() >= (k - 1) * right.stride + panel
        };
        #[cfg(target_arch = "x86_64")]
        if wide(32) && std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the features are present, and `wide` checked what is read and written.
            unsafe {
                if wide(64) {
                    row_avx2::<8>(a.as_ptr(), step, b.as_ptr(), right.stride, k, out.as_mut_ptr(), accumulate);
                    x += 64;
                } else {
                    row_avx2::<4>(a.as_ptr(), step, b.as_ptr(), right.stride, k, out.as_mut_ptr(), accumulate);
                    x += 32;
                }
            }
            continue;
        }
        let columns = WIDTH.min(width);
        Tile { k, row_stride: 0, step, b_step: right.stride, out_stride: 0, columns, accumulate }.rows(a, b, out, 1);
        x += columns;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn row_avx2<const VECTORS: usize>(
    mut a: *const f32,
    step: usize,
    mut b: *const f32,
    stride: usize,
    k: usize,
    out: *mut f32,
    accumulate: bool,
) {
    use std::arch::x86_64::*;
    unsafe {
        let mut sums = [_mm256_setzero_ps(); VECTORS];
        for _ in 0..k {
            let left = _mm256_broadcast_ss(&*a);
            for (index, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_fmadd_ps(left, _mm256_loadu_ps(b.add(8 * index)), *sum);
            }
            a = a.wrapping_add(step);
            b = b.wrapping_add(stride);
        }
        for (index, sum) in sums.iter().enumerate() {
            let place = out.add(8 * index);
            let sum = if accumulate { _mm256_add_ps(_mm256_loadu_ps(place), *sum) } else { *sum };
            _mm256_storeu_ps(place, sum);
        }
    }
}

/// Strides of one column panel.
#[derive(Clone, Copy)]
struct Tile {
    /// Inner dimension.
    k: usize,
    /// From one row of the left matrix to the next, and from one inner index to the next.
    row_stride: usize,
    step: usize,
    /// From one inner index of the right matrix to the next; 16 columns lie together.
    b_step: usize,
    out_stride: usize,
    columns: usize,
    accumulate: bool,
}

impl Tile {
    fn rows(self, a: &[f32], b: &[f32], out: &mut [f32], rows: usize) {
        if rows == 0 {
            return;
        }
        // What the kernels below read and write without checks.
        assert!(self.k > 0 && (1..=WIDTH).contains(&self.columns));
        assert!(a.len() > (rows - 1) * self.row_stride + (self.k - 1) * self.step);
        assert!(b.len() >= (self.k - 1) * self.b_step + WIDTH);
        assert!(out.len() >= (rows - 1) * self.out_stride + self.columns);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the features are present, and the bounds were asserted above.
            unsafe { self.rows_avx2(a, b, out, rows) };
            return;
        }
        self.rows_portable(a, b, out, rows);
    }

    fn rows_portable(self, a: &[f32], b: &[f32], out: &mut [f32], rows: usize) {
        for row in 0..rows {
            let out = &mut out[row * self.out_stride..row * self.out_stride + self.columns];
            let mut sums = [0.0f32; WIDTH];
            for k in 0..self.k {
                let left = a[row * self.row_stride + k * self.step];
                for (sum, right) in sums.iter_mut().zip(&b[k * self.b_step..k * self.b_step + WIDTH]) {
                    *sum = left.mul_add(*right, *sum);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if self.accumulate { *out + sum } else { sum };
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows_avx2(self, a: &[f32], b: &[f32], out: &mut [f32], rows: usize) {
        unsafe {
            let (b, mut row) = (b.as_ptr(), 0);
            while row < rows {
                let a = a.as_ptr().add(row * self.row_stride);
                let out = out.as_mut_ptr().add(row * self.out_stride);
                match rows - row {
                    1 => self.tile_avx2::<1>(a, b, out),
                    2 => self.tile_avx2::<2>(a, b, out),
                    3 => self.tile_avx2::<3>(a, b, out),
                    4 => self.tile_avx2::<4>(a, b, out),
                    5 => self.tile_avx2::<5>(a, b, out),
                    _ => self.tile_avx2::<HEIGHT>(a, b, out),
                }
                row += HEIGHT;
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tile_avx2<const ROWS: usize>(self, a: *const f32, b: *const f32, out: *mut f32) {
        use std::arch::x86_64::*;
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
            let (mut a, mut b) = (a, b);
            for _ in 0..self.k {
                let right = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let left = _mm256_broadcast_ss(&*a.add(row * self.row_stride));
                    sums[0] = _mm256_fmadd_ps(left, right[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(left, right[1], sums[1]);
                }
                a = a.wrapping_add(self.step);
                b = b.wrapping_add(self.b_step);
            }
            for (row, sums) in sums.iter().enumerate() {
                let out = out.add(row * self.out_stride);
                if self.columns == WIDTH {
                    for (half, sum) in sums.iter().enumerate() {
                        let place = out.add(8 * half);
                        let sum = if self.accumulate { _mm256_add_ps(_mm256_loadu_ps(place), *sum) } else { *sum };
                        _mm256_storeu_ps(place, sum);
                    }
                } else {
                    let mut edge = [0.0f32; WIDTH];
                    _mm256_storeu_ps(edge.as_mut_ptr(), sums[0]);
                    _mm256_storeu_ps(edge.as_mut_ptr().add(8), sums[1]);
                    for (column, sum) in edge.iter().enumerate().take(self.columns) {
                        let place = out.add(column);
                        *place = if self.accumulate { *place + *sum } else { *sum };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + salt * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// One FMA chain over the inner dimension, as every element must be.
    fn chain(x: &[f32], w: &[f32]) -> f32 {
        x.iter().zip(w).fold(0.0, |sum, (x, w)| x.mul_add(*w, sum))
    }

    #[test]
    fn every_element_is_one_fma_chain_whatever_the_batch() {
        for (m, k, n) in [(1, 16, 5), (7, 64, 177), (97, 33, 16), (200, 48, 31)] {
            let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut packed = Packed::default();
            packed.pack_transposed(&w, n, k);
            let mut out = vec![0.0; m * n];
            gemm(&x, &packed, &mut out, false);
            for row in 0..m {
                for column in 0..n {
                    let expected = chain(&x[row * k..][..k], &w[column * k..][..k]);
                    assert_eq!(out[row * n + column].to_bits(), expected.to_bits(), "{row}, {column} of {m}×{k}×{n}");
                }
            }
            let mut alone = vec![0.0; n];
            gemm(&x[..k], &packed, &mut alone, false);
            assert_eq!(alone, out[..n], "a row alone is the same row in a batch");
        }
    }

    #[test]
    fn the_portable_kernel_gives_the_same_bits() {
        let (m, k, n) = (13, 40, 16);
        let (x, w) = (numbers(m * k, 3), numbers(n * k, 4));
        let tile = Tile { k, row_stride: k, step: 1, b_step: n, out_stride: n, columns: n, accumulate: false };
        let (mut wide, mut portable) = (vec![0.0; m * n], vec![0.0; m * n]);
        tile.rows(&x, &w, &mut wide, m);
        tile.rows_portable(&x, &w, &mut portable, m);
        assert_eq!(wide, portable);
    }

    #[test]
    fn gradients_of_a_linear_layer_are_its_transposes() {
        let (rows, k, n) = (19, 32, 21);
        let (x, w, dy) = (numbers(rows * k, 5), numbers(n * k, 6), numbers(rows * n, 7));
        let (mut dx, mut dw) = (vec![0.0; rows * k], vec![1.0; n * k]);
        input_gradient(&dy, &w, rows, &mut dx, false);
        add_weight_gradient(&dy, &x, rows, &mut dw);
        for row in 0..rows {
            for column in 0..k {
                let expected: f64 = (0..n).map(|o| dy[row * n + o] as f64 * w[o * k + column] as f64).sum();
                assert!((dx[row * k + column] as f64 - expected).abs() < 1e-5);
            }
        }
        for out in 0..n {
            for column in 0..k {
                let expected: f64 = (0..rows).map(|r| dy[r * n + out] as f64 * x[r * k + column] as f64).sum();
                assert!((dw[out * k + column] as f64 - 1.0 - expected).abs() < 1e-5);
            }
        }
    }
}
