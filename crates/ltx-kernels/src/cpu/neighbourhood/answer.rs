//! The answers of a frame: a few queries side by side see one stretch of columns, of which each counts its own. A thread goes down the
//! rows with such a stretch of one head, so that what the next row sees as well stays in its cache.
//!
//! Must not know how keys came into the ring.
#![allow(unsafe_code)]

use super::{
    NAME, Neighbourhood, Ring,
    tile::{LANES, Out, PAIR, QUERIES, Tile, multiply},
    window,
};
use crate::{
    KernelError, Sides,
    cpu::{
        level::{Fusing, widest, widest_fusing},
        math::{exp_and_sum, max},
        shared::Shared,
    },
};
use rayon::prelude::*;
use std::{cell::Cell, ops::Range};

/// Buffers of a thread, to be used again.
#[derive(Default)]
struct Buffers {
    /// The stretch of the keys' rows that are seen, `[frames, rows, head_dim, LANES]`; rows come round.
    panels: Vec<f32>,
    /// Prepared queries, `[queries, head_dim]`.
    queries: Vec<f32>,
    /// `[queries, rows of keys, LANES]`: scores, then weights.
    scores: Vec<f32>,
    /// Where the rows of keys that are seen begin among the panels, and those of values in the ring.
    keys: Vec<usize>,
    values: Vec<usize>,
}

thread_local! {
    static BUFFERS: Cell<Option<Buffers>> = const { Cell::new(None) };
}

/// Queries that are answered together.
#[derive(Clone, Copy)]
struct Block {
    /// The first one's column.
    first: usize,
    count: usize,
    /// The first column that one of them sees, beyond the sides included.
    from: usize,
    /// Columns from there on that one of them sees.
    seen: usize,
}

impl Neighbourhood {
    /// Writes the answers of a frame, `[rows, columns, heads · head_dim]`. The ring holds all frames that it sees; `q` is as long
    /// as `out`, and `norm [head_dim]` multiplies normalised queries.
    ///
    /// # Errors
    /// The sizes do not fit each other.
    pub fn answer(
        &self,
        ring: &Ring,
        frame: usize,
        (q, norm): (&[f32], &[f32]),
        out: &mut [f32],
    ) -> Result<(), KernelError> {
        let [frames, rows, columns] = self.shape.clip;
        let width = self.shape.width();
        let fits = frame < frames
            && q.len() == rows * columns * width
            && out.len() == q.len()
            && norm.len() == self.shape.head_dim
            && self.holds(ring);
        KernelError::ensure(fits, NAME)?;
        let (blocks, heads, out) = (self.blocks(), self.shape.heads, Shared::new(out, columns * width));
        (0..blocks.len() * heads).into_par_iter().with_max_len(1).for_each(|i| {
            let stretch = Stretch { attention: self, ring, frame, head: i % heads, block: blocks[i / heads] };
            let mut buffers = BUFFERS.take().unwrap_or_default();
            stretch.answer((q, norm), &mut buffers, &out);
            BUFFERS.set(Some(buffers));
        });
        Ok(())
    }

    /// The first column that a query sees, counted from the first there is.
    #[inline(always)]
    fn first_column(&self, column: usize) -> usize {
        match self.shape.sides {
            Sides::Shifted => window(column, self.shape.kernel[2], self.shape.clip[2]),
            Sides::Repeated => column,
        }
    }

    /// The columns' queries, as many together as see no more than a vector's columns.
    fn blocks(&self) -> Vec<Block> {
        let (kernel, columns) = (self.shape.kernel[2], self.shape.clip[2]);
        let mut blocks = Vec::new();
        let mut first = 0;
        while first < columns {
            let from = self.first_column(first);
            let seen = |count: usize| self.first_column(first + count - 1) + kernel - from;
            let most = QUERIES.min(columns - first);
            let count = (1..=most).rev().find(|count| seen(*count) <= LANES).unwrap_or(1);
            blocks.push(Block { first, count, from, seen: seen(count) });
            first += count;
        }
        blocks
    }
}

