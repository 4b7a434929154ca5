//! A bounds-checked door to the `gemm` crate.
//!
//! Must not know what is multiplied.
#![allow(unsafe_code)]

use candle_core::{Error, Result};
use gemm::Parallelism;
use rayon::prelude::*;
use std::marker::PhantomData;

/// A strided matrix inside a slice.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

/// A strided matrix inside a slice, to be written; columns are contiguous.
pub(super) struct MatMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) row_stride: usize,
}

/// `out = lhs · rhs`, or `out += lhs · rhs`.
///
/// # Shapes
/// `lhs [m, k]`, `rhs [k, n]`, `out [m, n]`.
///
/// # Errors
/// A matrix reaches past its slice.
pub(super) fn matmul(
    (m, n, k): (usize, usize, usize),
    out: MatMut<'_>,
    accumulate: bool,
    (lhs, rhs): (Mat<'_>, Mat<'_>),
    parallelism: Parallelism,
) -> Result<()> {
    let fits = reach(m, n, out.row_stride, 1) <= out.data.len()
        && (m <= 1 || out.row_stride >= n)
        && lhs.holds(m, k)
        && rhs.holds(k, n);
    if !fits {
        return Err(Error::msg("matmul: a matrix reaches past its slice"));
    }
    // SAFETY: `fits` holds, so every element that is touched lies inside its slice; the rows of `out` do not overlap, and
    // `out` is borrowed mutably, so nothing else reads or writes it meanwhile.
    unsafe { multiply((m, n, k), (out.data.as_mut_ptr(), out.row_stride), accumulate, (lhs, rhs), parallelism) };
    Ok(())
}

/// A block of whole columns of a matrix that other threads write other columns of.
pub(super) struct Columns<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: it reaches the elements of its own columns alone, and no two blocks of a matrix share a column.
unsafe impl Send for Columns<'_> {}

impl Columns<'_> {
    /// Columns in this block.
    pub(super) fn len(&self) -> usize {
        self.columns
    }

    /// Fills every row with one value.
    pub(super) fn fill(&mut self, by_row: &[f32]) {
        for (row, value) in by_row.iter().enumerate().take(self.rows) {
            // SAFETY: row and columns are this block's own, inside the matrix it was cut from.
            unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.row_stride), self.columns) }.fill(*value);
        }
    }

    /// `self += lhs · rhs`, on this thread.
    ///
    /// # Shapes
    /// `lhs [rows, k]`, `rhs [k, columns]`.
    ///
    /// # Errors
    /// A matrix reaches past its slice.
    pub(super) fn add_product(&mut self, k: usize, lhs: Mat<'_>, rhs: Mat<'_>) -> Result<()> {
        if !lhs.holds(self.rows, k) || !rhs.holds(k, self.columns) {
            return Err(Error::msg("matmul: a matrix reaches past its slice"));
        }
        let size = (self.rows, self.columns, k);
        // SAFETY: the inputs hold what is read; what is written are this block's own elements.
        unsafe { multiply(size, (self.first, self.row_stride), true, (lhs, rhs), Parallelism::None) };
        Ok(())
    }
}

/// Cuts a matrix into blocks of `width` columns (the last may be narrower) and hands each to `work`, side by side.
///
/// # Shapes
/// `matrix [rows, row_stride]`.
///
/// # Errors
/// `work` failed.
pub(super) fn for_each_columns<T>(
    matrix: &mut [f32],
    row_stride: usize,
    width: usize,
    init: impl Fn() -> T + Send + Sync,
    work: impl Fn(&mut T, usize, Columns<'_>) -> Result<()> + Send + Sync,
) -> Result<()> {
    let rows = matrix.len() / row_stride.max(1);
    let base = Base(matrix.as_mut_ptr());
    (0..row_stride.div_ceil(width.max(1))).into_par_iter().try_for_each_init(init, |state, i| {
        let start = i * width;
        let columns = width.min(row_stride - start);
        // SAFETY: `start` is a column of the first row, so inside the matrix, which stays mutably borrowed until all
        // blocks are done; blocks begin `width` columns apart and are at most that wide, so they are disjoint.
        let first = unsafe { base.get().add(start) };
        work(state, i, Columns { first, rows, columns, row_stride, matrix: PhantomData })
    })
}

/// A matrix' first element, for threads that share nothing of it.
struct Base(*mut f32);

// SAFETY: only `for_each_columns` uses it, which hands out disjoint parts.
unsafe impl Sync for Base {}

impl Base {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

impl Mat<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        reach(rows, columns, self.row_stride, self.column_stride) <= self.data.len()
    }
}

/// Elements from the first to the last of a matrix.
fn reach(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

/// The one call of `gemm`.
///
/// # Safety
/// `lhs [m, k]` and `rhs [k, n]` lie inside their slices; `out` points to rows of `n` elements, `row_stride` apart and not
/// overlapping, that nothing else reads or writes meanwhile.
unsafe fn multiply(
    (m, n, k): (usize, usize, usize),
    (out, row_stride): (*mut f32, usize),
    accumulate: bool,
    (lhs, rhs): (Mat<'_>, Mat<'_>),
    parallelism: Parallelism,
) {
    // SAFETY: the caller's promise is what `gemm` asks for.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            row_stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}
