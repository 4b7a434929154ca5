//! The product that scores and answers are made of: a few rows of the left matrix times two vectors of columns of the right one, in
//! registers.
//!
//! Must not know what is multiplied.

use super::portable;
use crate::cpu::level::{Instructions, Level};

/// Columns of a vector.
pub(super) const LANES: usize = 16;
/// Vectors of columns that are multiplied together.
pub(super) const PAIR: usize = 2;
/// Rows of the left matrix that are multiplied together, at most.
pub(super) const QUERIES: usize = 6;
/// The widest kernel: what one query sees of a row fits a vector.
pub const MOST_COLUMNS: usize = LANES - 1;
/// The longest head.
pub(super) const MOST_HEAD: usize = 256;

/// What is multiplied: sums over the rows of the right matrix, which come in runs of `depth`, `stride` values apart.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) left: &'a [f32],
    /// How far apart runs, the elements of a run, and rows lie in `left`.
    pub(super) strides: [usize; 3],
    /// Rows of the left matrix: 1 to [`QUERIES`].
    pub(super) queries: usize,
    pub(super) right: &'a [f32],
    /// Where runs begin in `right`, behind `offsets`, for either vector.
    pub(super) starts: [&'a [usize]; PAIR],
    pub(super) offsets: [usize; PAIR],
    /// Rows of a run.
    pub(super) depth: usize,
    pub(super) stride: usize,
}

/// Where products go: rows of [`PAIR`] vectors, `row_stride` values apart.
pub(super) struct Out<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) row_stride: usize,
}

/// Multiplies a tile.
///
/// # Panics
/// A matrix reaches past its slice: a mistake of the caller's, that unsafe code must not see.
pub(super) fn multiply(level: Level, tile: &Tile<'_>, out: &mut Out<'_>) {
    let Tile { left, strides: [run, element, row], queries, right, starts, offsets, depth, stride } = *tile;
    let runs = starts[0].len();
    assert!((1..=QUERIES).contains(&queries) && depth > 0 && runs > 0 && starts[1].len() == runs, "tile: no rows");
    let last = (runs - 1) * run + (depth - 1) * element + (queries - 1) * row;
    assert!(left.len() > last, "tile: the left matrix is too short");
    let reach = (depth - 1) * stride + LANES;
    let within = |(starts, offset): (&[usize], usize)| starts.iter().all(|at| at + offset + reach <= right.len());
    assert!(starts.into_iter().zip(offsets).all(within), "tile: the right matrix is too short");
    assert!(out.data.len() >= (queries - 1) * out.row_stride + PAIR * LANES, "tile: the output is too short");
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx | Instructions::Avx512 => super::avx512::multiply(tile, out),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => super::avx2::multiply(tile, out),
        _ => portable::multiply(tile, out),
    }
}
