//! The tile in AVX2: quarters of 6 × 16 sums in 12 registers.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::{COLUMNS, Tile, TileOut};
use std::arch::x86_64::{
    _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps,
};

const STEP: usize = 6;
const HALF: usize = COLUMNS / 2;

/// Multiplies a tile whose sizes `multiply_tile` has checked; the level is only chosen where the processor has it.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut TileOut<'_>) {
    for line in tile.next.chunks(16) {
        // SAFETY: asking for memory ahead of its use reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    // Half of the panel and the rows fit into the first cache; the whole panel does not.
    for column in [0, HALF] {
        for first in (0..tile.rows).step_by(STEP) {
            // SAFETY: `Level` offers AVX2 only after asking the processor; sizes hold as `multiply_tile` asserted.
            unsafe {
                match STEP.min(tile.rows - first) {
                    6 => run::<6>(tile, out, (first, column)),
                    5 => run::<5>(tile, out, (first, column)),
                    4 => run::<4>(tile, out, (first, column)),
                    3 => run::<3>(tile, out, (first, column)),
                    2 => run::<2>(tile, out, (first, column)),
                    _ => run::<1>(tile, out, (first, column)),
                }
            }
        }
    }
}

/// # Safety
/// The processor has AVX2 and FMA; `left` holds rows `first..first + R` of `k` values, `right` `k` rows of 32, `out` those
/// rows of 32; `column` is 0 or 16.
#[target_feature(enable = "avx2,fma")]
unsafe fn run<const R: usize>(tile: &Tile<'_>, out: &mut TileOut<'_>, (first, column): (usize, usize)) {
    let (mut low, mut high) = ([_mm256_setzero_ps(); R], [_mm256_setzero_ps(); R]);
    let mut a = tile.left.as_ptr().wrapping_add(first * tile.row_stride);
    let mut b = tile.right.as_ptr().wrapping_add(column);
    for _ in 0..tile.k {
        // SAFETY: half of row `k` of the panel, as promised.
        let (left, right) = unsafe { (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))) };
        for row in 0..R {
            // SAFETY: element (first + row, k) of the left matrix, as promised.
            let x = _mm256_set1_ps(unsafe { *a.add(row * tile.row_stride) });
            low[row] = _mm256_fmadd_ps(x, left, low[row]);
            high[row] = _mm256_fmadd_ps(x, right, high[row]);
        }
        // Past the end only after the last row, where it is not read.
        (a, b) = (a.wrapping_add(tile.k_stride), b.wrapping_add(COLUMNS));
    }
    for row in 0..R {
        // SAFETY: row `first + row` of the output has 32 values, as promised.
        unsafe {
            let c = out.data.as_mut_ptr().add((first + row) * out.row_stride + column);
            if out.add {
                low[row] = _mm256_add_ps(_mm256_loadu_ps(c), low[row]);
                high[row] = _mm256_add_ps(_mm256_loadu_ps(c.add(8)), high[row]);
            }
            _mm256_storeu_ps(c, low[row]);
            _mm256_storeu_ps(c.add(8), high[row]);
        }
    }
}
