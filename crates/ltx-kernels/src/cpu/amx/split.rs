//! Rows of f32 as two bf16 each, in the order in which tiles read them.
//!
//! Must not know what they are multiplied with.

use super::{BLOCK, SIDE, STEP, STEPS};
use crate::cpu::level::{Level, widest};
use rayon::prelude::*;

/// Values of one tile.
const TILE: usize = SIDE * STEP;
/// Values of [`BLOCK`] rows in one step: the leading parts, then the rests, two tiles each.
pub(super) const BLOCK_STEP: usize = 4 * TILE;
/// Values of [`BLOCK`] rows in [`STEPS`] steps.
const PIECE: usize = STEPS * BLOCK_STEP;

/// Some columns of some rows: pieces of [`STEPS`] steps of [`STEP`] columns, in each the blocks of [`BLOCK`] rows in turn, so that what
/// is multiplied together lies together: blocks a power of two apart would share few places of a cache. What is past the last row or
/// column is 0.
#[derive(Default)]
pub(super) struct Split {
    data: Vec<u16>,
    blocks: usize,
}

impl Split {
    /// Splits columns `columns` of `rows`, each `width` long. The buffer of `earlier` is used again.
    pub(super) fn new(
        level: Level,
        earlier: Self,
        rows: &[f32],
        width: usize,
        columns: std::ops::Range<usize>,
    ) -> Self {
        let (pieces, blocks) = (columns.len().div_ceil(STEP * STEPS), (rows.len() / width).div_ceil(BLOCK));
        let mut data = earlier.data;
        data.resize(pieces * blocks * PIECE, 0);
        data.par_chunks_mut(PIECE).enumerate().for_each(|(i, out)| {
            let (piece, block) = (i / blocks, i % blocks);
            let start = columns.start + piece * STEPS * STEP;
            let columns = start..columns.end.min(start + STEPS * STEP);
            for row in 0..BLOCK {
                let at = (block * BLOCK + row) * width;
                let values = rows.get(at..at + width).map(|row| &row[columns.clone()]);
                let place = row / SIDE * TILE + row % SIDE * STEP;
                widest(
                    level,
                    #[inline(always)]
                    || split_row(values.unwrap_or_default(), out, place),
                );
            }
        });
        Self { data, blocks }
    }

    /// The first `count` steps of a piece of a block of rows.
    pub(super) fn block(&self, block: usize, piece: usize, count: usize) -> &[u16] {
        &self.data[(piece * self.blocks + block) * PIECE..][..count * BLOCK_STEP]
    }
}

/// One row into its place in every step.
#[inline(always)]
fn split_row(values: &[f32], out: &mut [u16], place: usize) {
    for (step, out) in out.chunks_mut(BLOCK_STEP).enumerate() {
        let mut wide = [0f32; STEP];
        let values = values.get(step * STEP..).unwrap_or_default();
        let count = values.len().min(STEP);
        match <&[f32; STEP]>::try_from(&values[..count]) {
            Ok(values) => wide = *values,
            Err(_) => wide[..count].copy_from_slice(&values[..count]),
        }
        for part in 0..2 {
            let out = &mut out[place + 2 * part * TILE..][..STEP];
            for (out, wide) in out.iter_mut().zip(&mut wide) {
                let upper = nearest_half(*wide);
                *out = (upper >> 16) as u16;
                *wide -= f32::from_bits(upper);
            }
        }
    }
}

/// The bits of the nearest bf16, ties to even. What is no number leaves a rest that is none either.
#[inline(always)]
fn nearest_half(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if bits & 0x7f80_0000 == 0x7f80_0000 { bits } else { rounded }) & 0xffff_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of the parts of a value, from its place in a block.
    fn found(block: &[u16], row: usize, column: usize) -> f32 {
        let place = row % BLOCK / SIDE * TILE + row % SIDE * STEP + column % STEP;
        let part = |i: usize| f32::from_bits(u32::from(block[column / STEP * BLOCK_STEP + 2 * i * TILE + place]) << 16);
        part(0) + part(1)
    }

    #[test]
    fn two_parts_are_the_value_to_seventeen_bits() {
        let (rows, width) = (37, 75);
        let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 * 1.7e-5 - 140.0;
        let values: Vec<f32> = (0..rows * width).map(value).collect();
        let split = Split::new(Level::PORTABLE, Split::default(), &values, width, 10..75);
        for row in 0..BLOCK * 2 {
            let block = split.block(row / BLOCK, 0, 3);
            for column in 0..3 * STEP {
                let expected = if row < rows && column < 65 { values[row * width + 10 + column] } else { 0.0 };
                let error = (found(block, row, column) - expected).abs();
                assert!(error <= expected.abs() / (1 << 17) as f32, "{row} {column}: {error} of {expected}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let values =
            [f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0xff80_0001), f32::INFINITY, 1.0, f32::MIN_POSITIVE];
        let split = Split::new(Level::PORTABLE, Split::default(), &values, values.len(), 0..values.len());
        let found: Vec<f32> = (0..values.len()).map(|i| found(split.block(0, 0, 1), 0, i)).collect();
        assert!(found[..4].iter().all(|value| !value.is_finite()), "{found:?}");
        assert_eq!(found[4..], values[4..]);
    }
}
