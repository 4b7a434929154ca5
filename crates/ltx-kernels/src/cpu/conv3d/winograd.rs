//! Convolution of 4×4 output positions at once by polynomial evaluation, F(4×4, 3×3): 36 products an input and kernel frame
//! instead of 144. Kernel frames and inputs are summed before the transform back. Points 0, ±5/8, ±3/2 and infinity.
//! Sources: Winograd, “Arithmetic Complexity of Computations” (1980); Lavin & Gray, “Fast Algorithms for Convolutional Neural
//! Networks” (2016); Barabasz et al., “Error Analysis and Improving the Accuracy of Winograd Convolution” (2020) on points.
//!
//! Must not know how patches are cut or who runs them.
#![expect(clippy::needless_range_loop, reason = "the transforms are written by their indices, as the paper has them")]

use super::{
    super::{
        gemm::{COLUMNS, ROWS, Tile, TileOut, multiply_tile},
        level::{Level, widest},
    },
    patch::{Around, Clip, GROUP, Region},
    scratch::{Buffers, room},
    target::{LANES, Part},
};
use std::ops::Range;

/// Output positions of a tile on a side; positions it reads; points, all in all.
pub(super) const SIDE: usize = 4;
const READ: usize = SIDE + 2;
pub(super) const POINTS: usize = READ * READ;

const P: f32 = 0.625;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;

type Lane = [f32; LANES];

/// Six inputs at six points.
#[inline(always)]
fn evaluate(d: [f32; READ]) -> [f32; READ] {
    let (even_p, odd_p) = (d[4] - Q2 * d[2], P * (d[3] - Q2 * d[1]));
    let (even_q, odd_q) = (d[4] - P2 * d[2], Q * (d[3] - P2 * d[1]));
    [
        d[4] - (P2 + Q2) * d[2] + P2 * Q2 * d[0],
        even_p + odd_p,
        even_p - odd_p,
        even_q + odd_q,
        even_q - odd_q,
        d[5] - (P2 + Q2) * d[3] + P2 * Q2 * d[1],
    ]
}

/// Three weights at six points, divided by what [`evaluate`] is too large by.
#[inline(always)]
fn evaluate_kernel(g: [f32; 3]) -> [f32; READ] {
    const N0: f32 = 1.0 / (P2 * Q2);
    const NP: f32 = 1.0 / (2.0 * P2 * (P2 - Q2));
    const NQ: f32 = 1.0 / (2.0 * Q2 * (Q2 - P2));
    let (even_p, odd_p) = (NP * (g[0] + P2 * g[2]), NP * P * g[1]);
    let (even_q, odd_q) = (NQ * (g[0] + Q2 * g[2]), NQ * Q * g[1]);
    [N0 * g[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, g[2]]
}

/// Products at six points to four outputs.
#[inline(always)]
fn interpolate(m: [f32; READ]) -> [f32; SIDE] {
    let (sum_p, difference_p) = (m[1] + m[2], P * (m[1] - m[2]));
    let (sum_q, difference_q) = (m[3] + m[4], Q * (m[3] - m[4]));
    [
        m[0] + sum_p + sum_q,
        difference_p + difference_q,
        P2 * sum_p + Q2 * sum_q,
        P2 * difference_p + Q2 * difference_q + m[5],
    ]
}

/// A panel's weights at all points: `[points, kt, inputs, COLUMNS]` of `[kt, 9, inputs, COLUMNS]`.
pub(super) fn transform_weights(level: Level, out: &mut [f32], weights: &[f32], inputs: usize) {
    widest(
        level,
        #[inline(always)]
        || {
            let tap = inputs * COLUMNS;
            let frames = weights.len() / (9 * tap).max(1);
            for (frame, weights) in weights.chunks_exact((9 * tap).max(1)).enumerate() {
                for start in (0..tap).step_by(LANES) {
                    let mut half = [[[0f32; LANES]; 3]; READ];
                    for b in 0..3 {
                        let column: [&Lane; 3] = std::array::from_fn(|a| lanes(weights, (a * 3 + b) * tap + start));
                        for l in 0..LANES {
                            let values = evaluate_kernel(std::array::from_fn(|a| column[a][l]));
                            (0..READ).for_each(|i| half[i][b][l] = values[i]);
                        }
                    }
                    for (i, half) in half.iter().enumerate() {
                        let mut row = [[0f32; LANES]; READ];
                        for l in 0..LANES {
                            let values = evaluate_kernel(std::array::from_fn(|b| half[b][l]));
                            (0..READ).for_each(|j| row[j][l] = values[j]);
                        }
                        for (j, values) in row.iter().enumerate() {
                            let place = ((i * READ + j) * frames + frame) * tap + start;
                            out[place..place + LANES].copy_from_slice(values);
                        }
                    }
                }
            }
        },
    );
}

/// What all patches share. Weights of some panels are as [`transform_weights`] leaves them.
pub(super) struct Shared<'a> {
    pub(super) level: Level,
    pub(super) around: Around<'a>,
    pub(super) clip: Clip<'a>,
    pub(super) weights: &'a [f32],
    /// The first panel of `weights`.
    pub(super) first_panel: usize,
}

