//! Convolution tap by tap: each tap is a product of shifted positions and its weights, summed in a buffer that stays in a cache.
//!
//! Must not know how patches are cut or who runs them.

use super::{
    super::{
        gemm::{COLUMNS, ROWS, Tile, TileOut, multiply_tile},
        level::{Level, widest},
    },
    patch::{Around, Clip, GROUP, Region},
    scratch::{Buffers, room},
    target::{LANES, Part},
};

/// What all patches share. Weights of some panels: `[panels, taps, inputs, COLUMNS]`.
pub(super) struct Shared<'a> {
    pub(super) level: Level,
    pub(super) around: Around<'a>,
    pub(super) clip: Clip<'a>,
    pub(super) weights: &'a [f32],
    /// The first panel of `weights`.
    pub(super) first_panel: usize,
}

impl Shared<'_> {
    /// Computes a part.
    pub(super) fn run(&self, buffers: &mut Buffers, mut part: Part<'_>) {
        let (region, panels) = (&part.region().clone(), part.panels());
        let [kt, kh, kw] = self.around.kernel;
        let stride = self.clip.channels.next_multiple_of(GROUP);
        let slots = region.frames.len() + kt - 1;
        let slot = (region.rows.len() + kh - 1) * (region.columns.len() + kw - 1) * stride;
        room(&mut buffers.patch, slots * slot);
        widest(
            self.level,
            #[inline(always)]
            || {
                for (tap, patch) in buffers.patch[..slots * slot].chunks_mut(slot).enumerate() {
                    if !self.around.copy(patch, &self.clip, region, (region.frames.start, tap)) {
                        patch.fill(0.0);
                    }
                }
            },
        );
        let rows = region.frames.len() * region.rows.len() * region.columns.len();
        room(&mut buffers.products, rows * COLUMNS);
        let size = kt * kh * kw * self.clip.channels * COLUMNS;
        for panel in panels {
            let weights = &self.weights[(panel - self.first_panel) * size..][..size];
            self.multiply(buffers, region, weights, (slot, stride));
            widest(
                self.level,
                #[inline(always)]
                || write(&mut part, &buffers.products, panel),
            );
        }
    }

    fn multiply(&self, buffers: &mut Buffers, region: &Region, weights: &[f32], (slot, stride): (usize, usize)) {
        let [_, kh, kw] = self.around.kernel;
        let (inputs, columns) = (self.clip.channels, region.columns.len());
        let block = columns.div_ceil(columns.div_ceil(ROWS));
        for (tap, weights) in weights.chunks_exact(inputs * COLUMNS).enumerate() {
            let (t, y, x) = (tap / (kh * kw), tap / kw % kh, tap % kw);
            for line in 0..region.frames.len() * region.rows.len() {
                let (frame, row) = (line / region.rows.len(), line % region.rows.len());
                let start = (frame + t) * slot + ((row + y) * (columns + kw - 1) + x) * stride;
                for first in (0..columns).step_by(block) {
                    let tile = Tile {
                        left: &buffers.patch[start + first * stride..],
                        row_stride: stride,
                        k_stride: 1,
                        rows: block.min(columns - first),
                        right: weights,
                        k: inputs,
                        next: &[],
                    };
                    let data = &mut buffers.products[(line * columns + first) * COLUMNS..];
                    multiply_tile(self.level, &tile, &mut TileOut { data, row_stride: COLUMNS, add: tap > 0 });
                }
            }
        }
    }
}

/// Writes a panel's sums, `[positions, COLUMNS]`.
#[inline(always)]
fn write(part: &mut Part<'_>, sums: &[f32], panel: usize) {
    let region = part.region().clone();
    for half in [0, LANES] {
        let outputs = part.outputs(panel * COLUMNS + half);
        let mut sums = sums.chunks_exact(COLUMNS);
        for frame in region.frames.clone() {
            for row in region.rows.clone() {
                for (column, sums) in region.columns.clone().zip(&mut sums) {
                    let values = sums[half..].first_chunk().unwrap_or(&[0.0; LANES]);
                    part.write([frame, row, column], &outputs, &[[*values]]);
                }
            }
        }
    }
}
