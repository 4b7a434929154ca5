//! One head, packed, and the answer of a tile of its queries: scores of a block of keys, their softmax so far, and the
//! weighted sum so far. Source: Milakov & Gimelshein, “Online normalizer calculation for softmax” (2018); Dao et al.,
//! “FlashAttention” (2022).
//!
//! Must not know other heads, or threads.

use crate::{
    Mask,
    cpu::{
        gemm::{COLUMNS, LeftPanels, OnDemand, Packing, ROWS, Right, Strided, Tile, TileOut, multiply_tile},
        level::{Fusing, Level, widest, widest_fusing},
        math::{exp_and_sum, max},
    },
};
use std::ops::Range;

/// Queries that are answered together.
pub(super) const QUERIES: usize = 8 * ROWS;
/// Keys whose scores are held at once; blocks begin at multiples of it.
const KEYS: usize = 512;
/// Rows of scores lie this far apart: no power of two, so that they do not share a place in the cache.
const SCORES_STRIDE: usize = KEYS + 16;

/// Keys and values of a head in panels.
pub(super) struct Head {
    /// Of keys, `[head_dim, COLUMNS]` each.
    keys: Vec<f32>,
    /// Of the head's columns, `[keys, COLUMNS]` each.
    values: Vec<f32>,
    count: usize,
    head_dim: usize,
}

/// Buffers of a tile, to be used again.
#[derive(Default)]
pub(super) struct Buffers {
    queries: Vec<f32>,
    scores: Vec<f32>,
    sums: Vec<f32>,
    /// By query: the largest score so far, and the sum of weights relative to it.
    state: Vec<(f32, f32)>,
}

impl Head {
    /// Packs keys and values `[count, head_dim]`.
    pub(super) fn pack(
        level: Level,
        keys: &Strided<'_>,
        values: &Strided<'_>,
        (count, head_dim): (usize, usize),
    ) -> Self {
        let transposed = Strided { row_stride: keys.column_stride, column_stride: keys.row_stride, ..*keys };
        Self {
            keys: panels(&OnDemand { level, matrix: transposed, n: count }, (head_dim, count)),
            values: panels(&OnDemand { level, matrix: *values, n: head_dim }, (count, head_dim)),
            count,
            head_dim,
        }
    }

    /// The answers to some queries, at most [`QUERIES`], the first of which is number `first`: rows of
    /// [`Head::stride`] values, of which `head_dim` count.
    pub(super) fn answer<'b>(
        &self,
        level: Level,
        queries: &Strided<'_>,
        (first, rows): (usize, usize),
        (scale, mask): (f32, Mask),
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let stride = self.stride();
        let packing = Packing { level, parallel: false };
        let mut left =
            LeftPanels::pack(std::mem::take(&mut buffers.queries), queries, (0, rows), self.head_dim, packing);
        left.scale(scale);
        buffers.scores.resize(QUERIES * SCORES_STRIDE, 0.0);
        buffers.sums.resize(rows * stride, 0.0);
        buffers.sums.fill(0.0);
        buffers.state.clear();
        buffers.state.resize(rows, (f32::NEG_INFINITY, 0.0));
        let seen = seen(mask, (first, rows), self.count);
        for start in (seen.start / KEYS * KEYS..seen.end).step_by(KEYS) {
            let from = start.max(seen.start / COLUMNS * COLUMNS);
            let block = from..seen.end.min(start + KEYS);
            self.score(level, &left, &block, &mut buffers.scores);
            widest_fusing(level, Softmax { buffers, stride, block: &block, first, mask });
            self.add_values(level, rows, &block, (&buffers.scores, &mut buffers.sums));
        }
        widest(
            level,
            #[inline(always)]
            || {
                for (sums, (_, total)) in buffers.sums.chunks_mut(stride).zip(&buffers.state) {
                    let inverse = 1.0 / total;
                    sums.iter_mut().for_each(|sum| *sum *= inverse);
                }
            },
        );
        buffers.queries = left.into_buffer();
        &buffers.sums
    }

    /// How far apart rows of answers lie.
    pub(super) fn stride(&self) -> usize {
        self.head_dim.next_multiple_of(COLUMNS)
    }

    /// Scores of a block of keys that begins a panel.
    fn score(&self, level: Level, left: &LeftPanels, block: &Range<usize>, scores: &mut [f32]) {
        let size = self.head_dim * COLUMNS;
        for (i, right) in self.keys[block.start / COLUMNS * size..].chunks(size.max(1)).enumerate() {
            if i * COLUMNS >= block.len() {
                break;
            }
            for panel in 0..left.panels() {
                let data = &mut scores[panel * ROWS * SCORES_STRIDE + i * COLUMNS..];
                left.multiply(level, panel, right, &mut TileOut { data, row_stride: SCORES_STRIDE, add: false });
            }
        }
    }

    /// Adds a block's values, weighted by `scores`.
    fn add_values(&self, level: Level, rows: usize, block: &Range<usize>, (scores, sums): (&[f32], &mut [f32])) {
        let stride = self.stride();
        for panel in 0..stride / COLUMNS {
            let start = (panel * self.count + block.start) * COLUMNS;
            let right = &self.values[start..][..block.len() * COLUMNS];
            for row in (0..rows).step_by(ROWS) {
                let tile = Tile {
                    left: &scores[row * SCORES_STRIDE..],
                    row_stride: SCORES_STRIDE,
                    k_stride: 1,
                    rows: ROWS.min(rows - row),
                    right,
                    k: block.len(),
                    next: &[],
                };
                let data = &mut sums[row * stride + panel * COLUMNS..];
                multiply_tile(level, &tile, &mut TileOut { data, row_stride: stride, add: true });
            }
        }
    }
}