/// A stretch of columns of one head, in one frame.
struct Stretch<'a> {
    attention: &'a Neighbourhood,
    ring: &'a Ring,
    frame: usize,
    head: usize,
    block: Block,
}

impl Stretch<'_> {
    fn answer(&self, (q, norm): (&[f32], &[f32]), buffers: &mut Buffers, out: &Shared<'_>) {
        let shape = &self.attention.shape;
        let ([_, rows, columns], [_, kernel, _], width) = (shape.clip, shape.kernel, shape.width());
        let mut held = 0..0;
        for row in 0..rows {
            let first = window(row, kernel, rows);
            self.hold(held.end.max(first)..first + kernel, &mut buffers.panels);
            held = first..first + kernel;
            self.find_rows(&held, buffers);
            self.prepare(row, (&q[row * columns * width..][..columns * width], norm), &mut buffers.queries);
            self.weigh(buffers);
            self.add_values(row, buffers, out);
        }
    }

    /// The first frame that is seen, and how many.
    fn frames(&self) -> (usize, usize) {
        (self.attention.first_seen(self.frame), self.attention.shape.kernel[0])
    }

    /// Values of a row of keys among the panels.
    fn panel(&self) -> usize {
        self.attention.shape.head_dim * LANES
    }

    /// Copies the stretch of some rows of keys, of all frames that are seen.
    fn hold(&self, rows: Range<usize>, panels: &mut Vec<f32>) {
        let shape = &self.attention.shape;
        let ((first, frames), kernel, line, panel) = (self.frames(), shape.kernel[1], shape.line(), self.panel());
        let (of_keys, _) = self.attention.row_lengths();
        panels.resize(frames * kernel * panel, 0.0);
        for frame in 0..frames {
            for row in rows.clone() {
                let at = ((first + frame) % frames * shape.clip[1] + row) * of_keys;
                let source = &self.ring.keys[at + self.head * shape.head_dim * line..][..shape.head_dim * line];
                let target = &mut panels[(frame * kernel + row % kernel) * panel..][..panel];
                for (target, source) in target.as_chunks_mut::<LANES>().0.iter_mut().zip(source.chunks(line)) {
                    target.copy_from_slice(&source[self.block.from..][..LANES]);
                }
            }
        }
    }

    /// Where rows that are seen begin among the panels, and in the ring's values, in order.
    fn find_rows(&self, rows: &Range<usize>, buffers: &mut Buffers) {
        let shape = &self.attention.shape;
        let ((first, frames), kernel, panel) = (self.frames(), shape.kernel[1], self.panel());
        let (_, of_values) = self.attention.row_lengths();
        buffers.keys.clear();
        buffers.values.clear();
        for frame in 0..frames {
            for row in rows.clone() {
                let at = ((first + frame) % frames * shape.clip[1] + row) * of_values;
                buffers.keys.push((frame * kernel + row % kernel) * panel);
                buffers.values.push(at + self.head * shape.line() * shape.depth());
            }
        }
    }

    fn prepare(&self, row: usize, (q, norm): (&[f32], &[f32]), out: &mut Vec<f32>) {
        let (attention, shape) = (self.attention, &self.attention.shape);
        let (head_dim, scale) = (shape.head_dim, 1.0 / (shape.head_dim as f32).sqrt());
        out.resize(self.block.count * head_dim, 0.0);
        widest(
            attention.level,
            #[inline(always)]
            || {
                for (query, out) in out.chunks_mut(head_dim).enumerate() {
                    let column = self.block.first + query;
                    let q = &q[column * shape.width() + self.head * head_dim..][..head_dim];
                    attention.prepare(q, (norm, scale), [self.frame, row, column + shape.beyond()], out);
                }
            },
        );
    }

    /// Rows of keys that are scored, the one included that stands in for the last one's neighbour.
    fn scored(rows: usize) -> usize {
        rows.next_multiple_of(PAIR)
    }

    /// Scores of everything that is seen, and of them weights that sum to 1.
    fn weigh(&self, buffers: &mut Buffers) {
        let (level, count, rows) = (self.attention.level, self.block.count, buffers.keys.len());
        let (head_dim, row_stride) = (self.attention.shape.head_dim, Self::scored(rows) * LANES);
        buffers.scores.resize(count * row_stride, 0.0);
        for pair in (0..rows).step_by(PAIR) {
            let places = [pair, (pair + 1).min(rows - 1)];
            let tile = Tile {
                left: &buffers.queries,
                strides: [0, 1, head_dim],
                queries: count,
                right: &buffers.panels,
                starts: places.map(|place| &buffers.keys[place..=place]),
                offsets: [0; PAIR],
                depth: head_dim,
                stride: LANES,
            };
            multiply(level, &tile, &mut Out { data: &mut buffers.scores[pair * LANES..], row_stride });
        }
        let own = |query: usize| self.attention.first_column(self.block.first + query) - self.block.from;
        let hidden = std::array::from_fn(|query| {
            let own = if query < count { own(query)..own(query) + self.attention.shape.kernel[2] } else { 0..0 };
            std::array::from_fn(|lane| if own.contains(&lane) { 0.0 } else { f32::NEG_INFINITY })
        });
        widest_fusing(level, Softmax { scores: &mut buffers.scores, row: row_stride, rows, hidden });
    }

    /// Values by their weights, from all rows that are seen.
    fn add_values(&self, row: usize, buffers: &Buffers, out: &Shared<'_>) {
        let shape = &self.attention.shape;
        let (depth, head_dim, count) = (shape.depth(), shape.head_dim, self.block.count);
        let mut sums = [0f32; QUERIES * PAIR * LANES];
        for pair in (0..depth / LANES).step_by(PAIR) {
            let places = [pair, (pair + 1).min(depth / LANES - 1)];
            let tile = Tile {
                left: &buffers.scores,
                strides: [LANES, 1, Self::scored(buffers.keys.len()) * LANES],
                queries: count,
                right: &self.ring.values,
                starts: [&buffers.values; PAIR],
                offsets: places.map(|place| self.block.from * depth + place * LANES),
                depth: self.block.seen,
                stride: depth,
            };
            multiply(self.attention.level, &tile, &mut Out { data: &mut sums, row_stride: PAIR * LANES });
            let here = pair * LANES..head_dim.min((pair + PAIR) * LANES);
            for (query, sums) in sums.chunks(PAIR * LANES).enumerate().take(count) {
                let column = (self.block.first + query) * shape.width() + self.head * head_dim + here.start;
                // SAFETY: every stretch has columns and a head of its own, and the rows are this thread's one after the other.
                unsafe { out.row(row, column, here.len()) }.copy_from_slice(&sums[..here.len()]);
            }
        }
    }
}

/// Scores become weights; what a query does not see has none.
struct Softmax<'a> {
    scores: &'a mut [f32],
    /// Scores of a query; those behind `rows` rows of keys stand in for others.
    row: usize,
    rows: usize,
    /// By query and lane: 0, or −∞ where it does not see the column.
    hidden: [[f32; LANES]; QUERIES],
}

impl Fusing for Softmax<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (scores, hidden) in self.scores.chunks_mut(self.row).zip(&self.hidden) {
            let scores = &mut scores[..self.rows * LANES];
            for scores in scores.as_chunks_mut::<LANES>().0 {
                for (score, hidden) in scores.iter_mut().zip(hidden) {
                    *score += hidden;
                }
            }
            let largest = max(scores);
            let inverse = 1.0 / exp_and_sum::<FUSED>(scores, largest);
            scores.iter_mut().for_each(|score| *score *= inverse);
        }
    }
}
