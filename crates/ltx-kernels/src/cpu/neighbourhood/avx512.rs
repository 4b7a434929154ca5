//! The tile in AVX-512: 6 × 2 × 16 sums in 12 registers.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::tile::{LANES, Out, Tile};
use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps};

/// Multiplies a tile whose sizes `tile::multiply` has checked; the level is only chosen where the processor has it.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut Out<'_>) {
    // SAFETY: `Level` offers AVX-512 only after asking the processor; sizes hold as `tile::multiply` asserted.
    unsafe {
        match tile.queries {
            6 => run::<6>(tile, out),
            5 => run::<5>(tile, out),
            4 => run::<4>(tile, out),
            3 => run::<3>(tile, out),
            2 => run::<2>(tile, out),
            _ => run::<1>(tile, out),
        }
    }
}

/// # Safety
/// The processor has AVX-512F; the tile has `R` queries, and sizes as `tile::multiply` asserts.
#[target_feature(enable = "avx512f")]
unsafe fn run<const R: usize>(tile: &Tile<'_>, out: &mut Out<'_>) {
    let [run_stride, element, row_stride] = tile.strides;
    let (mut first, mut second) = ([_mm512_setzero_ps(); R], [_mm512_setzero_ps(); R]);
    let starts = tile.starts[0].iter().zip(tile.starts[1]);
    for (run, (one, other)) in starts.enumerate() {
        let mut a = tile.left.as_ptr().wrapping_add(run * run_stride);
        let mut b = tile.right.as_ptr().wrapping_add(one + tile.offsets[0]);
        let mut c = tile.right.as_ptr().wrapping_add(other + tile.offsets[1]);
        for _ in 0..tile.depth {
            // SAFETY: both vectors of row `k` of the run, as promised.
            let (left, right) = unsafe { (_mm512_loadu_ps(b), _mm512_loadu_ps(c)) };
            for row in 0..R {
                // SAFETY: element (k, row) of the run's left matrix, as promised.
                let x = _mm512_set1_ps(unsafe { *a.add(row * row_stride) });
                first[row] = _mm512_fmadd_ps(x, left, first[row]);
                second[row] = _mm512_fmadd_ps(x, right, second[row]);
            }
            // Past the end only after the last row, where it is not read.
            (a, b, c) = (a.wrapping_add(element), b.wrapping_add(tile.stride), c.wrapping_add(tile.stride));
        }
    }
    for row in 0..R {
        // SAFETY: `out` has both vectors of each of `R` rows, as promised.
        unsafe {
            let target = out.data.as_mut_ptr().add(row * out.row_stride);
            _mm512_storeu_ps(target, first[row]);
            _mm512_storeu_ps(target.add(LANES), second[row]);
        }
    }
}
