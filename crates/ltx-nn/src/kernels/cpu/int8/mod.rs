//! Linear layers in 8 bits: weights and activations in groups with a scale each, products summed as integers.
//!
//! Must not know which layers may be so.

mod quantize;
mod tile;

use super::{
    gemm::{COLUMNS, ROWS},
    shared::Shared,
};
use quantize::Rows8;
pub(crate) use quantize::{GROUP, Weights8};
use rayon::prelude::*;
use std::cell::Cell;
use tile::{Path, Tile8, multiply};

/// Panels of columns that one thread multiplies at a time, at most.
const STRIP: usize = 2;
/// Panels of rows that share them.
const BLOCK: usize = 16;

thread_local! {
    /// Rows of the product that this thread began.
    static LEFT: Cell<Rows8> = const { Cell::new(Rows8 { values: Vec::new(), scales: Vec::new() }) };
    /// Sums of the tile that this thread works on.
    static SUMS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// `finish(x Wᵀ)` with `x [rows, inputs]` and `out [rows, outputs]`; `finish` as in `gemm::Product`.
#[allow(unsafe_code)]
pub(crate) fn product(x: &[f32], weight: &Weights8, finish: super::gemm::Finish<'_>, out: &mut [f32]) {
    let (outputs, inputs) = (weight.outputs, weight.inputs);
    if out.is_empty() || inputs == 0 {
        return;
    }
    let rows = x.len() / inputs;
    let left = Rows8::new(LEFT.take(), x, inputs);
    let (out, path, groups) = (Shared::new(out, outputs), Path::current(), inputs / GROUP);
    let (panels, blocks) = (outputs.div_ceil(COLUMNS), rows.div_ceil(BLOCK * ROWS));
    let strips = panels.div_ceil(STRIP);
    (0..strips * blocks).into_par_iter().with_max_len(1).for_each(|i| {
        let (block, strip) = (i / strips, i % strips);
        let mut sums = SUMS.take();
        sums.resize(ROWS * COLUMNS, 0.0);
        for panel in strip * STRIP..panels.min((strip + 1) * STRIP) {
            let (column, scales) = (panel * COLUMNS, panel * groups * COLUMNS);
            let width = COLUMNS.min(outputs - column);
            for first in (block * BLOCK * ROWS..rows.min((block + 1) * BLOCK * ROWS)).step_by(ROWS) {
                let tile = Tile8 {
                    left: &left.values[first * inputs..],
                    left_scales: &left.scales[first * groups..],
                    rows: ROWS.min(rows - first),
                    inputs,
                    right: &weight.values[panel * inputs * COLUMNS..],
                    right_scales: &weight.scales[scales..],
                    offsets: &weight.offsets[scales..],
                };
                sums.fill(0.0);
                multiply(path, &tile, &mut sums, COLUMNS);
                for (row, sums) in sums.chunks(COLUMNS).enumerate().take(tile.rows) {
                    // SAFETY: every strip and block has rows and columns of its own.
                    let out = unsafe { out.row(first + row, column, width) };
                    finish((first + row, column), &sums[..width], out);
                }
            }
        }
        SUMS.set(sums);
    });
    LEFT.set(left);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 9) as f32 / (1 << 22) as f32 - 1.0)
            .collect()
    }

    #[test]
    fn every_path_yields_the_same_bytes_near_the_formula() {
        for (rows, outputs, inputs) in [(1, 1, 128), (13, 40, 256), (200, 70, 384), (5, 64, 1024)] {
            let (x, weight) = (values(rows * inputs, 1), values(outputs * inputs, 2));
            let packed =
                Weights8::pack((outputs, inputs), |row, out| out.copy_from_slice(&weight[row * inputs..][..inputs]));
            let mut all = Vec::new();
            Level::on_each(|_| {
                let run = || {
                    let mut out = vec![f32::NAN; rows * outputs];
                    product(&x, &packed, &crate::kernels::cpu::gemm::as_is, &mut out);
                    out
                };
                all.push(run());
                all.push(rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(run));
            });
            assert!(all.iter().all(|other| *other == all[0]), "{rows}x{outputs}x{inputs}");
            let (mut error, mut size) = (0f64, 0f64);
            for (i, found) in all[0].iter().enumerate() {
                let pairs = x[i / outputs * inputs..][..inputs].iter().zip(&weight[i % outputs * inputs..]);
                let expected: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                error += (f64::from(*found) - expected).powi(2);
                size += expected.powi(2);
            }
            assert!(error <= 1e-4 * size, "{rows}x{outputs}x{inputs}: {:.1e}", (error / size).sqrt());
        }
    }
}
