//! A whole product: some rows are split, strips of outputs go to the threads, and every strip is summed in a buffer of its own before
//! it is finished (bias, activation, …) into the output.
//!
//! Must not know what the product is for.
#![allow(unsafe_code)]

use super::{BLOCK, HalfRight, STEP, STEPS, split::Split, tile::Tiles, tiles::BLOCK_STEP};
use crate::cpu::{gemm::Finish, level::Level, shared::Shared};
use rayon::prelude::*;
use std::{cell::Cell, ops::Range};

/// Rows that are split at once, at most.
const ROWS: usize = 8 * BLOCK;
/// Values that are split at once, at most: 1.25 MiB, which stay in a core's second cache with the sums and weights of a strip.
const VALUES: usize = 320 << 10;
/// Panels of outputs that one thread sums at a time, at most.
const STRIP: usize = 4;
/// Pieces of work for every thread, about.
const PIECES: usize = 8;

thread_local! {
    /// Sums of the strip that this thread works on, and its tiles of weights.
    static STRIP_BUFFERS: Cell<(Vec<f32>, Vec<u32>)> = const { Cell::new((Vec::new(), Vec::new())) };
    /// Split rows of the product that this thread began.
    static SPLIT: Cell<Split> = Cell::new(Split::default());
}

/// `finish(x Wᵀ)` with `x [rows, inputs]` and `out [rows, outputs]`.
pub(crate) fn product(
    level: Level,
    x: &[f32],
    (inputs, outputs): (usize, usize),
    right: &impl HalfRight,
    finish: Finish<'_>,
    out: &mut [f32],
) {
    if out.is_empty() || inputs == 0 {
        return;
    }
    let rows = x.len() / inputs;
    let most = rows.div_ceil(rows.div_ceil(ROWS)).next_multiple_of(BLOCK);
    let depth = (VALUES / most / (STEP * STEPS)).max(1) * STEP * STEPS;
    let target = Shared::new(out, outputs);
    for first in (0..rows).step_by(most) {
        let lines = first..rows.min(first + most);
        for start in (0..inputs).step_by(depth) {
            let columns = start..inputs.min(start + depth);
            let rows = &x[lines.start * inputs..lines.end * inputs];
            let split = Split::new(level, SPLIT.take(), rows, inputs, columns.clone());
            let part = Part { split: &split, lines: lines.clone(), columns, sizes: (inputs, outputs) };
            part.sum(right, finish, &target);
            SPLIT.set(split);
        }
    }
}

/// Some split rows, and the columns that were split.
struct Part<'a> {
    split: &'a Split,
    lines: Range<usize>,
    columns: Range<usize>,
    /// Inputs and outputs.
    sizes: (usize, usize),
}

