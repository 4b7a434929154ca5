//! Attention over tiles of queries: scores of one tile and one head at a time, so memory is `tile × keys`.
//!
//! Must not know where queries, keys and values come from.

use super::{
    ensure, f32_slice,
    math::{exp_nonpositive, max, sum, widest},
    matmul::{Mat, MatMut, matmul},
};
use crate::{AttentionShape, Mask};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

/// Queries per tile, at most and at least. A tile's size follows from the sequence alone, never from the threads: sums
/// run in another order in another tile, and the same seed has to mean the same bytes.
const TILES: std::ops::RangeInclusive<usize> = 16..=64;
/// Tiles that a short sequence is cut into, so that there is work for every thread.
const SHARES: usize = 16;

/// `softmax(scale · q kᵀ) v` on `[B, T, heads · head_dim]` without transposing anything.
pub(crate) struct Attention {
    pub(crate) shape: AttentionShape,
}

/// Sizes of one call.
struct Sizes {
    queries: usize,
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
        let sizes = Sizes { queries, keys, head_dim: q_row / heads, q_row, kv_row };
        let (q, k, v) = (f32_slice(q, q_layout)?, f32_slice(k, k_layout)?, f32_slice(v, v_layout)?);
        let mut out = vec![0f32; q.len()];
        for sample in 0..batch {
            let q = &q[sample * queries * q_row..(sample + 1) * queries * q_row];
            let out = &mut out[sample * queries * q_row..(sample + 1) * queries * q_row];
            let k = &k[sample * keys * kv_row..(sample + 1) * keys * kv_row];
            let v = &v[sample * keys * kv_row..(sample + 1) * keys * kv_row];
            let tile = queries.div_ceil(SHARES).clamp(*TILES.start(), *TILES.end());
            out.par_chunks_mut(tile * q_row).zip(q.par_chunks(tile * q_row)).enumerate().try_for_each_init(
                || vec![0f32; tile * keys],
                |scores, (i, (out, q))| self.tile(&sizes, i * tile, (out, q, k, v), scores),
            )?;
        }
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }
}

impl Attention {
    /// All heads of one tile of queries, the first of which is number `first`.
    fn tile(
        &self,
        sizes: &Sizes,
        first: usize,
        (out, q, k, v): (&mut [f32], &[f32], &[f32], &[f32]),
        scores: &mut [f32],
    ) -> Result<()> {
        let &Sizes { queries, keys, head_dim, q_row, kv_row } = sizes;
        let rows = (q.len() / q_row).min(queries);
        let group = self.shape.heads / self.shape.kv_heads;
        for head in 0..self.shape.heads {
            let (q_start, kv_start) = (head * head_dim, head / group * head_dim);
            let queries = Mat { data: &q[q_start..], row_stride: q_row, column_stride: 1 };
            let keys_transposed = Mat { data: &k[kv_start..], row_stride: 1, column_stride: kv_row };
            let target = MatMut { data: scores, row_stride: keys };
            let sides = (queries, keys_transposed);
            matmul((rows, keys, head_dim), target, false, sides, Parallelism::None)?;
            widest(
                #[inline(always)]
                || {
                    for (row, scores) in scores.chunks_mut(keys).take(rows).enumerate() {
                        self.softmax(scores, first + row);
                    }
                },
            );
            let weights = Mat { data: scores, row_stride: keys, column_stride: 1 };
            let values = Mat { data: &v[kv_start..], row_stride: kv_row, column_stride: 1 };
            let target = MatMut { data: &mut out[q_start..], row_stride: q_row };
            matmul((rows, head_dim, keys), target, false, (weights, values), Parallelism::None)?;
        }
        Ok(())
    }

    /// Softmax of one query's scores in place; keys the mask hides get weight 0.
    #[inline(always)]
    fn softmax(&self, scores: &mut [f32], query: usize) {
        let visible = match self.shape.mask {
            Mask::Full => 0..scores.len(),
            Mask::Causal { window } => (query + 1).saturating_sub(window)..(query + 1).min(scores.len()),
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
