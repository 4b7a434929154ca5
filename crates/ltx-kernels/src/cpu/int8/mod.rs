//! Linear layers in 8 bits: weights and activations in groups with a scale each, products summed as integers.
//!
//! Must not know which layers may be so.

mod on_demand;
mod quantize;
mod tile;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod vnni;

use super::{
    Level,
    gemm::{BLOCK_ROWS_ON_DEMAND, COLUMNS, Finish, ROWS},
    packed::PackedRows,
    shared::Shared,
};
use crate::KernelError;
use on_demand::RoundedRows;
pub use quantize::{GROUP, Weights8};
use quantize::{Panel8, Right, Rows8};
use rayon::prelude::*;
use std::{cell::Cell, ops::Range};
use tile::{Path, Tile8, multiply};

/// Panels of columns that one thread multiplies at a time, at most.
const STRIP: usize = 2;
/// Panels of rows that share them, at most: their groups of one part stay in the second cache.
const SHARE: usize = 16;
/// Panels of rows that share them where panels are made on demand, once for every share: at least, if the block has so many.
const LEAST_SHARE_ON_DEMAND: usize = 8;
/// Pieces of work for every thread, about, where there is so much.
const PIECES: usize = 4;
/// Groups that are multiplied before the next panel's turn: a panel's and some rows' stay in the first cache.
const DEPTH: usize = 4;

thread_local! {
    /// Rows of the product that this thread began.
    static LEFT: Cell<Rows8> = Cell::default();
    /// Sums of the strip that this thread works on.
    static SUMS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// Some groups of a panel that this thread made on demand.
    static PANEL: Cell<Panel8> = Cell::default();
}

/// A weight `[outputs, inputs]` in 8 bits, panel by panel; rows are whole groups.
trait EightBit: Sync {
    /// Whether panels lie ready, else they are made when they are asked for.
    const READY: bool;

    /// `[outputs, inputs]`.
    fn shape(&self) -> [usize; 2];

    /// Some groups of a panel, at most [`DEPTH`]; where they do not lie ready they are written to `scratch`.
    fn part<'a>(&'a self, panel: usize, groups: Range<usize>, scratch: &'a mut Panel8) -> Right<'a>;
}

/// `finish(x Wᵀ)` with `x [rows, inputs]` and `out [rows, outputs]`; `finish` as in `gemm::Product`.
pub(super) fn product(level: Level, x: &[f32], weight: &Weights8, finish: Finish<'_>, out: &mut [f32]) {
    sum(level, x, weight, finish, out);
}

/// [`product`] with a packed matrix, which is decoded and rounded part by part.
///
/// # Errors
/// A row is not whole groups.
pub(super) fn packed_product(
    level: Level,
    x: &[f32],
    weight: PackedRows<'_>,
    finish: Finish<'_>,
    out: &mut [f32],
) -> Result<(), KernelError> {
    sum(level, x, &RoundedRows::new(weight)?, finish, out);
    Ok(())
}

#[allow(unsafe_code)]
fn sum<W: EightBit>(level: Level, x: &[f32], weight: &W, finish: Finish<'_>, out: &mut [f32]) {
    let [outputs, inputs] = weight.shape();
    if out.is_empty() || inputs == 0 {
        return;
    }
    let (rows, path) = (x.len() / inputs, Path::of(level));
    let (out, groups, panels) = (Shared::new(out, outputs), inputs / GROUP, outputs.div_ceil(COLUMNS));
    let pieces = PIECES * rayon::current_num_threads();
    let strip = (panels / pieces).clamp(1, STRIP);
    let strips = panels.div_ceil(strip);
    // As many blocks as must be, of about the same size: no more than a block's rows are rounded at once.
    let blocks = rows.div_ceil(BLOCK_ROWS_ON_DEMAND);
    let block_rows = rows.div_ceil(blocks).next_multiple_of(ROWS);
    for block in (0..rows).step_by(block_rows) {
        let block_rows = block_rows.min(rows - block);
        let left = Rows8::new(LEFT.take(), &x[block * inputs..][..block_rows * inputs], inputs, level);
        let share = share_rows::<W>(block_rows.div_ceil(ROWS), pieces.div_ceil(strips)) * ROWS;
        let shares = block_rows.div_ceil(share);
        (0..strips * shares).into_par_iter().with_max_len(1).for_each(|i| {
            let (share_number, strip_number) = (i / strips, i % strips);
            let columns = strip_number * strip..panels.min((strip_number + 1) * strip);
            let lines = share_number * share..block_rows.min((share_number + 1) * share);
            let (width, start) = (columns.len() * COLUMNS, columns.start * COLUMNS);
            let (mut sums, mut scratch) = (SUMS.take(), if W::READY { Panel8::default() } else { PANEL.take() });
            sums.clear();
            sums.resize(lines.len().next_multiple_of(ROWS) * width, 0.0);
            for first_group in (0..groups).step_by(DEPTH) {
                let part = first_group..groups.min(first_group + DEPTH);
                for panel in columns.clone() {
                    let right = weight.part(panel, part.clone(), &mut scratch);
                    for first in lines.clone().step_by(ROWS) {
                        let tile = Tile8 {
                            left: left.part(first, part.clone(), inputs),
                            right,
                            rows: ROWS.min(lines.end - first),
                        };
                        let place = (first - lines.start) * width + (panel - columns.start) * COLUMNS;
                        multiply(path, &tile, &mut sums[place..], width);
                    }
                }
            }
            let count = width.min(outputs - start);
            for (line, sums) in lines.zip(sums.chunks(width)) {
                let row = block + line;
                // SAFETY: every block, strip and share has rows and columns of its own.
                finish((row, start), &sums[..count], unsafe { out.row(row, start, count) });
            }
            SUMS.set(sums);
            if !W::READY {
                PANEL.set(scratch);
            }
        });
        LEFT.set(left);
    }
}

