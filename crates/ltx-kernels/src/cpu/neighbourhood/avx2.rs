//! The tile in AVX2: 6 × 16 sums in 12 registers, one vector of columns after the other.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::tile::{LANES, Out, PAIR, Tile};
use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps};

/// Multiplies a tile whose sizes `tile::multiply` has checked; the level is only chosen where the processor has it.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut Out<'_>) {
    for vector in 0..PAIR {
        // SAFETY: `Level` offers AVX2 only after asking the processor; sizes hold as `tile::multiply` asserted.
        unsafe {
            match tile.queries {
                6 => run::<6>(tile, vector, out),
                5 => run::<5>(tile, vector, out),
                4 => run::<4>(tile, vector, out),
                3 => run::<3>(tile, vector, out),
                2 => run::<2>(tile, vector, out),
                _ => run::<1>(tile, vector, out),
            }
        }
    }
}

/// # Safety
/// The processor has AVX2 and FMA; the tile has `R` queries, and sizes as `tile::multiply` asserts.
#[target_feature(enable = "avx2,fma")]
unsafe fn run<const R: usize>(tile: &Tile<'_>, vector: usize, out: &mut Out<'_>) {
    let [run_stride, element, row_stride] = tile.strides;
    let (mut low, mut high) = ([_mm256_setzero_ps(); R], [_mm256_setzero_ps(); R]);
    for (run, start) in tile.starts[vector].iter().enumerate() {
        let mut a = tile.left.as_ptr().wrapping_add(run * run_stride);
        let mut b = tile.right.as_ptr().wrapping_add(start + tile.offsets[vector]);
        for _ in 0..tile.depth {
            // SAFETY: a vector of row `k` of the run, as promised.
            let (first, second) = unsafe { (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))) };
            for row in 0..R {
                // SAFETY: element (k, row) of the run's left matrix, as promised.
                let x = _mm256_set1_ps(unsafe { *a.add(row * row_stride) });
                low[row] = _mm256_fmadd_ps(x, first, low[row]);
                high[row] = _mm256_fmadd_ps(x, second, high[row]);
            }
            // Past the end only after the last row, where it is not read.
            (a, b) = (a.wrapping_add(element), b.wrapping_add(tile.stride));
        }
    }
    for row in 0..R {
        // SAFETY: `out` has both vectors of each of `R` rows, as promised.
        unsafe {
            let c = out.data.as_mut_ptr().add(row * out.row_stride + vector * LANES);
            _mm256_storeu_ps(c, low[row]);
            _mm256_storeu_ps(c.add(8), high[row]);
        }
    }
}
