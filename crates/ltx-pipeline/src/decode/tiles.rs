//! How an axis is cut into overlapping tiles, and the masks that blend them.
//! Source: the public `ltx_core` reference, `tiling.py`.
//!
//! Must not know pixels' values.

use ltx_engine::{Axis, TileSizes};
use ltx_types::LatentScale;

/// One tile's place on one axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// Latent elements it reads, or cells of features.
    pub(super) latent: std::ops::Range<usize>,
    /// Frames or pixels it writes.
    pub(super) pixels: std::ops::Range<usize>,
    /// Its weight at each of them.
    pub(super) mask: Vec<f32>,
}

/// A tile before it is mapped to pixels; lengths and ramps in what is cut: latent elements, or cells of features.
pub(super) struct Interval {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) left_ramp: usize,
    pub(super) right_ramp: usize,
}

impl Interval {
    /// One tile that is everything.
    pub(super) fn whole(length: usize) -> Self {
        Self { start: 0, end: length, left_ramp: 0, right_ramp: 0 }
    }
}

/// Cutting a latent of `[frames, height, width]` elements into tiles of given sizes.
pub(crate) trait Cut {
    /// Every tile's span on every axis.
    fn spans(&self, latent: [usize; 3], scale: LatentScale) -> [Vec<Span>; 3];

    /// Of every axis: the number of tiles, the longest one and all together, in latent elements.
    fn lengths(&self, latent: [usize; 3], scale: LatentScale) -> [Lengths; 3];

    /// Every tile's length on every axis, in latent elements.
    fn lengths_of_each(&self, latent: [usize; 3], scale: LatentScale) -> [Vec<usize>; 3];
}

impl Cut for TileSizes {
    fn spans(&self, [frames, height, width]: [usize; 3], scale: LatentScale) -> [Vec<Span>; 3] {
        let time = temporal_intervals(frames, self.frames, scale.time);
        [
            time.iter().map(|interval| temporal_span(interval, scale.time)).collect(),
            spatial_spans(height, self.height, scale.height),
            spatial_spans(width, self.width, scale.width),
        ]
    }

    fn lengths(&self, [frames, height, width]: [usize; 3], scale: LatentScale) -> [Lengths; 3] {
        [
            Lengths::of(&temporal_intervals(frames, self.frames, scale.time)),
            Lengths::of(&intervals(height, self.height, scale.height)),
            Lengths::of(&intervals(width, self.width, scale.width)),
        ]
    }

    fn lengths_of_each(&self, [frames, height, width]: [usize; 3], scale: LatentScale) -> [Vec<usize>; 3] {
        [
            temporal_intervals(frames, self.frames, scale.time),
            intervals(height, self.height, scale.height),
            intervals(width, self.width, scale.width),
        ]
        .map(|tiles| tiles.iter().map(|tile| tile.end - tile.start).collect())
    }
}

/// The tiles of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) count: usize,
    pub(crate) longest: usize,
    pub(crate) sum: usize,
}

impl Lengths {
    fn of(intervals: &[Interval]) -> Self {
        let lengths = || intervals.iter().map(|interval| interval.end - interval.start);
        Self { count: intervals.len(), longest: lengths().max().unwrap_or(0), sum: lengths().sum() }
    }
}

fn spatial_spans(length: usize, axis: Axis, scale: usize) -> Vec<Span> {
    let span = |interval: Interval| {
        let pixels = interval.start * scale..interval.end * scale;
        let ramps = (interval.left_ramp * scale, interval.right_ramp * scale);
        Span { latent: interval.start..interval.end, mask: trapezoid(pixels.len(), ramps, false), pixels }
    };
    intervals(length, axis, scale).into_iter().map(span).collect()
}

/// Frame 0 of a latent tile decodes to one frame, the others to `scale` frames each.
fn temporal_span(interval: &Interval, scale: usize) -> Span {
    let pixels = interval.start * scale..1 + (interval.end - 1) * scale;
    let left = if interval.left_ramp == 0 { 0 } else { 1 + (interval.left_ramp - 1) * scale };
    let mask = trapezoid(pixels.len(), (left, interval.right_ramp * scale), true);
    Span { latent: interval.start..interval.end, pixels, mask }
}

/// As in space, but every tile after the first starts one latent frame earlier: its own first frame is causal.
fn temporal_intervals(length: usize, axis: Axis, scale: usize) -> Vec<Interval> {
    let mut intervals = intervals(length, axis, scale);
    for interval in intervals.iter_mut().skip(1) {
        interval.start -= 1;
        interval.left_ramp += 1;
    }
    intervals
}

/// Tiles of one size but the last; `scale` pixels are one of what is cut.
pub(super) fn intervals(length: usize, axis: Axis, scale: usize) -> Vec<Interval> {
    let overlap = axis.overlap / scale;
    let size = (axis.size / scale).max(2).max(overlap + 1);
    if length <= size {
        return vec![Interval::whole(length)];
    }
    let step = size - overlap;
    let count = (length + size - 2 * overlap - 1) / step;
    let interval = |i: usize| Interval {
        start: i * step,
        end: if i + 1 == count { length } else { i * step + size },
        left_ramp: if i == 0 { 0 } else { overlap },
        right_ramp: if i + 1 == count { 0 } else { overlap },
    };
    (0..count).map(interval).collect()
}

/// Ones with linear ramps at the ends; `from_zero` lets the left ramp start at 0 instead of its first step.
pub(super) fn trapezoid(length: usize, (left, right): (usize, usize), from_zero: bool) -> Vec<f32> {
    let mut mask = vec![1f32; length];
    let (left, right) = (left.min(length), right.min(length));
    for (i, value) in mask.iter_mut().take(left).enumerate() {
        *value *= if from_zero { i as f32 / left as f32 } else { (i + 1) as f32 / (left + 1) as f32 };
    }
    for (i, value) in mask.iter_mut().rev().take(right).enumerate() {
        *value *= (i + 1) as f32 / (right + 1) as f32;
    }
    mask
}

/// The sum of the masks at every position of an axis.
pub(super) fn mask_sums(spans: &[Span]) -> Vec<f32> {
    let length = spans.iter().map(|span| span.pixels.end).max().unwrap_or(0);
    let mut sums = vec![0f32; length];
    for span in spans {
        for (sum, mask) in sums[span.pixels.clone()].iter_mut().zip(&span.mask) {
            *sum += mask;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_position_with_weight() {
        let scale = LatentScale::LTX;
        for frames in 1..40 {
            for side in 1..60 {
                let spans = TileSizes::default().spans([frames, side, side], scale);
                for (axis, length) in spans.iter().zip([1 + (frames - 1) * 8, side * 32, side * 32]) {
                    let sums = mask_sums(axis);
                    assert_eq!(sums.len(), length);
                    assert!(sums.iter().all(|sum| *sum > 0.0), "{frames} {side}");
                }
            }
        }
    }

    #[test]
    fn the_official_clip_is_cut_in_time() {
        let spans = TileSizes::default().spans([16, 16, 24], LatentScale::LTX);
        let time: Vec<_> = spans[0].iter().map(|span| span.latent.clone()).collect();
        assert_eq!(time, [0..10, 6..16]);
        assert_eq!(spans[1].len() * spans[2].len(), 1);
    }
}
