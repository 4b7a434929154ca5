//! A bounds-checked door to the `gemm` crate.
//!
//! Must not know what is multiplied.
#![allow(unsafe_code)]

use candle_core::{Error, Result};
use gemm::Parallelism;

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