impl Shared<'_> {
    /// Computes a part whose rows and columns begin at multiples of [`SIDE`].
    pub(super) fn run(&self, buffers: &mut Buffers, mut part: Part<'_>) {
        let (region, panels) = (part.region().clone(), part.panels());
        let stride = self.clip.channels.next_multiple_of(GROUP);
        let grid = [region.rows.len().div_ceil(SIDE), region.columns.len().div_ceil(SIDE)];
        let tiles = grid[0] * grid[1];
        let kt = self.around.kernel[0];
        let (slots, rows) = (region.frames.len() + kt - 1, region.frames.len() * tiles);
        // Sixteen more, so that points do not lie a power of two apart.
        let point = slots * tiles * stride + LANES;
        room(&mut buffers.points, POINTS * point);
        let padded = Region {
            frames: region.frames.clone(),
            rows: region.rows.start..region.rows.start + grid[0] * SIDE,
            columns: region.columns.start..region.columns.start + grid[1] * SIDE,
        };
        let line = (grid[1] * SIDE + 2) * stride;
        room(&mut buffers.patch, (grid[0] * SIDE + 2) * line);
        widest(
            self.level,
            #[inline(always)]
            || {
                for slot in 0..slots {
                    // Slot s is what frame `start` sees under tap s.
                    let frame = (region.frames.start, slot);
                    let (patch, points) = (&mut buffers.patch, &mut buffers.points[slot * tiles * stride..]);
                    if self.around.copy(patch, &self.clip, &padded, frame) {
                        transform_input(points, patch, grid, (stride, point));
                    } else {
                        points.chunks_mut(point).take(POINTS).for_each(|points| points[..tiles * stride].fill(0.0));
                    }
                }
            },
        );

        let width = panels.len() * COLUMNS;
        let product = rows * width + LANES;
        room(&mut buffers.products, POINTS * product);
        self.multiply(buffers, (rows, tiles, stride), panels.clone(), (point, product));

        widest(
            self.level,
            #[inline(always)]
            || {
                for first in (0..width).step_by(LANES) {
                    let outputs = part.outputs(panels.start * COLUMNS + first);
                    for row in 0..rows {
                        let (frame, tile) = (region.frames.start + row / tiles, row % tiles);
                        let results = transform_output(&buffers.products[row * width + first..], product);
                        let (down, across) = (tile / grid[1] * SIDE, tile % grid[1] * SIDE);
                        let corner = [frame, region.rows.start + down, region.columns.start + across];
                        part.write(corner, &outputs, &results);
                    }
                }
            },
        );
    }

    /// Sums over kernel frames and inputs, point by point.
    fn multiply(
        &self,
        buffers: &mut Buffers,
        (rows, tiles, stride): (usize, usize, usize),
        panels: Range<usize>,
        (point, product): (usize, usize),
    ) {
        let (kt, inputs) = (self.around.kernel[0], self.clip.channels);
        let width = panels.len() * COLUMNS;
        let panel_size = POINTS * kt * inputs * COLUMNS;
        let (blocks, tap) = (rows.div_ceil(ROWS), inputs * COLUMNS);
        let block = rows.div_ceil(blocks);
        for i in 0..POINTS {
            let points = &buffers.points[i * point..(i + 1) * point];
            let products = &mut buffers.products[i * product..(i + 1) * product];
            for (j, panel) in panels.clone().enumerate() {
                let weights = &self.weights[(panel - self.first_panel) * panel_size + i * kt * tap..][..kt * tap];
                for first in (0..rows).step_by(block) {
                    for (frame, weights) in weights.chunks_exact(tap).enumerate() {
                        let tile = Tile {
                            left: &points[(frame * tiles + first) * stride..],
                            row_stride: stride,
                            k_stride: 1,
                            rows: block.min(rows - first),
                            right: weights,
                            k: inputs,
                            next: &[],
                        };
                        let data = &mut products[first * width + j * COLUMNS..];
                        multiply_tile(self.level, &tile, &mut TileOut { data, row_stride: width, add: frame > 0 });
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn lanes(values: &[f32], start: usize) -> &Lane {
    values[start..].first_chunk().unwrap_or(&[0.0; LANES])
}

/// `[points][tiles, stride]` (points `point` apart) of a patch's lines.
#[inline(always)]
fn transform_input(out: &mut [f32], patch: &[f32], [down, across]: [usize; 2], (stride, point): (usize, usize)) {
    let line = (across * SIDE + 2) * stride;
    for tile in 0..down * across {
        let corner = tile / across * SIDE * line + tile % across * SIDE * stride;
        for channel in (0..stride).step_by(LANES) {
            let mut half = [[[0f32; LANES]; READ]; READ];
            for j in 0..READ {
                let start = corner + j * stride + channel;
                let column: [&Lane; READ] = std::array::from_fn(|i| lanes(patch, start + i * line));
                for l in 0..LANES {
                    let values = evaluate(std::array::from_fn(|i| column[i][l]));
                    (0..READ).for_each(|i| half[i][j][l] = values[i]);
                }
            }
            for (i, half) in half.iter().enumerate() {
                let mut row = [[0f32; LANES]; READ];
                for l in 0..LANES {
                    let values = evaluate(std::array::from_fn(|j| half[j][l]));
                    (0..READ).for_each(|j| row[j][l] = values[j]);
                }
                for (j, values) in row.iter().enumerate() {
                    let place = (i * READ + j) * point + tile * stride + channel;
                    out[place..place + LANES].copy_from_slice(values);
                }
            }
        }
    }
}

/// A tile's outputs, of products `product` apart.
#[inline(always)]
fn transform_output(products: &[f32], product: usize) -> [[Lane; SIDE]; SIDE] {
    let mut half = [[[0f32; LANES]; READ]; SIDE];
    for j in 0..READ {
        let column: [&Lane; READ] = std::array::from_fn(|i| lanes(products, (i * READ + j) * product));
        for l in 0..LANES {
            let values = interpolate(std::array::from_fn(|i| column[i][l]));
            (0..SIDE).for_each(|i| half[i][j][l] = values[i]);
        }
    }
    let mut out = [[[0f32; LANES]; SIDE]; SIDE];
    for (out, half) in out.iter_mut().zip(&half) {
        for l in 0..LANES {
            let values = interpolate(std::array::from_fn(|j| half[j][l]));
            (0..SIDE).for_each(|j| out[j][l] = values[j]);
        }
    }
    out
}