fn panels(matrix: &OnDemand<'_>, (k, n): (usize, usize)) -> Vec<f32> {
    let mut packed = vec![0f32; n.div_ceil(COLUMNS) * COLUMNS * k];
    for (panel, out) in packed.chunks_mut((COLUMNS * k).max(1)).enumerate() {
        matrix.panel(panel, 0..k, out);
    }
    packed
}

/// The keys that any of `rows` queries from `first` on sees.
fn seen(mask: Mask, (first, rows): (usize, usize), keys: usize) -> Range<usize> {
    match mask {
        Mask::Full => 0..keys,
        Mask::Causal { window } => (first + 1).saturating_sub(window).min(keys)..(first + rows).min(keys),
    }
}

/// The part of a block that a query sees, counted from the block's start.
#[inline(always)]
fn visible(mask: Mask, query: usize, block: &Range<usize>) -> Range<usize> {
    match mask {
        Mask::Full => 0..block.len(),
        Mask::Causal { window } => {
            let end = (query + 1).clamp(block.start, block.end) - block.start;
            let start = (query + 1).saturating_sub(window).clamp(block.start, block.end) - block.start;
            start.min(end)..end
        }
    }
}

/// Softmax so far, of all queries of a tile.
struct Softmax<'a> {
    buffers: &'a mut Buffers,
    stride: usize,
    block: &'a Range<usize>,
    first: usize,
    mask: Mask,
}

impl Fusing for Softmax<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Buffers { scores, sums, state, .. } = self.buffers;
        let rows = scores.chunks_mut(SCORES_STRIDE).zip(sums.chunks_mut(self.stride)).zip(state);
        for (row, ((scores, sums), state)) in rows.enumerate() {
            let visible = visible(self.mask, self.first + row, self.block);
            weigh::<FUSED>(&mut scores[..self.block.len()], visible, sums, state);
        }
    }
}

/// Turns a query's scores of a block into weights relative to the largest score so far; what is summed already follows it.
#[inline(always)]
fn weigh<const FUSED: bool>(
    scores: &mut [f32],
    visible: Range<usize>,
    sums: &mut [f32],
    (largest, total): &mut (f32, f32),
) {
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
    if visible.is_empty() {
        return;
    }
    let scores = &mut scores[visible];
    let before = *largest;
    let block_largest = max(scores);
    if block_largest > before {
        *largest = block_largest;
        if before != f32::NEG_INFINITY {
            let shrink = (before - block_largest).exp();
            *total *= shrink;
            sums.iter_mut().for_each(|sum| *sum *= shrink);
        }
    }
    *total += exp_and_sum::<FUSED>(scores, *largest);
}
