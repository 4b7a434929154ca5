//! The answers of a frame, row by row and head by head: a few queries side by side see one stretch of columns, of which each counts
//! its own.
//!
//! Must not know how keys came into the ring.

use super::{
    NAME, Neighbourhood, Ring,
    tile::{LANES, PAIR, QUERIES, Tile, multiply},
    window,
};
use crate::{
    KernelError, Sides,
    cpu::{
        level::{Fusing, widest, widest_fusing},
        math::{exp_and_sum, max},
    },
};
use rayon::prelude::*;
use std::cell::Cell;

/// Buffers of a thread, to be used again.
#[derive(Default)]
struct Buffers {
    /// Prepared queries of a head's row, `[columns, head_dim]`.
    row: Vec<f32>,
    /// Those of a block, `[head_dim, queries]`.
    queries: Vec<f32>,
    /// `[queries, rows of keys, LANES]`.
    scores: Vec<f32>,
    /// The same as `[rows of keys, LANES, queries]`.
    weights: Vec<f32>,
    /// Where the rows of keys that are seen begin in the ring, and those of values.
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
        let lines = out.par_chunks_mut(columns * width).zip(q.par_chunks(columns * width)).with_max_len(1);
        lines.enumerate().for_each(|(row, (out, q))| {
            let mut buffers = BUFFERS.take().unwrap_or_default();
            for head in 0..self.shape.heads {
                self.find_rows(frame, row, head, &mut buffers);
                self.prepare_queries(([frame, row], head), (q, norm), &mut buffers.row);
                let mut first = 0;
                while first < columns {
                    let block = self.block(first);
                    self.answer_block(ring, head, block, &mut buffers, out);
                    first += block.count;
                }
            }
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

    /// As many queries from `first` on as see no more than a vector's columns.
    fn block(&self, first: usize) -> Block {
        let (from, kernel, columns) = (self.first_column(first), self.shape.kernel[2], self.shape.clip[2]);
        let seen = |count: usize| self.first_column(first + count - 1) + kernel - from;
        let most = QUERIES.min(columns - first);
        let count = (1..=most).rev().find(|count| seen(*count) <= LANES).unwrap_or(1);
        Block { first, count, from, seen: seen(count) }
    }

    /// Where the rows that a query of this row sees begin in the ring.
    fn find_rows(&self, frame: usize, row: usize, head: usize, buffers: &mut Buffers) {
        let ([kernel_frames, kernel_rows, _], [_, rows, _]) = (self.shape.kernel, self.shape.clip);
        let (line, depth) = (self.shape.line(), self.shape.depth());
        let (of_keys, of_values) = self.row_lengths();
        buffers.keys.clear();
        buffers.values.clear();
        let (frames, first_row) = (self.first_seen(frame), window(row, kernel_rows, rows));
        for seen in frames..frames + kernel_frames {
            for row in first_row..first_row + kernel_rows {
                let at = seen % kernel_frames * rows + row;
                buffers.keys.push(at * of_keys + head * self.shape.head_dim * line);
                buffers.values.push(at * of_values + head * line * depth);
            }
        }
    }

    fn prepare_queries(
        &self,
        ([frame, row], head): ([usize; 2], usize),
        (q, norm): (&[f32], &[f32]),
        out: &mut Vec<f32>,
    ) {
        let (width, head_dim, beyond) = (self.shape.width(), self.shape.head_dim, self.shape.beyond());
        let scale = 1.0 / (head_dim as f32).sqrt();
        out.resize(self.shape.clip[2] * head_dim, 0.0);
        widest(
            self.level,
            #[inline(always)]
            || {
                for (column, (out, q)) in out.chunks_mut(head_dim).zip(q.chunks(width)).enumerate() {
                    let q = &q[head * head_dim..][..head_dim];
                    self.prepare(q, (norm, scale), [frame, row, column + beyond], out);
                }
            },
        );
    }

    fn answer_block(&self, ring: &Ring, head: usize, block: Block, buffers: &mut Buffers, out: &mut [f32]) {
        let Buffers { row, queries, scores, weights, keys, values } = buffers;
        let (head_dim, depth) = (self.shape.head_dim, self.shape.depth());
        let (count, rows) = (block.count, keys.len());
        queries.resize(head_dim * count, 0.0);
        for (i, queries) in queries.chunks_mut(count).enumerate() {
            let row = &row[block.first * head_dim..];
            queries.iter_mut().enumerate().for_each(|(query, target)| *target = row[query * head_dim + i]);
        }
        scores.resize(count * rows * LANES, 0.0);
        weights.resize(count * rows * LANES, 0.0);
        let mut products = [0f32; QUERIES * PAIR * LANES];
        for pair in (0..rows).step_by(PAIR) {
            // The last one alone stands in for its neighbour, too.
            let places = [pair, (pair + 1).min(rows - 1)];
            let tile = Tile {
                left: queries,
                left_row: 0,
                queries: count,
                right: &ring.keys,
                starts: places.map(|place| &keys[place..=place]),
                offsets: [block.from; PAIR],
                depth: head_dim,
                stride: self.shape.line(),
            };
            multiply(self.level, &tile, &mut products);
            for (query, products) in products.chunks(PAIR * LANES).enumerate().take(count) {
                for (place, products) in places.iter().zip(products.chunks(LANES)) {
                    scores[(query * rows + place) * LANES..][..LANES].copy_from_slice(products);
                }
            }
        }
        let mut totals = [0f32; QUERIES];
        widest_fusing(self.level, Softmax { attention: self, block, scores, weights, totals: &mut totals });
        for pair in (0..depth / LANES).step_by(PAIR) {
            let places = [pair, (pair + 1).min(depth / LANES - 1)];
            let tile = Tile {
                left: weights,
                left_row: LANES * count,
                queries: count,
                right: &ring.values,
                starts: [values; PAIR],
                offsets: places.map(|place| block.from * depth + place * LANES),
                depth: block.seen,
                stride: depth,
            };
            multiply(self.level, &tile, &mut products);
            for (query, products) in products.chunks(PAIR * LANES).enumerate().take(count) {
                let inverse = 1.0 / totals[query];
                let target = &mut out[(block.first + query) * self.shape.width() + head * head_dim..][..head_dim];
                for (place, products) in places.iter().zip(products.chunks(LANES)) {
                    let target = target.get_mut(place * LANES..).unwrap_or_default();
                    target.iter_mut().zip(products).for_each(|(target, sum)| *target = sum * inverse);
                }
            }
        }
    }
}

/// Scores become weights relative to the largest, and their sums; what a query does not see has none.
struct Softmax<'a> {
    attention: &'a Neighbourhood,
    block: Block,
    scores: &'a mut [f32],
    weights: &'a mut [f32],
    totals: &'a mut [f32],
}

impl Fusing for Softmax<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Block { first, count, from, .. } = self.block;
        let rows = self.scores.len() / count;
        for (query, scores) in self.scores.chunks_mut(rows).enumerate() {
            let own = self.attention.first_column(first + query) - from;
            let own = own..own + self.attention.shape.kernel[2];
            for scores in scores.as_chunks_mut::<LANES>().0 {
                for (lane, score) in scores.iter_mut().enumerate() {
                    *score = if own.contains(&lane) { *score } else { f32::NEG_INFINITY };
                }
            }
            let largest = max(scores);
            self.totals[query] = exp_and_sum::<FUSED>(scores, largest);
            for (weights, score) in self.weights.chunks_mut(count).zip(&*scores) {
                weights[query] = *score;
            }
        }
    }
}
