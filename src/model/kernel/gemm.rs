//! Matrix products in f32 whose every output element is one chain of fused multiply-adds over the inner index.
//!
//! The chain runs in ascending order and begins at 0 or at the number already there. Tiles only decide which chains run
//! side by side, so neither the number of rows, nor the place of a row among them, nor a split of the inner index over
//! several calls, nor the instruction set can move a bit: a row's product is the same computed alone (a decode step) and
//! among five hundred (a training pass). Libraries choose other kernels for other shapes and give up that property; at
//! our shapes they are no faster.
//!
//! The right-hand side is packed into panels of 16 columns; a tile is 6 rows by 16 columns, which is 12 AVX2 accumulators.
//! Fixed-size arrays and `mul_add` are enough for the compiler to keep them in registers (80–90 GFLOP/s of 95 on a Zen 3 core).

use std::ops::Range;

/// Columns of a panel.
pub const PANEL: usize = 16;
/// Rows of a tile.
pub const TILE: usize = 6;
/// Rows of the left-hand side that are multiplied with all panels before the next ones are touched; a multiple of [`TILE`].
const ROW_BLOCK: usize = 96;

/// Whether a product replaces what the output holds or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    Replace,
    Add,
}

/// A `[k, n]` matrix in panels of 16 columns, the last one filled up with zeros: `data[panel][row][column]`.
#[derive(Debug, Clone, Default)]
pub struct Panels {
    pub k: usize,
    pub n: usize,
    pub data: Vec<f32>,
}

impl Panels {
    /// Makes room for a `[k, n]` matrix, keeping the allocation.
    pub fn resize(&mut self, k: usize, n: usize) {
        (self.k, self.n) = (k, n);
        self.data.resize(panels_len(k, n), 0.0);
    }

    /// Packs row-major `[k_i, n]` matrices below each other, as `dy·W` needs them.
    pub fn pack(&mut self, matrices: &[&[f32]], n: usize) {
        let k = matrices.iter().map(|matrix| matrix.len() / n).sum();
        self.resize(k, n);
        let mut row = 0;
        for matrix in matrices {
            pack(matrix, matrix.len() / n, n, n, row, k, &mut self.data);
            row += matrix.len() / n;
        }
    }

    /// Packs the transposes of row-major `[n_i, k]` matrices side by side, as `x·Wᵀ` needs them.
    pub fn pack_transposed(&mut self, matrices: &[&[f32]], k: usize) {
        let n = matrices.iter().map(|matrix| matrix.len() / k).sum();
        self.resize(k, n);
        let mut column = 0;
        for matrix in matrices {
            pack_transposed(matrix, k, k, matrix.len() / k, column, &mut self.data);
            column += matrix.len() / k;
        }
        clear_tail(k, n, &mut self.data);
    }
}

/// Length of the packed form of a `[k, n]` matrix.
pub fn panels_len(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL) * PANEL * k
}

/// Packs `count` rows of `n` numbers, `stride` apart, as rows `first_row..` of a `[k, n]` matrix.
pub fn pack(rows: &[f32], count: usize, n: usize, stride: usize, first_row: usize, k: usize, panels: &mut [f32]) {
    for (p, panel) in panels.chunks_exact_mut(PANEL * k.max(1)).take(n.div_ceil(PANEL)).enumerate() {
        let from = p * PANEL;
        let width = PANEL.min(n - from);
        for (row, out) in panel.as_chunks_mut::<PANEL>().0[first_row..first_row + count].iter_mut().enumerate() {
            let row = &rows[row * stride + from..][..width];
            if let Ok(row) = <&[f32; PANEL]>::try_from(row) {
                *out = *row;
            } else {
                out[..width].copy_from_slice(row);
                out[width..].fill(0.0);
            }
        }
    }
}

/// Packs `count` rows, `stride` apart and `k` long, as columns `first_column..` of a `[k, _]` matrix.
pub fn pack_transposed(rows: &[f32], k: usize, stride: usize, count: usize, first_column: usize, panels: &mut [f32]) {
    for index in 0..count {
        let column = first_column + index;
        let panel = &mut panels[column / PANEL * PANEL * k..][..PANEL * k];
        for (value, out) in rows[index * stride..][..k].iter().zip(panel.as_chunks_mut::<PANEL>().0) {
            out[column % PANEL] = *value;
        }
    }
}

/// Length of the packed form of a `[k, m]` left-hand side of [`gemm_tn`].
pub fn strips_len(k: usize, m: usize) -> usize {
    m.div_ceil(TILE) * TILE * k
}

