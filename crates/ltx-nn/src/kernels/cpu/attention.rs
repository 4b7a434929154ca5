//! Attention over heads and tiles of queries: scores of one tile of one head at a time, so memory is `tile × keys`. Keys
//! that no query of a tile may see are not computed.
//!
//! Must not know where queries, keys and values come from.

use super::{
    ensure, f32_slice,
    level::widest,
    math::{exp_nonpositive, max, sum},
    matmul::{Mat, MatMut, matmul},
};
use crate::{AttentionShape, Mask};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

/// Scores that one tile holds, about: what fits into a core's own cache. A tile's size follows from the sequence alone, never
/// from the threads: sums run in another order in another tile, and the same seed has to mean the same bytes.
const SCORES: usize = 1 << 17;
/// Queries per tile, at least and at most.
const TILES: std::ops::RangeInclusive<usize> = 64..=256;

/// `softmax(scale · q kᵀ) v` on `[B, T, heads · head_dim]` without transposing anything.
pub(crate) struct Attention {
    pub(crate) shape: AttentionShape,
}

/// Sizes of one call.
struct Sizes {
    keys: usize,
    head_dim: usize,
    q_row: usize,
    kv_row: usize,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, queries, q_row) = q_layout.shape().dims3()?;
        let (kv_batch, keys, kv_row) = k_layout.shape().dims3()?;
        let AttentionShape { heads, kv_heads, .. } = self.shape;
        let fits = batch == kv_batch
            && k_layout.dims() == v_layout.dims()
            && kv_heads > 0
            && heads.is_multiple_of(kv_heads)
            && q_row.is_multiple_of(heads)
            && kv_row == q_row / heads * kv_heads;
        ensure(fits, "attention")?;
        let sizes = Sizes { keys, head_dim: q_row / heads, q_row, kv_row };
        let (q, k, v) = (f32_slice(q, q_layout)?, f32_slice(k, k_layout)?, f32_slice(v, v_layout)?);
        let mut out = vec![0f32; q.len()];
        let mut by_head = vec![0f32; queries * q_row];
        for sample in 0..batch {
            let q = &q[sample * queries * q_row..(sample + 1) * queries * q_row];
            let k = &k[sample * keys * kv_row..(sample + 1) * keys * kv_row];
            let v = &v[sample * keys * kv_row..(sample + 1) * keys * kv_row];
            let k = transposed_heads(k, &sizes);
            let head_dim = sizes.head_dim;
            let tile = (SCORES / keys.max(1)).clamp(*TILES.start(), *TILES.end());
            by_head.par_chunks_mut((queries * head_dim).max(1)).enumerate().try_for_each(|(head, out)| {
                out.par_chunks_mut(tile * head_dim).enumerate().try_for_each_init(
                    || vec![0f32; tile.min(queries) * keys],
                    |scores, (i, out)| self.tile(&sizes, (head, i * tile), (out, q, &k, v), scores),
                )
            })?;
            let out = &mut out[sample * queries * q_row..(sample + 1) * queries * q_row];
            out.par_chunks_mut(q_row.max(1)).enumerate().for_each(|(query, out)| {
                for (head, out) in out.chunks_mut(head_dim).enumerate() {
                    out.copy_from_slice(&by_head[(head * queries + query) * head_dim..][..head_dim]);
                }
            });
        }
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }
}

/// Every head's keys as `[head_dim, keys]`, so that a product reads them in a row.
fn transposed_heads(k: &[f32], sizes: &Sizes) -> Vec<f32> {
    const BLOCK: usize = 16;
    let &Sizes { keys, kv_row, .. } = sizes;
    let mut out = vec![0f32; k.len()];
    out.par_chunks_mut((BLOCK * keys).max(1)).enumerate().for_each(|(block, out)| {
        let first = block * BLOCK;
        for start in (0..keys).step_by(BLOCK) {
            for key in start..(start + BLOCK).min(keys) {
                let row = &k[key * kv_row..][..kv_row];
                for (i, out) in out.chunks_mut(keys).enumerate() {
                    out[key] = row[first + i];
                }
            }
        }
    });
    out
}

impl Attention {
    /// One head of one tile of queries, the first of which is number `first`.
    fn tile(
        &self,
        sizes: &Sizes,
        (head, first): (usize, usize),
        (out, q, k, v): (&mut [f32], &[f32], &[f32], &[f32]),
        scores: &mut [f32],
    ) -> Result<()> {
        let &Sizes { keys, head_dim, q_row, kv_row, .. } = sizes;
        let rows = out.len() / head_dim;
        let seen = self.seen(first, rows, keys);
        let count = seen.len();
        let kv_head = head / (self.shape.heads / self.shape.kv_heads);
        let queries = Mat { data: &q[first * q_row + head * head_dim..], row_stride: q_row, column_stride: 1 };
        let keys_transposed =
            Mat { data: &k[kv_head * head_dim * keys + seen.start..], row_stride: keys, column_stride: 1 };
        let target = MatMut { data: scores, row_stride: count };
        matmul((rows, count, head_dim), target, false, (queries, keys_transposed), Parallelism::None)?;
        widest(
            #[inline(always)]
            || {
                for (row, scores) in scores.chunks_mut(count.max(1)).take(rows).enumerate() {
                    self.softmax(scores, first + row, seen.start);
                }
            },
        );
        let weights = Mat { data: scores, row_stride: count, column_stride: 1 };
        let values = Mat { data: &v[seen.start * kv_row + kv_head * head_dim..], row_stride: kv_row, column_stride: 1 };
        let target = MatMut { data: out, row_stride: head_dim };
        matmul((rows, head_dim, count), target, false, (weights, values), Parallelism::None)
    }

    /// The keys that any of `rows` queries from `first` on sees.
    fn seen(&self, first: usize, rows: usize, keys: usize) -> std::ops::Range<usize> {
        match self.shape.mask {
            Mask::Full => 0..keys,
            Mask::Causal { window } => (first + 1).saturating_sub(window).min(keys)..(first + rows).min(keys),
        }
    }

    /// Softmax of one query's scores in place, the first of which belongs to key `start`; keys the mask hides get weight 0.
    #[inline(always)]
    fn softmax(&self, scores: &mut [f32], query: usize, start: usize) {
        let visible = match self.shape.mask {
            Mask::Full => 0..scores.len(),
            Mask::Causal { window } => {
                (query + 1).saturating_sub(window).saturating_sub(start)..(query + 1 - start).min(scores.len())
            }
        };
        scores[..visible.start].fill(0.0);
        scores[visible.end..].fill(0.0);
        let scores = &mut scores[visible];
        let scale = self.shape.scale as f32;
        scores.iter_mut().for_each(|score| *score *= scale);
        let largest = max(scores);
        for score in scores.iter_mut() {
            *score = exp_nonpositive(*score - largest);
        }
        let inverse = 1.0 / sum(scores, |weight| weight);
        scores.iter_mut().for_each(|score| *score *= inverse);
    }
}
