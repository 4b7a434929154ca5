//! One tile in 8 bits: up to [`ROWS`] rows times a panel of a weight. Groups are summed exactly, as integers, and added up in f32
//! in the same order on every level: the same bytes everywhere.
//!
//! Must not know where the tile lies.
#![allow(unsafe_code)]

use super::quantize::{FOUR, GROUP};
use crate::kernels::cpu::{
    gemm::{COLUMNS, ROWS},
    level::widest,
};

/// Rows of the left side, from the first on, and a panel of the right one.
#[derive(Clone, Copy)]
pub(super) struct Tile8<'a> {
    /// `[rows, inputs]`, 128 too large.
    pub(super) left: &'a [u8],
    /// `[rows, inputs / GROUP]`.
    pub(super) left_scales: &'a [f32],
    pub(super) rows: usize,
    pub(super) inputs: usize,
    /// `[inputs / FOUR, COLUMNS, FOUR]`.
    pub(super) right: &'a [i8],
    /// `[inputs / GROUP, COLUMNS]`.
    pub(super) right_scales: &'a [f32],
    pub(super) offsets: &'a [i32],
}

/// Which way products of bytes are summed; all yield the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// The compiler's, at the level in use.
    Plain,
}

impl Path {
    /// The best at the level in use.
    pub(super) fn current() -> Self {
        #[cfg(target_arch = "x86_64")]
        if crate::Level::current() >= crate::Level::Avx512 && std::arch::is_x86_feature_detected!("avx512vnni") {
            return Self::Vnni;
        }
        Self::Plain
    }
}

/// Adds the tile's products to `sums [rows, COLUMNS]`, rows `stride` apart.
///
/// # Panics
/// A side is shorter than `rows` and `inputs` say: a mistake of the caller's, that unsafe code must not see.
pub(super) fn multiply(path: Path, tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    let &Tile8 { left, left_scales, rows, inputs, right, right_scales, offsets } = tile;
    let groups = inputs / GROUP;
    let fits = rows > 0
        && rows <= ROWS
        && inputs.is_multiple_of(GROUP)
        && left.len() >= rows * inputs
        && left_scales.len() >= rows * groups
        && right.len() >= inputs * COLUMNS
        && right_scales.len() >= groups * COLUMNS
        && offsets.len() >= groups * COLUMNS
        && sums.len() >= (rows - 1) * stride + COLUMNS;
    assert!(fits, "8-bit tile: a side is too short");
    match path {
        // SAFETY: the path is only chosen where the processor has it; sizes hold as asserted.
        #[cfg(target_arch = "x86_64")]
        Path::Vnni => unsafe {
            match rows {
                12 => vnni::<12>(tile, sums, stride),
                11 => vnni::<11>(tile, sums, stride),
                10 => vnni::<10>(tile, sums, stride),
                9 => vnni::<9>(tile, sums, stride),
                8 => vnni::<8>(tile, sums, stride),
                7 => vnni::<7>(tile, sums, stride),
                6 => vnni::<6>(tile, sums, stride),
                5 => vnni::<5>(tile, sums, stride),
                4 => vnni::<4>(tile, sums, stride),
                3 => vnni::<3>(tile, sums, stride),
                2 => vnni::<2>(tile, sums, stride),
                _ => vnni::<1>(tile, sums, stride),
            }
        },
        Path::Plain => widest(
            #[inline(always)]
            || plain(tile, sums, stride),
        ),
    }
}

#[inline(always)]
fn plain(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    let groups = tile.inputs / GROUP;
    for group in 0..groups {
        let right = tile.right[group * GROUP * COLUMNS..].as_chunks::<{ COLUMNS * FOUR }>().0;
        let scales = &tile.right_scales[group * COLUMNS..][..COLUMNS];
        for row in 0..tile.rows {
            let left = tile.left[row * tile.inputs + group * GROUP..][..GROUP].as_chunks::<FOUR>().0;
            let mut exact = [0i32; COLUMNS];
            exact.copy_from_slice(&tile.offsets[group * COLUMNS..][..COLUMNS]);
            for (left, right) in left.iter().zip(right) {
                for (sum, right) in exact.iter_mut().zip(right.as_chunks::<FOUR>().0) {
                    let products = left.iter().zip(right).map(|(a, b)| i32::from(*a) * i32::from(*b));
                    *sum += products.sum::<i32>();
                }
            }
            let scale = tile.left_scales[row * groups + group];
            for ((sum, exact), right) in sums[row * stride..].iter_mut().zip(exact).zip(scales) {
                *sum += exact as f32 * (scale * right);
            }
        }
    }
}

/// # Safety
/// The processor has AVX-512F and VNNI; the sides and `sums` hold what `multiply` asserts, for `R` rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn vnni<const R: usize>(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    use std::arch::x86_64::{
        _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
        _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
    };
    let groups = tile.inputs / GROUP;
    for group in 0..groups {
        // SAFETY: group `group` of every side lies inside it, as promised; reads of bytes need no alignment.
        unsafe {
            let offsets = tile.offsets.as_ptr().add(group * COLUMNS);
            let start = [_mm512_loadu_si512(offsets.cast()), _mm512_loadu_si512(offsets.add(16).cast())];
            let (mut low, mut high) = ([start[0]; R], [start[1]; R]);
            let left = tile.left.as_ptr().add(group * GROUP);
            let mut right = tile.right.as_ptr().add(group * GROUP * COLUMNS);
            for k in 0..GROUP / FOUR {
                let first = _mm512_loadu_si512(right.cast());
                let second = _mm512_loadu_si512(right.add(64).cast());
                for row in 0..R {
                    let four = left.add(row * tile.inputs + k * FOUR).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    low[row] = _mm512_dpbusd_epi32(low[row], four, first);
                    high[row] = _mm512_dpbusd_epi32(high[row], four, second);
                }
                right = right.add(COLUMNS * FOUR);
            }
            let scales = tile.right_scales.as_ptr().add(group * COLUMNS);
            let scales = [_mm512_loadu_ps(scales), _mm512_loadu_ps(scales.add(16))];
            for row in 0..R {
                let scale = _mm512_set1_ps(*tile.left_scales.as_ptr().add(row * groups + group));
                for (half, exact) in [low[row], high[row]].into_iter().enumerate() {
                    let out = sums.as_mut_ptr().add(row * stride + 16 * half);
                    let product = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(scale, scales[half]));
                    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), product));
                }
            }
        }
    }
}
