//! How a convolution is cut: which way it is computed, which outputs at once, which patches. Sums do not depend on the cut, and
//! the way follows from sizes alone.
//!
//! Must not know values.

use super::{
    super::gemm::COLUMNS,
    patch::{GROUP, Region},
    winograd::{POINTS, SIDE},
};
use std::ops::Range;

/// Weights that are made ready at a time, in values: 64 MiB; and their panels at most.
const READY: usize = 16 << 20;
const PANELS: usize = 16;
/// Output tiles of a Winograd patch, about, and the values of its points at most: 16 MiB.
const TILES: usize = 128;
const POINT_VALUES: usize = 4 << 20;
/// Output positions of a direct patch, about.
const POSITIONS: usize = 512;
/// Frames of a patch at most: each patch prepares `kt − 1` frames more than it has.
const FRAMES: usize = 8;
/// Patches a thread should have at least, so that all threads end together.
const JOBS: usize = 4;
/// What a ready weight costs in multiply-adds: it is computed, written and read.
const READY_COST: usize = 24;
/// What a thread's buffers take at most, in values: 40 MiB; a test holds them to it.
const THREAD: usize = 10 << 20;

/// What all convolutions of at most `channels` channels (eight times as many come out before unfolding) keep beside weights and
/// activations while they exist, at most, in bytes.
pub fn scratch_bytes(channels: usize) -> u64 {
    let ready = (3 * POINTS * channels * 8 * channels.next_multiple_of(COLUMNS)).min(READY);
    (4 * (ready + thread_values(channels) * rayon::current_num_threads())) as u64
}

/// Points of a patch and of the two frames it prepares beside each, its products, and its copy.
fn thread_values(channels: usize) -> usize {
    let channels = channels.next_multiple_of(GROUP);
    let products = (8 * channels).next_multiple_of(COLUMNS).min(PANELS * COLUMNS);
    (POINTS * TILES * (3 * channels + products) + 4096 * channels).min(THREAD)
}

/// Which way a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Direct,
    Winograd,
}

/// Sizes of a convolution, the kernel's frames merged where a clip has one frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 3],
    pub(super) frames: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Sizes {
    /// The cheaper way, by multiply-adds: Winograd's transforms count by the vector, and so do weights made ready.
    pub(super) fn method(&self) -> Method {
        let [kt, kh, kw] = self.kernel;
        if (kh, kw) != (3, 3) || POINTS * kt * self.inputs * COLUMNS > READY {
            return Method::Direct;
        }
        let tiles = self.frames * self.height.div_ceil(SIDE) * self.width.div_ceil(SIDE);
        let pairs = self.inputs * self.outputs.next_multiple_of(COLUMNS);
        let direct = 9 * kt * pairs * self.frames * self.height * self.width;
        // Multiply-adds that take as long as the transforms of one input or output of a tile, and as one ready weight.
        let transforms = tiles * (2 * self.inputs + self.outputs) * 400 + POINTS * kt * pairs * READY_COST;
        if POINTS * kt * pairs * tiles + transforms < direct { Method::Winograd } else { Method::Direct }
    }

    /// Panels of outputs whose weights are made ready at a time; `each` is a panel's ready weights in values.
    pub(super) fn panels_at_once(&self, each: usize) -> usize {
        let panels = self.outputs.div_ceil(COLUMNS);
        panels.div_ceil(panels.div_ceil((READY / each.max(1)).clamp(1, PANELS)))
    }

    /// Patches and panels, one job each.
    pub(super) fn grid(&self, method: Method, panels: Range<usize>, threads: usize) -> Grid {
        let frames = cuts(self.frames, FRAMES);
        let (side, size) = match method {
            Method::Winograd => {
                let (longest, slot) = (longest(&frames), POINTS * self.inputs.next_multiple_of(GROUP));
                let fitting = POINT_VALUES / slot * longest / (longest + self.kernel[0] - 1);
                (SIDE, TILES.min(fitting).max(1))
            }
            Method::Direct => (1, POSITIONS),
        };
        let (down, across) = (self.height.div_ceil(side), self.width.div_ceil(side));
        let total = self.frames * down * across;
        let size = (total / (JOBS * threads)).clamp(size.div_ceil(3), size);
        let in_plane = (size / longest(&frames)).max(1);
        let columns = cuts(across, in_plane.min(4 * SIDE * SIDE / side));
        let rows = cuts(down, (in_plane / longest(&columns)).max(1));
        let patches = frames.len() * rows.len() * columns.len();
        let groups = cuts(panels.len(), panels.len().div_ceil((JOBS * threads).div_ceil(patches)));
        let positions = |tiles: Vec<Range<usize>>, length: usize| -> Vec<_> {
            tiles.into_iter().map(|tiles| tiles.start * side..(tiles.end * side).min(length)).collect()
        };
        Grid {
            frames,
            rows: positions(rows, self.height),
            columns: positions(columns, self.width),
            panels: groups.into_iter().map(|group| panels.start + group.start..panels.start + group.end).collect(),
        }
    }
}

