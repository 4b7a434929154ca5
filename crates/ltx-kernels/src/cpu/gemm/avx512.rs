//! The tile in AVX-512: 12 × 32 sums in 24 registers.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::{COLUMNS, Tile, TileOut};
use std::arch::x86_64::{
    _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

/// Multiplies a tile whose sizes `multiply_tile` has checked; the level is only chosen where the processor has it.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut TileOut<'_>) {
    // SAFETY: `Level` offers AVX-512 only after asking the processor; sizes hold as `multiply_tile` asserted.
    unsafe {
        match (tile.rows, tile.row_stride == 1) {
            (12, true) => run::<12, true>(tile, out),
            (12, false) => run::<12, false>(tile, out),
            (11, _) => run::<11, false>(tile, out),
            (10, _) => run::<10, false>(tile, out),
            (9, _) => run::<9, false>(tile, out),
            (8, _) => run::<8, false>(tile, out),
            (7, _) => run::<7, false>(tile, out),
            (6, _) => run::<6, false>(tile, out),
            (5, _) => run::<5, false>(tile, out),
            (4, _) => run::<4, false>(tile, out),
            (3, _) => run::<3, false>(tile, out),
            (2, _) => run::<2, false>(tile, out),
            _ => run::<1, false>(tile, out),
        }
    }
}

/// # Safety
/// The processor has AVX-512F; `left` holds `R` rows of `k` values, `right` `k` rows of 32, `out` `R` rows of 32.
#[target_feature(enable = "avx512f")]
unsafe fn run<const R: usize, const UNIT: bool>(tile: &Tile<'_>, out: &mut TileOut<'_>) {
    let row_stride = if UNIT { 1 } else { tile.row_stride };
    let (mut low, mut high) = ([_mm512_setzero_ps(); R], [_mm512_setzero_ps(); R]);
    let (mut a, mut b) = (tile.left.as_ptr(), tile.right.as_ptr());
    for line in tile.next.chunks(16) {
        _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
    }
    for _ in 0..tile.k {
        // SAFETY: row `k` of the panel, as promised.
        let (first, second) = unsafe { (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))) };
        for row in 0..R {
            // SAFETY: element (row, k) of the left matrix, as promised.
            let x = _mm512_set1_ps(unsafe { *a.add(row * row_stride) });
            low[row] = _mm512_fmadd_ps(x, first, low[row]);
            high[row] = _mm512_fmadd_ps(x, second, high[row]);
        }
        // Past the end only after the last row, where it is not read.
        (a, b) = (a.wrapping_add(tile.k_stride), b.wrapping_add(COLUMNS));
    }
    for row in 0..R {
        // SAFETY: row `row` of the output has 32 values, as promised.
        unsafe {
            let c = out.data.as_mut_ptr().add(row * out.row_stride);
            if out.add {
                low[row] = _mm512_add_ps(_mm512_loadu_ps(c), low[row]);
                high[row] = _mm512_add_ps(_mm512_loadu_ps(c.add(16)), high[row]);
            }
            _mm512_storeu_ps(c, low[row]);
            _mm512_storeu_ps(c.add(16), high[row]);
        }
    }
}
