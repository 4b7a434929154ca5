//! The 8-bit tile in AVX-512 with VNNI: 12 × 32 sums in 24 registers.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::{
    quantize::{FOUR, GROUP},
    tile::Tile8,
};
use crate::cpu::gemm::{COLUMNS, ROWS};
use std::arch::x86_64::{
    _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
};

/// # Safety
/// The processor has AVX-512F and VNNI; the sides and `sums` are as long as `tile::multiply` asserts.
pub(super) unsafe fn multiply(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    // SAFETY: as promised.
    unsafe {
        match tile.rows {
            12 => run::<12>(tile, sums, stride),
            11 => run::<11>(tile, sums, stride),
            10 => run::<10>(tile, sums, stride),
            9 => run::<9>(tile, sums, stride),
            8 => run::<8>(tile, sums, stride),
            7 => run::<7>(tile, sums, stride),
            6 => run::<6>(tile, sums, stride),
            5 => run::<5>(tile, sums, stride),
            4 => run::<4>(tile, sums, stride),
            3 => run::<3>(tile, sums, stride),
            2 => run::<2>(tile, sums, stride),
            _ => run::<1>(tile, sums, stride),
        }
    }
}

/// # Safety
/// As [`multiply`], for `R` rows.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn run<const R: usize>(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    for group in 0..tile.groups() {
        // SAFETY: group `group` of every side lies inside it, as promised; reads of bytes need no alignment.
        unsafe {
            let offsets = tile.right.offsets.as_ptr().add(group * COLUMNS);
            let start = [_mm512_loadu_si512(offsets.cast()), _mm512_loadu_si512(offsets.add(16).cast())];
            let (mut low, mut high) = ([start[0]; R], [start[1]; R]);
            let left = tile.left.values.as_ptr().add(group * ROWS * GROUP);
            let mut right = tile.right.values.as_ptr().add(group * GROUP * COLUMNS);
            for k in 0..GROUP / FOUR {
                let first = _mm512_loadu_si512(right.cast());
                let second = _mm512_loadu_si512(right.add(64).cast());
                for row in 0..R {
                    let four = left.add(row * GROUP + k * FOUR).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    low[row] = _mm512_dpbusd_epi32(low[row], four, first);
                    high[row] = _mm512_dpbusd_epi32(high[row], four, second);
                }
                right = right.add(COLUMNS * FOUR);
            }
            let scales = tile.right.scales.as_ptr().add(group * COLUMNS);
            let scales = [_mm512_loadu_ps(scales), _mm512_loadu_ps(scales.add(16))];
            for row in 0..R {
                let scale = _mm512_set1_ps(*tile.left.scales.as_ptr().add(group * ROWS + row));
                for (half, exact) in [low[row], high[row]].into_iter().enumerate() {
                    let out = sums.as_mut_ptr().add(row * stride + 16 * half);
                    let product = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(scale, scales[half]));
                    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), product));
                }
            }
        }
    }
}
