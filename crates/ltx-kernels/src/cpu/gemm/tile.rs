//! One tile: up to [`ROWS`] rows of the left matrix times one panel of the right one, in registers.
//!
//! Must not know where the tile lies in a larger product.

use super::{COLUMNS, ROWS, portable};
use crate::cpu::level::{Instructions, Level};

/// What is multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Element `(row, k)` of the left matrix lies at `row · row_stride + k · k_stride`.
    pub(crate) left: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) k_stride: usize,
    /// At most [`ROWS`].
    pub(crate) rows: usize,
    /// `[k, COLUMNS]`.
    pub(crate) right: &'a [f32],
    pub(crate) k: usize,
    /// What will be read next; it is asked for meanwhile.
    pub(crate) next: &'a [f32],
}

/// Where a tile's products go: `rows × COLUMNS` values, rows `row_stride` apart.
pub(crate) struct TileOut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) row_stride: usize,
    /// Adds to what is there.
    pub(crate) add: bool,
}

/// Multiplies one tile.
///
/// # Panics
/// A matrix reaches past its slice: a mistake of the caller's, that unsafe code must not see.
pub(crate) fn multiply_tile(level: Level, tile: &Tile<'_>, out: &mut TileOut<'_>) {
    let Tile { left, row_stride, k_stride, rows, right, k, .. } = *tile;
    if rows == 0 {
        return;
    }
    assert!(rows <= ROWS && right.len() >= k * COLUMNS, "tile: the right panel is too short");
    assert!(k == 0 || left.len() > (rows - 1) * row_stride + (k - 1) * k_stride, "tile: the left panel is too short");
    assert!(out.data.len() >= (rows - 1) * out.row_stride + COLUMNS, "tile: the output is too short");
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx | Instructions::Avx512 => super::avx512::multiply(tile, out),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => super::avx2::multiply(tile, out),
        _ => portable::multiply(tile, out),
    }
}
