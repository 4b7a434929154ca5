//! A whole product, block by block: some rows are packed, strips of columns go to the threads, and every strip is summed in
//! a buffer of its own before it is finished (bias, activation, …) into the output.
//!
//! Must not know what the product is for.
#![allow(unsafe_code)]

use super::{COLUMNS, DEPTH, LeftPanels, Packing, ROWS, Right, Strided, Tile, TileOut, multiply_tile};
use crate::{
    KernelError,
    cpu::{level::Level, shared::Shared},
};
use rayon::prelude::*;
use std::{cell::Cell, ops::Range};

/// Rows that are packed at once, at most: with [`DEPTH`] they fill a quarter of a core's second cache.
const BLOCK_ROWS: usize = 40 * ROWS;
/// Rows that are packed at once, at most, where panels of the right matrix are made on demand, once for every block.
pub(crate) const BLOCK_ROWS_ON_DEMAND: usize = 90 * ROWS;
/// Values that are packed at once, about: 16 MiB. More of `k` than that is summed part by part.
const BLOCK_VALUES: usize = 1 << 22;
/// Panels of columns that one thread sums at a time, at most.
const STRIP: usize = 4;
/// Pieces of work for every thread, about.
const PIECES: usize = 8;

/// Turns sums into output: of row `row`, from column `column` on.
pub(crate) type Finish<'a> = &'a (dyn Fn((usize, usize), &[f32], &mut [f32]) + Sync);

/// The sums themselves.
#[cfg(test)]
pub(crate) fn as_is(_: (usize, usize), sums: &[f32], out: &mut [f32]) {
    out.copy_from_slice(sums);
}

/// A matrix inside a slice, to be written; columns are contiguous.
pub(crate) struct Out<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) row_stride: usize,
}

/// `finish(left · right)`.
pub(crate) struct Product<'a, R> {
    pub(crate) level: Level,
    /// `[m, k]`.
    pub(crate) left: Strided<'a>,
    /// `[k, n]`.
    pub(crate) right: &'a R,
    pub(crate) finish: Finish<'a>,
    /// Uses rayon's threads; else this one alone, for callers that are one of many.
    pub(crate) parallel: bool,
}

