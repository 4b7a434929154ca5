//! The tile for every processor, for the compiler to vectorise: pieces of 4 × 8 sums.
//!
//! Must not know anything but the tile.

use super::{COLUMNS, Tile, TileOut};

const STEP: usize = 4;
const WIDTH: usize = 8;

/// Multiplies a tile whose sizes `multiply_tile` has checked.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut TileOut<'_>) {
    for first in (0..tile.rows).step_by(STEP) {
        let rows = STEP.min(tile.rows - first);
        for column in (0..COLUMNS).step_by(WIDTH) {
            let sums = if rows == STEP { sums::<STEP>(tile, first, column) } else { rest(tile, first, column) };
            for (row, sums) in sums.iter().enumerate().take(rows) {
                let out_row = &mut out.data[(first + row) * out.row_stride + column..][..WIDTH];
                if out.add {
                    out_row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                } else {
                    out_row.copy_from_slice(sums);
                }
            }
        }
    }
}

/// One to three rows, one at a time.
fn rest(tile: &Tile<'_>, first: usize, column: usize) -> [[f32; WIDTH]; STEP] {
    let mut all = [[0f32; WIDTH]; STEP];
    for row in first..tile.rows.min(first + STEP) {
        all[row - first] = sums::<1>(tile, row, column)[0];
    }
    all
}

#[inline(always)]
fn sums<const R: usize>(tile: &Tile<'_>, first: usize, column: usize) -> [[f32; WIDTH]; STEP] {
    let mut sums = [[0f32; WIDTH]; STEP];
    let panel = tile.right.as_chunks::<COLUMNS>().0.iter().take(tile.k);
    for (k, line) in panel.enumerate() {
        let values: &[f32; WIDTH] = line[column..].first_chunk().unwrap_or(&[0.0; WIDTH]);
        for (row, sums) in sums.iter_mut().enumerate().take(R) {
            let x = tile.left[(first + row) * tile.row_stride + k * tile.k_stride];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += x * value;
            }
        }
    }
    sums
}