/// How an output is cut on every axis.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) frames: Vec<Range<usize>>,
    pub(super) rows: Vec<Range<usize>>,
    pub(super) columns: Vec<Range<usize>>,
    pub(super) panels: Vec<Range<usize>>,
}

impl Grid {
    /// Parts in it.
    pub(super) fn len(&self) -> usize {
        self.frames.len() * self.rows.len() * self.columns.len() * self.panels.len()
    }

    /// Part `i`: positions and panels.
    pub(super) fn part(&self, i: usize) -> (Region, Range<usize>) {
        let (i, panels) = (i / self.panels.len(), i % self.panels.len());
        let (i, columns) = (i / self.columns.len(), i % self.columns.len());
        let (frames, rows) = (i / self.rows.len(), i % self.rows.len());
        let region = Region {
            frames: self.frames[frames].clone(),
            rows: self.rows[rows].clone(),
            columns: self.columns[columns].clone(),
        };
        (region, self.panels[panels].clone())
    }
}

/// `0..length` in pieces of about the same size, each at most `most`.
fn cuts(length: usize, most: usize) -> Vec<Range<usize>> {
    let count = length.div_ceil(most.max(1));
    (0..count).map(|i| i * length / count..(i + 1) * length / count).collect()
}

fn longest(pieces: &[Range<usize>]) -> usize {
    pieces.iter().map(Range::len).max().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_size(check: impl Fn(Sizes)) {
        for channels in [(3, 5), (64, 64), (48, 128), (256, 2048), (512, 512), (1024, 4096), (1024, 129)] {
            for [frames, height, width] in
                [[1, 1, 1], [2, 8, 8], [1, 64, 96], [25, 13, 17], [80, 192, 288], [3, 6, 400]]
            {
                let (inputs, outputs) = channels;
                check(Sizes { inputs, outputs, kernel: [3, 3, 3], frames, height, width });
            }
        }
    }

    #[test]
    fn parts_cover_every_output_once() {
        each_size(|sizes| {
            for method in [Method::Direct, Method::Winograd] {
                let mut count = 0;
                let grid = sizes.grid(method, 2..9, 3);
                for (region, panels) in (0..grid.len()).map(|i| grid.part(i)) {
                    assert!(panels.start >= 2 && panels.end <= 9 && region.rows.end <= sizes.height);
                    count += region.frames.len() * region.rows.len() * region.columns.len() * panels.len();
                }
                assert_eq!(count, 7 * sizes.frames * sizes.height * sizes.width, "{sizes:?} {method:?}");
            }
        });
    }

    #[test]
    fn buffers_stay_below_what_is_stated() {
        each_size(|sizes| {
            let stride = sizes.inputs.next_multiple_of(GROUP);
            let (direct, winograd) = (27 * sizes.inputs * COLUMNS, 3 * POINTS * sizes.inputs * COLUMNS);
            for (method, each) in [(Method::Direct, direct), (Method::Winograd, winograd)] {
                let at_once = sizes.panels_at_once(each);
                assert!(at_once == 1 || at_once * each <= READY);
                let grid = sizes.grid(method, 0..at_once, 1);
                for (region, panels) in (0..grid.len()).map(|i| grid.part(i)) {
                    let (frames, rows, columns) = (region.frames.len(), region.rows.len(), region.columns.len());
                    let values = match method {
                        Method::Direct => {
                            (frames + 2) * (rows + 2) * (columns + 2) * stride + frames * rows * columns * COLUMNS
                        }
                        Method::Winograd => {
                            let (down, across) = (rows.div_ceil(SIDE), columns.div_ceil(SIDE));
                            let points = (frames + 2) * down * across * stride;
                            let products = frames * down * across * panels.len() * COLUMNS;
                            POINTS * (points + products) + (down * SIDE + 2) * (across * SIDE + 2) * stride
                        }
                    };
                    assert!(values <= thread_values(sizes.inputs), "{sizes:?} {method:?} {region:?}: {values}");
                }
            }
        });
    }
}
