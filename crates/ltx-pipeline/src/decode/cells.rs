//! How the cells of a clip's features are cut into tiles, where a decoder draws pixels from noise, and the masks that blend them.
//! Source: the public `ltx_core` reference, `diffusion_tiling.py` and `tiling.py`.
//!
//! Must not know pixels' values.

use super::tiles::{self, Interval, Span, trapezoid};
use ltx_engine::{Axis, TileSizes};
use ltx_model::video_vae::DiffusionConfig;

/// The tiles that were asked for, or the official sizes: sharing no less than the authors demand of this decoder, and twice as long as
/// that at least.
pub(crate) fn tiles_for(config: &DiffusionConfig, asked: Option<TileSizes>) -> TileSizes {
    let TileSizes { frames, height, width } = asked.unwrap_or_default();
    let (least, tile, cell) = (config.overlap(), config.least_tile(), config.cell());
    let axis = |asked: Axis, i: usize| {
        let overlap = asked.overlap.max(least[i]);
        Axis { size: asked.size.max(2 * overlap).max(tile[i] * cell[i]), overlap }
    };
    TileSizes { frames: axis(frames, 0), height: axis(height, 1), width: axis(width, 2) }
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
    if length < least {
        return vec![Interval::whole(length)];
    }
    let mut all = tiles::intervals(length, axis, cell);
    if let [.., before, last] = &mut all[..]
        && last.end - last.start < least
    {
        last.start = last.end - least;
        last.left_ramp = before.end - last.start;
        before.right_ramp = last.left_ramp;
    }
    all
}
