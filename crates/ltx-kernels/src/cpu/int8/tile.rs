//! One tile in 8 bits: up to [`ROWS`] rows times a panel of a weight. Groups are summed exactly, as integers, and added up in f32
//! in the same order on every level.
//!
//! Must not know where the tile lies.
#![allow(unsafe_code)]

use super::quantize::{FOUR, GROUP, Left, Right};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, vnni};
#[cfg(target_arch = "x86_64")]
use crate::cpu::amx::granted_in_8_bits;
use crate::cpu::{
    gemm::{COLUMNS, ROWS},
    level::{Instructions, Level},
};

/// Some groups of both sides, over the same values of `k`.
#[derive(Clone, Copy)]
pub(super) struct Tile8<'a> {
    pub(super) left: Left<'a>,
    pub(super) right: Right<'a>,
    /// At most [`ROWS`].
    pub(super) rows: usize,
}

impl Tile8<'_> {
    pub(super) fn groups(&self) -> usize {
        self.right.scales.len() / COLUMNS
    }
}

/// Which way products are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// Tiles of AMX; yields the same as VNNI.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// AVX2, which adds products in pairs in 16 bits: the left side has 7 bits, so that no pair leaves them.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The compiler's; yields the same as VNNI.
    Plain,
}

impl Path {
    /// The best of a level.
    pub(super) fn of(level: Level) -> Self {
        match level.instructions() {
            #[cfg(target_arch = "x86_64")]
            Instructions::Amx if granted_in_8_bits() => Self::Amx,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 | Instructions::Amx if std::arch::is_x86_feature_detected!("avx512vnni") => Self::Vnni,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 | Instructions::Avx512 | Instructions::Amx => Self::Avx2,
            _ => Self::Plain,
        }
    }

    /// Bits of the left side, its sign among them.
    fn bits(self) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx2 {
            return 7;
        }
        8
    }

    /// Magnitude of a group's largest value on the left side.
    pub(super) fn largest(self) -> f32 {
        f32::from(self.offset() - 1)
    }

    /// What is added to values of the left side, so that none is negative.
    pub(super) fn offset(self) -> u8 {
        1 << (self.bits() - 1)
    }
}

/// Adds the tile's products to `sums [rows, COLUMNS]`, rows `stride` apart.
///
/// # Panics
/// A side is too short: a mistake of the caller's, that unsafe code must not see.
pub(super) fn multiply(path: Path, tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    let (groups, rows) = (tile.groups(), tile.rows);
    let fits = rows > 0
        && rows <= ROWS
        && tile.left.values.len() >= groups * GROUP * ROWS
        && tile.left.scales.len() >= groups * ROWS
        && tile.right.values.len() >= groups * GROUP * COLUMNS
        && tile.right.offsets.len() >= groups * COLUMNS
        && sums.len() >= (rows - 1) * stride + COLUMNS;
    assert!(fits, "8-bit tile: a side is too short");
    match path {
        // SAFETY: a path is only chosen where the processor has it; sizes hold as asserted.
        #[cfg(target_arch = "x86_64")]
        Path::Amx => unsafe { amx::multiply(tile, sums, stride) },
        // SAFETY: the same.
        #[cfg(target_arch = "x86_64")]
        Path::Vnni => unsafe { vnni::multiply(tile, sums, stride) },
        // SAFETY: the same.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => unsafe { avx2::multiply(tile, sums, stride) },
        Path::Plain => plain(tile, sums, stride),
    }
}

fn plain(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    for group in 0..tile.groups() {
        let right = tile.right.values[group * GROUP * COLUMNS..].as_chunks::<{ COLUMNS * FOUR }>().0;
        let scales = &tile.right.scales[group * COLUMNS..][..COLUMNS];
        for row in 0..tile.rows {
            let left = tile.left.values[(group * ROWS + row) * GROUP..][..GROUP].as_chunks::<FOUR>().0;
            let mut exact = [0i32; COLUMNS];
            exact.copy_from_slice(&tile.right.offsets[group * COLUMNS..][..COLUMNS]);
            for (left, right) in left.iter().zip(right) {
                for (sum, right) in exact.iter_mut().zip(right.as_chunks::<FOUR>().0) {
                    let products = left.iter().zip(right).map(|(a, b)| i32::from(*a) * i32::from(*b));
                    *sum += products.sum::<i32>();
                }
            }
            let scale = tile.left.scales[group * ROWS + row];
            for ((sum, exact), right) in sums[row * stride..].iter_mut().zip(exact).zip(scales) {
                *sum += exact as f32 * (scale * right);
            }
        }
    }
}
