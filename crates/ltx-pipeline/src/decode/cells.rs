//! How the cells of a clip's features are cut into tiles, where a decoder draws pixels from noise, and the masks that blend them.
//! Source: the public `ltx_core` reference, `diffusion_tiling.py` and `tiling.py`.
//!
//! Must not know pixels' values.

use super::tiles::{Span, trapezoid};
use ltx_engine::{Axis, TileSizes};
use ltx_model::video_vae::DiffusionConfig;

/// A tile on one axis, in cells.
struct Interval {
    start: usize,
    end: usize,
    left_ramp: usize,
    right_ramp: usize,
}

/// The tiles that were asked for, or the official sizes: sharing no less than the authors demand of this decoder, and twice as long as
/// that at least.
pub(crate) fn tiles_for(config: &DiffusionConfig, asked: Option<TileSizes>) -> TileSizes {
    let TileSizes { frames, height, width } = asked.unwrap_or_default();
    let [time, rows, columns] = config.overlap();
    let axis = |asked: Axis, least: usize| {
        let overlap = asked.overlap.max(least);
        Axis { size: asked.size.max(2 * overlap), overlap }
    };
    TileSizes { frames: axis(frames, time), height: axis(height, rows), width: axis(width, columns) }
}

/// Every tile's span on every axis of so many cells.
pub(super) fn spans(config: &DiffusionConfig, tiles: &TileSizes, cells: [usize; 3]) -> [Vec<Span>; 3] {
    let (cell, intervals) = (config.cell(), intervals_of(config, tiles, cells));
    let mut axis = 0;
    intervals.map(|intervals| {
        let (size, in_time) = (cell[axis], axis == 0);
        axis += 1;
        intervals.into_iter().map(|interval| span(&interval, size, in_time)).collect()
    })
}

/// Every tile's length on every axis, in cells.
pub(super) fn lengths(config: &DiffusionConfig, tiles: &TileSizes, cells: [usize; 3]) -> [Vec<usize>; 3] {
    intervals_of(config, tiles, cells).map(|axis| axis.iter().map(|tile| tile.end - tile.start).collect())
}

fn intervals_of(config: &DiffusionConfig, tiles: &TileSizes, cells: [usize; 3]) -> [Vec<Interval>; 3] {
    let (cell, least) = (config.cell(), config.least_tile());
    let axes = [tiles.frames, tiles.height, tiles.width];
    std::array::from_fn(|i| intervals(cells[i], axes[i], cell[i], least[i]))
}

/// The first cell of a clip has one frame less, so every later one begins and ends a frame earlier.
fn span(interval: &Interval, cell: usize, in_time: bool) -> Span {
    let late = usize::from(in_time && cell == 2);
    let start = (interval.start * cell).saturating_sub(late);
    let pixels = start..interval.end * cell - late;
    let ramps = (interval.left_ramp * cell, interval.right_ramp * cell);
    Span { latent: interval.start..interval.end, mask: trapezoid(pixels.len(), ramps, false), pixels }
}

/// Tiles of one size but the last, which is no shorter than `least`.
fn intervals(length: usize, axis: Axis, cell: usize, least: usize) -> Vec<Interval> {
    let overlap = axis.overlap / cell;
    let size = (axis.size / cell).max(2).max(overlap + 1);
    if length <= size || length < least {
        return vec![Interval { start: 0, end: length, left_ramp: 0, right_ramp: 0 }];
    }
    let step = size - overlap;
    let count = (length + size - 2 * overlap - 1) / step;
    let interval = |i: usize| Interval {
        start: i * step,
        end: if i + 1 == count { length } else { i * step + size },
        left_ramp: if i == 0 { 0 } else { overlap },
        right_ramp: if i + 1 == count { 0 } else { overlap },
    };
    let mut all: Vec<Interval> = (0..count).map(interval).collect();
    if let [.., before, last] = &mut all[..]
        && last.end - last.start < least
    {
        last.start = last.end - least;
        last.left_ramp = before.end - last.start;
        before.right_ramp = last.left_ramp;
    }
    all
}
