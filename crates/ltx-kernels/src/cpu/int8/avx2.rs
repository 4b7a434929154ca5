//! The 8-bit tile in AVX2: quarters of 6 × 16 sums in 12 registers. Products of bytes are added in pairs in 16 bits, then in 32.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::{
    quantize::{FOUR, GROUP},
    tile::Tile8,
};
use crate::cpu::gemm::{COLUMNS, ROWS};
use std::arch::x86_64::{
    _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_srai_epi32,
    _mm256_storeu_ps,
};

/// Rows at a time.
const STEP: usize = 6;
/// Columns at a time.
const HALF: usize = COLUMNS / 2;

/// # Safety
/// The processor has AVX2; the sides and `sums` are as long as `tile::multiply` asserts.
pub(super) unsafe fn multiply(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    for group in 0..tile.groups() {
        for column in [0, HALF] {
            for first in (0..tile.rows).step_by(STEP) {
                let (sums, place) = ((&mut *sums, stride), (group, first, column));
                // SAFETY: as promised.
                unsafe {
                    match STEP.min(tile.rows - first) {
                        6 => run::<6>(tile, sums, place),
                        5 => run::<5>(tile, sums, place),
                        4 => run::<4>(tile, sums, place),
                        3 => run::<3>(tile, sums, place),
                        2 => run::<2>(tile, sums, place),
                        _ => run::<1>(tile, sums, place),
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`multiply`], for rows `first..first + R` and columns `column..column + 16` of one group.
#[target_feature(enable = "avx2")]
unsafe fn run<const R: usize>(
    tile: &Tile8<'_>,
    (sums, stride): (&mut [f32], usize),
    (group, first, column): (usize, usize, usize),
) {
    let ones = _mm256_set1_epi16(1);
    // SAFETY: the group, these rows and columns lie inside every side, as promised; reads need no alignment.
    unsafe {
        // The weight's offsets are for 128, twice what is added to 7 bits.
        let offsets = tile.right.offsets.as_ptr().add(group * COLUMNS + column);
        let start = |at: usize| _mm256_srai_epi32::<1>(_mm256_loadu_si256(offsets.add(at).cast()));
        let (mut low, mut high) = ([start(0); R], [start(8); R]);
        let left = tile.left.values.as_ptr().add((group * ROWS + first) * GROUP);
        let mut right = tile.right.values.as_ptr().add(group * GROUP * COLUMNS + column * FOUR);
        for k in 0..GROUP / FOUR {
            let (near, far) = (_mm256_loadu_si256(right.cast()), _mm256_loadu_si256(right.add(32).cast()));
            for row in 0..R {
                let four = left.add(row * GROUP + k * FOUR).cast::<i32>().read_unaligned();
                let four = _mm256_set1_epi32(four);
                low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(_mm256_maddubs_epi16(four, near), ones));
                high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(_mm256_maddubs_epi16(four, far), ones));
            }
            // Past the end only after the last, where it is not read.
            right = right.wrapping_add(COLUMNS * FOUR);
        }
        let scales = tile.right.scales.as_ptr().add(group * COLUMNS + column);
        let scales = [_mm256_loadu_ps(scales), _mm256_loadu_ps(scales.add(8))];
        for row in 0..R {
            let scale = _mm256_set1_ps(*tile.left.scales.as_ptr().add(group * ROWS + first + row));
            for (half, exact) in [low[row], high[row]].into_iter().enumerate() {
                let out = sums.as_mut_ptr().add((first + row) * stride + column + 8 * half);
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), _mm256_mul_ps(scale, scales[half]));
                _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), product));
            }
        }
    }
}