/// Packs `[k, m]`, rows `stride` apart, into strips of 6 columns, the last one filled up with zeros: without it, the
/// rows of a wide matrix fall on the same few cache sets.
pub fn pack_strips(rows: &[f32], k: usize, m: usize, stride: usize, strips: &mut [f32]) {
    const ROWS: usize = 16;
    for first in (0..k).step_by(ROWS) {
        let last = k.min(first + ROWS);
        for (s, strip) in strips.chunks_exact_mut(TILE * k).take(m.div_ceil(TILE)).enumerate() {
            let from = s * TILE;
            let width = TILE.min(m - from);
            for (row, out) in strip.as_chunks_mut::<TILE>().0[first..last].iter_mut().enumerate() {
                let row = &rows[(first + row) * stride + from..][..width];
                if let Ok(row) = <&[f32; TILE]>::try_from(row) {
                    *out = *row;
                } else {
                    out[..width].copy_from_slice(row);
                    out[width..].fill(0.0);
                }
            }
        }
    }
}

/// Zeros in the columns that fill up the last panel.
pub fn clear_tail(k: usize, n: usize, panels: &mut [f32]) {
    if !n.is_multiple_of(PANEL) {
        for row in panels[n / PANEL * PANEL * k..][..PANEL * k].as_chunks_mut::<PANEL>().0 {
            row[n % PANEL..].fill(0.0);
        }
    }
}

/// Writes a tile's row; a copy is taken where it must be indexed, so that the tile itself can stay in registers.
#[inline(always)]
fn store(acc: &[f32; PANEL], out: &mut [f32]) {
    match <&mut [f32; PANEL]>::try_from(&mut *out) {
        Ok(out) => *out = *acc,
        Err(_) => {
            let edge = *acc;
            let width = out.len();
            out.copy_from_slice(&edge[..width]);
        }
    }
}

#[inline(always)]
fn load(from: &[f32]) -> [f32; PANEL] {
    match <&[f32; PANEL]>::try_from(from) {
        Ok(from) => *from,
        Err(_) => {
            let mut acc = [0.0; PANEL];
            acc[..from.len()].copy_from_slice(from);
            acc
        }
    }
}

/// `M` rows of `a` times `P` panels; returns `M`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn tile<const M: usize, const P: usize>(
    a: &[f32],
    lda: usize,
    k: usize,
    panels: &[f32],
    panel_len: usize,
    c: &mut [f32],
    ldc: usize,
    width: usize,
    into: Into,
) -> usize {
    let mut rows: [&[f32]; M] = [&[]; M];
    for r in 0..M {
        rows[r] = &a[r * lda..][..k];
    }
    let mut columns: [&[[f32; PANEL]]; P] = [&[]; P];
    for p in 0..P {
        columns[p] = &panels[p * panel_len..][..k * PANEL].as_chunks::<PANEL>().0[..k];
    }
    let mut acc = [[[0.0f32; PANEL]; P]; M];
    if into == Into::Add {
        for r in 0..M {
            for p in 0..P {
                acc[r][p] = load(&c[r * ldc + p * PANEL..][..PANEL.min(width - p * PANEL)]);
            }
        }
    }
    for i in 0..k {
        for p in 0..P {
            let column = columns[p][i];
            for r in 0..M {
                let value = rows[r][i];
                for j in 0..PANEL {
                    acc[r][p][j] = value.mul_add(column[j], acc[r][p][j]);
                }
            }
        }
    }
    for r in 0..M {
        for p in 0..P {
            store(&acc[r][p], &mut c[r * ldc + p * PANEL..][..PANEL.min(width - p * PANEL)]);
        }
    }
    M
}

/// Some rows of `a` times one panel.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn tiles(
    a: &[f32],
    lda: usize,
    rows: Range<usize>,
    k: usize,
    panel: &[f32],
    c: &mut [f32],
    ldc: usize,
    width: usize,
    into: Into,
) {
    let mut row = rows.start;
    while row < rows.end {
        let (a, c) = (&a[row * lda..], &mut c[row * ldc..]);
        // Two tiles of four rather than one of six and one of two, whose sums are too few to keep the units busy.
        row += match rows.end - row {
            1 => tile::<1, 1>(a, lda, k, panel, 0, c, ldc, width, into),
            2 => tile::<2, 1>(a, lda, k, panel, 0, c, ldc, width, into),
            3 => tile::<3, 1>(a, lda, k, panel, 0, c, ldc, width, into),
            4 | 7 | 8 => tile::<4, 1>(a, lda, k, panel, 0, c, ldc, width, into),
            5 | 9 => tile::<5, 1>(a, lda, k, panel, 0, c, ldc, width, into),
            _ => tile::<TILE, 1>(a, lda, k, panel, 0, c, ldc, width, into),
        };
    }
}