thread_local! {
    /// Sums and panels of the strip that this thread works on.
    static STRIP_BUFFER: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// Packed rows of the product that this thread began.
    static LEFT_BUFFER: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl<R: Right> Product<'_, R> {
    /// Writes `out [m, n]`.
    ///
    /// # Errors
    /// A matrix reaches past its slice.
    pub(crate) fn write(&self, (m, n, k): (usize, usize, usize), out: Out<'_>) -> Result<(), KernelError> {
        let fits = self.left.holds(m, k)
            && (m == 0 || n == 0 || (m - 1) * out.row_stride + n <= out.data.len())
            && (m <= 1 || out.row_stride >= n);
        if !fits {
            return Err(KernelError::PastSlice);
        }
        if m == 0 || n == 0 {
            return Ok(());
        }
        let target = Shared::new(out.data, out.row_stride);
        let block_rows = if R::READY { BLOCK_ROWS } else { BLOCK_ROWS_ON_DEMAND };
        let blocks = m.div_ceil(block_rows);
        let rows = m.div_ceil(blocks).next_multiple_of(ROWS);
        let depth = (BLOCK_VALUES / rows / DEPTH * DEPTH).max(DEPTH);
        for first in (0..m).step_by(rows) {
            let rows = rows.min(m - first);
            // Once also where there is nothing to sum.
            for start in (0..k.max(1)).step_by(depth) {
                let part = start..k.min(start + depth);
                let matrix = self.left.without_columns(start);
                let packing = Packing { level: self.level, parallel: self.parallel };
                let left = LeftPanels::pack(LEFT_BUFFER.take(), &matrix, (first, rows), part.len(), packing);
                self.block(&left, (first, rows, n), (part, k), &target);
                LEFT_BUFFER.set(left.into_buffer());
            }
        }
        Ok(())
    }

    /// The sums of some packed rows over `part` of `k`, added to those of the parts before; finished with the last.
    fn block(
        &self,
        left: &LeftPanels,
        (first, rows, n): (usize, usize, usize),
        (part_of_k, k): (Range<usize>, usize),
        target: &Shared<'_>,
    ) {
        let panels = n.div_ceil(COLUMNS);
        let pieces = if self.parallel { PIECES * rayon::current_num_threads() } else { 1 };
        let strip = (panels / pieces).clamp(1, STRIP);
        let strips = panels.div_ceil(strip);
        // Where columns are few, rows are shared out as well.
        let shares = if strips >= pieces { 1 } else { (pieces / strips).clamp(1, left.panels()) };
        let share = left.panels().div_ceil(shares);
        let work = |i: usize| {
            let (strip_number, share_number) = (i / shares, i % shares);
            let columns = strip_number * strip..panels.min((strip_number + 1) * strip);
            let part = share_number * share..left.panels().min((share_number + 1) * share);
            if part.is_empty() {
                return;
            }
            let mut buffer = STRIP_BUFFER.take();
            let width = columns.len() * COLUMNS;
            let size = part.len() * ROWS * width;
            if buffer.len() < size + DEPTH * COLUMNS {
                buffer.resize(size + DEPTH * COLUMNS, 0.0);
            }
            let (sums, scratch) = buffer.split_at_mut(size);
            let start = columns.start * COLUMNS;
            let count = (n - start).min(width);
            let lines = part.start * ROWS..rows.min(part.end * ROWS);
            // SAFETY: parts of rows and strips of columns are disjoint, so nobody else has these elements.
            let out = |row: usize| unsafe { target.row(first + row, start, count) };
            if part_of_k.start > 0 {
                let earlier = lines.clone().zip(sums.chunks_mut(width));
                earlier.for_each(|(row, sums)| sums[..count].copy_from_slice(out(row)));
            }
            self.sum((sums, scratch), left, (part, columns), part_of_k.clone());
            for (row, sums) in lines.zip(sums.chunks(width)) {
                if part_of_k.end == k {
                    (self.finish)((first + row, start), &sums[..count], out(row));
                } else {
                    out(row).copy_from_slice(&sums[..count]);
                }
            }
            STRIP_BUFFER.set(buffer);
        };
        if self.parallel && strips * shares > 1 {
            (0..strips * shares).into_par_iter().with_max_len(1).for_each(work);
        } else {
            (0..strips * shares).for_each(work);
        }
    }

    /// Adds the products of some panels of rows and columns, over a part of `k`, to `sums`; those before the first part are none.
    fn sum(
        &self,
        (sums, scratch): (&mut [f32], &mut [f32]),
        left: &LeftPanels,
        (part, columns): (Range<usize>, Range<usize>),
        k: Range<usize>,
    ) {
        let width = columns.len() * COLUMNS;
        if k.is_empty() {
            sums.fill(0.0);
        }
        for start in k.clone().step_by(DEPTH) {
            let depth = start..k.end.min(start + DEPTH);
            for panel in columns.clone() {
                let right = self.right.panel(panel, depth.clone(), scratch);
                let ahead = if panel + 1 < columns.end {
                    self.right.ahead(panel + 1, depth.clone())
                } else {
                    self.right.ahead(columns.start, depth.end..k.end.min(depth.end + DEPTH))
                };
                let piece = ahead.len().div_ceil(part.len()).next_multiple_of(16);
                for (i, row_panel) in part.clone().enumerate() {
                    let tile = Tile {
                        left: left.panel(row_panel, start - k.start),
                        row_stride: 1,
                        k_stride: ROWS,
                        rows: left.rows_of(row_panel),
                        right,
                        k: depth.len(),
                        next: ahead.get(i * piece..ahead.len().min((i + 1) * piece)).unwrap_or_default(),
                    };
                    let data = &mut sums[i * ROWS * width + (panel - columns.start) * COLUMNS..];
                    multiply_tile(self.level, &tile, &mut TileOut { data, row_stride: width, add: start > 0 });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{OnDemand, RightPanels},
        *,
    };
    use crate::cpu::drawn::values;

    /// The plain formula in f64, of a row-major left matrix and a right one stored `[n, k]`.
    fn formula(left: &[f32], right: &[f32], (m, n, k): (usize, usize, usize)) -> Vec<f64> {
        let dot = |i: usize| {
            let pairs = left[i / n * k..][..k].iter().zip(&right[i % n * k..][..k]);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        (0..m * n).map(dot).collect()
    }

    #[test]
    fn every_level_equals_the_formula_whatever_the_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let sizes = [
            (1, 1, 1),
            (1, 65, 300),
            (5, 31, 7),
            (12, 32, 256),
            (13, 33, 257),
            (25, 130, 700),
            (500, 70, 40),
            (3, 4, 0),
            (500, 33, 9000),
        ];
        for (m, n, k) in sizes {
            let (left, right) = (values(m * k, 1), values(n * k, 2));
            let expected = formula(&left, &right, (m, n, k));
            let transposed: Vec<f32> = (0..k * n).map(|i| right[i % n * k + i / n]).collect();
            for level in Level::available() {
                let packed = RightPanels::pack(level, &Strided::columns(&right, k), (k, n));
                let demand = OnDemand { level, matrix: Strided::rows(&transposed, n), n };
                let run = |parallel: bool| {
                    let mut out = vec![f32::NAN; m * n];
                    let left = Strided::rows(&left, k);
                    let product = Product { level, left, right: &packed, finish: &as_is, parallel };
                    product.write((m, n, k), Out { data: &mut out, row_stride: n }).unwrap();
                    out
                };
                let alone = run(false);
                assert_eq!(alone, pool.install(|| run(true)), "{level:?} {m}x{n}x{k}");
                let mut out = vec![f32::NAN; m * (n + 3)];
                let product =
                    Product { level, left: Strided::rows(&left, k), right: &demand, finish: &as_is, parallel: true };
                product.write((m, n, k), Out { data: &mut out, row_stride: n + 3 }).unwrap();
                for (row, found) in out.chunks(n + 3).enumerate() {
                    assert_eq!(found[..n], alone[row * n..][..n], "{level:?} {m}x{n}x{k}");
                    assert!(found[n..].iter().all(|value| value.is_nan()));
                }
                for (found, expected) in alone.iter().zip(&expected) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 2e-6 * (k.max(1) as f64).sqrt(), "{level:?} {m}x{n}x{k}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_matrix_that_reaches_past_its_slice_is_refused() {
        let (left, right) = (vec![0f32; 11], vec![0f32; 12]);
        let level = Level::PORTABLE;
        let right = RightPanels::pack(level, &Strided::columns(&right, 4), (4, 3));
        let mut out = vec![0f32; 9];
        let left = Strided::rows(&left, 4);
        let product = Product { level, left, right: &right, finish: &as_is, parallel: false };
        assert!(product.write((3, 3, 4), Out { data: &mut out, row_stride: 3 }).is_err());
        assert!(product.write((2, 3, 4), Out { data: &mut out, row_stride: 7 }).is_err());
        assert!(product.write((2, 3, 4), Out { data: &mut out, row_stride: 2 }).is_err());
        assert!(product.write((2, 3, 4), Out { data: &mut out, row_stride: 6 }).is_ok());
    }
}
