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
    let reach = |rows: usize, columns: usize, row_stride: usize, column_stride: usize| {
        if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
    };
    let fits = reach(m, n, out.row_stride, 1) <= out.data.len()
        && (m <= 1 || out.row_stride >= n)
        && reach(m, k, lhs.row_stride, lhs.column_stride) <= lhs.data.len()
        && reach(k, n, rhs.row_stride, rhs.column_stride) <= rhs.data.len();
    if !fits {
        return Err(Error::msg("matmul: a matrix reaches past its slice"));
    }
    // SAFETY: `fits` holds, so every element that `gemm` touches lies inside its slice; the rows of `out` do not
    // overlap, and `out` is borrowed mutably, so nothing else reads or writes it meanwhile.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
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
    Ok(())
}