impl Part<'_> {
    /// Adds this part's products to those of the columns before it; finished with the last.
    fn sum(&self, right: &impl HalfRight, finish: Finish<'_>, target: &Shared<'_>) {
        let (panels, blocks) = (self.sizes.1.div_ceil(BLOCK), self.lines.len().div_ceil(BLOCK));
        let pieces = PIECES * rayon::current_num_threads();
        let strip = (panels / pieces).clamp(1, STRIP);
        let strips = panels.div_ceil(strip);
        // Where outputs are few, rows are shared out as well.
        let shares = if strips >= pieces { 1 } else { (pieces / strips).clamp(1, blocks) };
        let share = blocks.div_ceil(shares);
        (0..strips * shares).into_par_iter().with_max_len(1).for_each(|i| {
            let panels = i / shares * strip..panels.min((i / shares + 1) * strip);
            let blocks = i % shares * share..blocks.min((i % shares + 1) * share);
            if !blocks.is_empty() {
                self.strip((blocks, panels), right, finish, target);
            }
        });
    }

    /// The sums of some blocks of rows and panels of outputs.
    fn strip(
        &self,
        (blocks, panels): (Range<usize>, Range<usize>),
        right: &impl HalfRight,
        finish: Finish<'_>,
        target: &Shared<'_>,
    ) {
        let (inputs, outputs) = self.sizes;
        let (mut sums, mut scratch) = STRIP_BUFFERS.take();
        let width = panels.len() * BLOCK;
        sums.resize(sums.len().max(blocks.len() * BLOCK * width), 0.0);
        scratch.resize(STRIP * STEPS * BLOCK_STEP, 0);
        let column = panels.start * BLOCK;
        let count = width.min(outputs - column);
        let lines = self.lines.start + blocks.start * BLOCK..self.lines.end.min(self.lines.start + blocks.end * BLOCK);
        // SAFETY: blocks of rows and strips of outputs are disjoint, so nobody else has these elements.
        let out = |row: usize| unsafe { target.row(row, column, count) };
        if self.columns.start > 0 {
            let earlier = lines.clone().zip(sums.chunks_mut(width));
            earlier.for_each(|(row, sums)| sums[..count].copy_from_slice(out(row)));
        }
        let (before, steps) = (self.columns.start / STEP, self.columns.len().div_ceil(STEP));
        let tiles = Tiles::configure();
        for (piece, first) in (0..steps).step_by(STEPS).enumerate() {
            let some = STEPS.min(steps - first);
            let add = self.columns.start > 0 || first > 0;
            let mut weights = [&[][..]; STRIP];
            let places = weights.iter_mut().zip(scratch.chunks_mut(STEPS * BLOCK_STEP));
            for ((weights, scratch), panel) in places.zip(panels.clone()) {
                *weights = right.tiles(panel, before + first..before + first + some, scratch);
            }
            for block in blocks.clone() {
                let left = self.split.block(block, piece, some);
                let sums = &mut sums[(block - blocks.start) * BLOCK * width..];
                for (i, weights) in weights.iter().enumerate().take(panels.len()) {
                    tiles.multiply(left, weights, some, (&mut sums[i * BLOCK..], width), add);
                }
            }
        }
        drop(tiles);
        for (row, sums) in lines.zip(sums.chunks(width)) {
            if self.columns.end == inputs {
                finish((row, column), &sums[..count], out(row));
            } else {
                out(row).copy_from_slice(&sums[..count]);
            }
        }
        STRIP_BUFFERS.set((sums, scratch));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Tiles16, *};
    use crate::{
        Packing,
        cpu::{PackedRows, gemm::as_is},
    };

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 9) as f32 / (1 << 22) as f32 - 1.0)
            .collect()
    }

    /// Both forms of the weights, any number of threads: the same bits, near to the formula in f64.
    #[test]
    fn both_forms_equal_the_formula_whatever_the_threads() {
        let Some(level) = Level::available().into_iter().find(|level| level.has_tiles()) else {
            println!("NOT RUN: this machine has no AMX");
            return;
        };
        let sizes = [(1, 1, 1), (7, 33, 5), (33, 65, 300), (600, 130, 70), (5, 40, 513), (70, 31, 70_000)];
        for (rows, outputs, inputs) in sizes {
            let (x, weight) = (values(rows * inputs, 1), values(outputs * inputs, 2));
            let halves: Vec<u16> = weight.iter().map(|value| (value.to_bits() >> 16) as u16).collect();
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            let packed = PackedRows::new(level, &bytes, Packing::Bf16, [outputs, inputs]).unwrap();
            let tiles = Tiles16::new(&packed).unwrap();
            let run = |form: bool| {
                let mut out = vec![f32::NAN; rows * outputs];
                if form {
                    product(level, &x, (inputs, outputs), &tiles, &as_is, &mut out);
                } else {
                    product(level, &x, (inputs, outputs), &packed, &as_is, &mut out);
                }
                out
            };
            let found = run(true);
            assert_eq!(found, run(false), "{rows}x{outputs}x{inputs}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(found, pool.install(|| run(true)), "{rows}x{outputs}x{inputs}");
            let (mut error, mut size) = (0f64, 0f64);
            for (i, found) in found.iter().enumerate() {
                let pairs = x[i / outputs * inputs..][..inputs].iter().zip(&halves[i % outputs * inputs..]);
                let wide = |half: u16| f64::from(f32::from_bits(u32::from(half) << 16));
                let expected: f64 = pairs.map(|(a, b)| f64::from(*a) * wide(*b)).sum();
                error += (f64::from(*found) - expected).powi(2);
                size += expected.powi(2);
            }
            let error = (error / size).sqrt();
            println!("{rows}x{outputs}x{inputs}: {error:.1e}");
            // An activation's own is at most 2⁻¹⁷; sums that cancel each other have more of themselves.
            assert!(error < 1e-5, "{rows}x{outputs}x{inputs}: {error:.1e}");
        }
    }
}