/// Panels of rows that one thread multiplies at a time, of all in a block, where each strip of columns had better be cut in `wanted`.
fn share_rows<W: EightBit>(all: usize, wanted: usize) -> usize {
    let even = all.div_ceil(wanted.max(1));
    if W::READY { even.clamp(1, SHARE) } else { even.max(LEAST_SHARE_ON_DEMAND) }.min(all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Element, GroupScale, Groups, Packing, cpu::gemm::as_is};

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 9) as f32 / (1 << 22) as f32 - 1.0)
            .collect()
    }

    /// `product` on every level, alone and among threads, which must agree; by the path taken.
    fn products(x: &[f32], (outputs, inputs): (usize, usize), weight: &[f32]) -> Vec<(Path, Vec<f32>)> {
        let packed =
            Weights8::pack([outputs, inputs], |row, out| out.copy_from_slice(&weight[row * inputs..][..inputs]));
        let run = |level| {
            let mut out = vec![f32::NAN; x.len() / inputs * outputs];
            product(level, x, &packed, &as_is, &mut out);
            out
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let mut all = Vec::new();
        for level in Level::available() {
            let out = run(level);
            assert_eq!(out, pool.install(|| run(level)), "{level:?}");
            all.push((Path::of(level), out));
        }
        all
    }

    #[test]
    fn every_path_is_near_the_formula_and_those_of_8_bits_are_the_same() {
        for (rows, outputs, inputs) in [(1, 1, 128), (13, 40, 256), (200, 70, 384), (5, 64, 1024)] {
            let (x, weight) = (values(rows * inputs, 1), values(outputs * inputs, 2));
            let all = products(&x, (outputs, inputs), &weight);
            for (path, found) in &all {
                let (mut error, mut size) = (0f64, 0f64);
                for (i, found) in found.iter().enumerate() {
                    let pairs = x[i / outputs * inputs..][..inputs].iter().zip(&weight[i % outputs * inputs..]);
                    let products = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b));
                    error += (f64::from(*found) - products.clone().sum::<f64>()).powi(2);
                    // A sum may cancel; its error does not.
                    size += products.map(|product| product.powi(2)).sum::<f64>();
                }
                let most = if path.largest() < 127.0 { 4e-4 } else { 1e-4 };
                assert!(error <= most * size, "{path:?} {rows}x{outputs}x{inputs}: {:.1e}", (error / size).sqrt());
                assert!(path.largest() < 127.0 || *found == all[0].1, "{path:?} {rows}x{outputs}x{inputs}");
            }
        }
    }

    #[test]
    fn packed_values_are_rounded_to_the_same_when_they_are_multiplied() {
        let (outputs, inputs) = (70, 1280);
        let int8 = Element::Int8;
        let rotated = Groups { element: int8, size: 256, scale: GroupScale::F32, factor: 1.0, rotation: 64 };
        for packing in Block::ALL.map(Packing::Blocks).into_iter().chain([
            Packing::Groups(rotated),
            Packing::Fp8 { scale: 0.25 },
            Packing::Bf16,
            Packing::F16,
        ]) {
            // More than a block of rows of one, to see that all are finished.
            let rows = if packing == Packing::Blocks(Block::Q8_0) { BLOCK_ROWS_ON_DEMAND + 20 } else { 30 };
            let x = values(rows * inputs, 1);
            // No half or scale among them is infinite, or no number.
            let bytes = packing.bytes(outputs * inputs).unwrap() as u32;
            let bytes: Vec<u8> = (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x37).collect();
            for level in Level::available() {
                let packed = PackedRows::new(level, &bytes, packing, [outputs, inputs]).unwrap();
                let ready = Weights8::pack([outputs, inputs], |row, out| packed.decode_row(row, 0..inputs, out));
                let mut found = [(); 2].map(|()| vec![f32::NAN; rows * outputs]);
                product(level, &x, &ready, &as_is, &mut found[0]);
                packed_product(level, &x, packed, &as_is, &mut found[1]).unwrap();
                assert_eq!(found[0], found[1], "{level:?} {packing:?}");
                assert!(found[0].iter().all(|value| value.is_finite()), "{level:?} {packing:?}");
            }
        }
    }

    #[test]
    fn rows_that_are_not_whole_groups_are_refused() {
        let rows = PackedRows::new(Level::PORTABLE, &[0; 2 * 192], Packing::F16, [1, 192]).unwrap();
        assert!(packed_product(Level::PORTABLE, &[0.0; 192], rows, &as_is, &mut [0.0]).is_err());
    }

    #[test]
    fn sums_of_the_largest_values_leave_no_register() {
        for (left, right) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
            for (path, found) in products(&[left; 7 * 256], (33, 256), &[right; 33 * 256]) {
                let far = found.iter().map(|found| (found / (256.0 * left * right) - 1.0).abs()).fold(0.0, f32::max);
                assert!(far < 1e-5, "{path:?} {left} {right}: {far:.1e}");
            }
        }
    }
}