/// A strip of the left-hand side's transpose times a panel; the first `rows` of six are kept.
#[inline(always)]
fn tile_tn(strip: &[f32], panel: &[f32], c: &mut [f32], ldc: usize, rows: usize, width: usize) {
    let mut acc = [[0.0f32; PANEL]; TILE];
    for r in 0..rows {
        acc[r] = load(&c[r * ldc..][..width]);
    }
    for (values, column) in strip.as_chunks::<TILE>().0.iter().zip(panel.as_chunks::<PANEL>().0) {
        for r in 0..TILE {
            for j in 0..PANEL {
                acc[r][j] = values[r].mul_add(column[j], acc[r][j]);
            }
        }
    }
    for r in 0..rows {
        store(&acc[r], &mut c[r * ldc..][..width]);
    }
}

/// All columns for up to five rows: several panels at once, for there are accumulators to spare.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn few_rows<const M: usize, const P: usize>(
    a: &[f32],
    lda: usize,
    k: usize,
    panels: &[f32],
    panel_rows: usize,
    n: usize,
    c: &mut [f32],
    ldc: usize,
    into: Into,
) {
    let mut from = 0;
    while from < n {
        let left = n - from;
        let (panels, c) = (&panels[from * panel_rows..], &mut c[from..]);
        if left > (P - 1) * PANEL {
            let width = left.min(P * PANEL);
            tile::<M, P>(a, lda, k, panels, PANEL * panel_rows, c, ldc, width, into);
            from += P * PANEL;
        } else {
            tile::<M, 1>(a, lda, k, panels, 0, c, ldc, left.min(PANEL), into);
            from += PANEL;
        }
    }
}

vectorised! {
    /// `c = a·b` or `c += a·b`: `a` is `[m, k]` with rows `lda` apart, `c` is `[m, n]` with rows `ldc` apart, and `b` is
    /// `[b_rows, n]` in panels, of which the first `k` rows are used.
    pub fn gemm(
        a: &[f32], lda: usize, m: usize, k: usize,
        b: &[f32], b_rows: usize, n: usize,
        c: &mut [f32], ldc: usize, into: Into,
    ) {
        match m {
            0 => return,
            1 => return few_rows::<1, 4>(a, lda, k, b, b_rows, n, c, ldc, into),
            2 => return few_rows::<2, 2>(a, lda, k, b, b_rows, n, c, ldc, into),
            3 => return few_rows::<3, 2>(a, lda, k, b, b_rows, n, c, ldc, into),
            _ => {}
        }
        for first in (0..m).step_by(ROW_BLOCK) {
            let last = m.min(first + ROW_BLOCK);
            let mut from = 0;
            while from < n {
                let width = PANEL.min(n - from);
                let panel = &b[from * b_rows..][..PANEL * k];
                tiles(a, lda, first..last, k, panel, &mut c[from..], ldc, width, into);
                from += PANEL;
            }
        }
    }

    /// `c = a·b` where that is symmetric to the bit, as `x·xᵀ` and the square of a symmetric matrix are: `a` is `[m, k]`,
    /// `b` is `[k, m]` in panels, `c` is `[m, m]`. Only what reaches the diagonal from above is computed, and mirrored.
    pub fn gemm_symmetric(a: &[f32], m: usize, k: usize, b: &[f32], c: &mut [f32]) {
        for from in (0..m).step_by(PANEL) {
            let width = PANEL.min(m - from);
            let panel = &b[from * k..][..PANEL * k];
            tiles(a, k, 0..from + width, k, panel, &mut c[from..], m, width, Into::Replace);
        }
        for from in (0..m).step_by(PANEL) {
            for below in from + 1..m {
                let (above, row) = c.split_at_mut(below * m);
                for column in from..below.min(from + PANEL) {
                    row[column] = above[column * m + below];
                }
            }
        }
    }

    /// `c += aᵀ·b`: `a` is `[k, m]` in strips, `b` is `[k, n]` in panels, `c` is `[m, n]` with rows `ldc` apart.
    pub fn gemm_tn(strips: &[f32], m: usize, k: usize, b: &[f32], n: usize, c: &mut [f32], ldc: usize) {
        const INNER: usize = 256;
        for first in (0..k).step_by(INNER) {
            let inner = INNER.min(k - first);
            let mut from = 0;
            while from < n {
                let width = PANEL.min(n - from);
                let panel = &b[from * k + first * PANEL..][..PANEL * inner];
                for row in (0..m).step_by(TILE) {
                    let strip = &strips[row * k + first * TILE..][..TILE * inner];
                    let rows = TILE.min(m - row);
                    let c = &mut c[row * ldc + from..];
                    if rows == TILE && width == PANEL {
                        tile_tn(strip, panel, c, ldc, TILE, PANEL);
                    } else {
                        tile_tn(strip, panel, c, ldc, rows, width);
                    }
                }
                from += PANEL;
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

    /// One FMA chain over the inner index, as every element must be.
    fn chain(start: f32, x: impl Iterator<Item = f32>, w: impl Iterator<Item = f32>) -> f32 {
        x.zip(w).fold(start, |sum, (x, w)| x.mul_add(w, sum))
    }

    #[test]
    fn every_element_is_one_fma_chain_whatever_the_batch() {
        for (m, k, n) in
            [(1, 16, 5), (1, 8, 200), (2, 9, 70), (3, 7, 33), (4, 5, 16), (7, 64, 177), (97, 33, 16), (200, 48, 31)]
        {
            let (x, w, before) = (numbers(m * k, 1), numbers(n * k, 2), numbers(m * n, 3));
            let mut panels = Panels::default();
            panels.pack_transposed(&[&w], k);
            for into in [Into::Replace, Into::Add] {
                let mut out = before.clone();
                gemm(&x, k, m, k, &panels.data, k, n, &mut out, n, into);
                for (at, (out, before)) in out.iter().zip(&before).enumerate() {
                    let (row, column) = (at / n, at % n);
                    let start = if into == Into::Add { *before } else { 0.0 };
                    let expected =
                        chain(start, x[row * k..][..k].iter().copied(), w[column * k..][..k].iter().copied());
                    assert_eq!(out.to_bits(), expected.to_bits(), "{row}, {column} of {m}×{k}×{n} {into:?}");
                }
            }
        }
    }

    #[test]
    fn half_of_a_symmetric_product_is_all_of_it() {
        for (m, k) in [(1, 3), (16, 5), (40, 33), (97, 64)] {
            let x = numbers(m * k, 7);
            let mut panels = Panels::default();
            panels.pack_transposed(&[&x], k);
            let (mut whole, mut half) = (vec![0.0; m * m], vec![f32::NAN; m * m]);
            gemm(&x, k, m, k, &panels.data, k, m, &mut whole, m, Into::Replace);
            gemm_symmetric(&x, m, k, &panels.data, &mut half);
            assert!(whole.iter().zip(&half).all(|(a, b)| a.to_bits() == b.to_bits()), "{m}×{k}");
            panels.pack(&[&whole], m);
            let (mut square, mut half) = (vec![0.0; m * m], vec![f32::NAN; m * m]);
            gemm(&whole, m, m, m, &panels.data, m, m, &mut square, m, Into::Replace);
            gemm_symmetric(&whole, m, m, &panels.data, &mut half);
            assert!(square.iter().zip(&half).all(|(a, b)| a.to_bits() == b.to_bits()), "square, {m}×{k}");
        }
    }

    #[test]
    fn the_gradient_of_a_weight_is_one_fma_chain_over_the_rows() {
        for (rows, m, n) in [(1, 5, 16), (19, 21, 32), (300, 13, 40), (512, 6, 17)] {
            let (dy, x, before) = (numbers(rows * m, 4), numbers(rows * n, 5), numbers(m * n, 6));
            let (mut strips, mut panels) = (vec![0.0; strips_len(rows, m)], Panels::default());
            pack_strips(&dy, rows, m, m, &mut strips);
            panels.pack(&[&x], n);
            let mut dw = before.clone();
            gemm_tn(&strips, m, rows, &panels.data, n, &mut dw, n);
            for (at, (dw, before)) in dw.iter().zip(&before).enumerate() {
                let (row, column) = (at / n, at % n);
                let column_of = |matrix: &[f32], width: usize, column: usize| {
                    matrix.iter().skip(column).step_by(width).copied().collect::<Vec<f32>>().into_iter()
                };
                let expected = chain(*before, column_of(&dy, m, row), column_of(&x, n, column));
                assert_eq!(dw.to_bits(), expected.to_bits(), "{row}, {column} of {rows}×{m}×{n}");
            }
        }
    }
}
