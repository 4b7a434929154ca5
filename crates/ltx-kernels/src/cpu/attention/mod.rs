//! Attention over heads and tiles of queries. Keys that no query of a tile may see are not computed.
//!
//! Must not know where queries, keys and values come from.
#![allow(unsafe_code)]

mod tile;

use super::{Level, gemm::Strided, shared::Shared};
use crate::{AttentionShape, KernelError};
use rayon::prelude::*;
use std::cell::Cell;
use tile::{Buffers, Head, QUERIES};

/// `softmax(scale · q kᵀ) v` on `[B, T, heads · head_dim]` without transposing anything.
#[derive(Clone, Copy)]
pub struct Attention {
    /// The instructions to use.
    pub level: Level,
    /// Heads, scale and mask.
    pub shape: AttentionShape,
}

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSizes {
    /// Samples.
    pub batch: usize,
    /// Queries of a sample.
    pub queries: usize,
    /// Keys of a sample, and values.
    pub keys: usize,
    /// Values of one query: `heads · head_dim`.
    pub width: usize,
}

thread_local! {
    /// Buffers of the tile that this thread works on.
    static BUFFERS: Cell<Option<Buffers>> = const { Cell::new(None) };
}

impl Attention {
    /// Writes the answers `[B, queries, heads · head_dim]`; `k` and `v` are `[B, keys, kv_heads · head_dim]`.
    ///
    /// # Errors
    /// The sizes do not fit each other.
    pub fn compute(&self, sizes: AttentionSizes, [q, k, v]: [&[f32]; 3], out: &mut [f32]) -> Result<(), KernelError> {
        let (AttentionSizes { batch, queries, keys, width }, AttentionShape { heads, kv_heads, .. }) =
            (sizes, self.shape);
        let fits = heads > 0 && kv_heads > 0 && heads.is_multiple_of(kv_heads) && width.is_multiple_of(heads);
        KernelError::ensure(fits, "attention")?;
        let (of_queries, of_keys) = (queries * width, keys * (width / heads * kv_heads));
        let fits =
            q.len() == batch * of_queries && k.len() == batch * of_keys && v.len() == k.len() && out.len() == q.len();
        KernelError::ensure(fits, "attention")?;
        for sample in 0..batch {
            let q = &q[sample * of_queries..][..of_queries];
            let [k, v] = [k, v].map(|values| &values[sample * of_keys..][..of_keys]);
            self.sample(sizes, [q, k, v], &mut out[sample * of_queries..][..of_queries]);
        }
        Ok(())
    }

    /// One sequence. Tiles follow from the sequence alone, never from the threads: a sum runs in another order in another
    /// tile, and the same seed has to mean the same bytes.
    fn sample(&self, sizes: AttentionSizes, [q, k, v]: [&[f32]; 3], out: &mut [f32]) {
        let AttentionSizes { queries, keys, width: q_row, .. } = sizes;
        let (AttentionShape { heads, kv_heads, scale, mask }, level) = (self.shape, self.level);
        let head_dim = q_row / heads;
        let kv_row = head_dim * kv_heads;
        if out.is_empty() || keys == 0 {
            return;
        }
        let pack = |head: usize| {
            let [k, v] = [k, v].map(|values| Strided::rows(&values[head * head_dim..], kv_row));
            Head::pack(level, &k, &v, (keys, head_dim))
        };
        let packed: Vec<Head> = (0..kv_heads).into_par_iter().with_max_len(1).map(pack).collect();
        let out = Shared::new(out, q_row);
        let tiles = queries.div_ceil(QUERIES);
        (0..heads * tiles).into_par_iter().with_max_len(1).for_each(|i| {
            let (head, first) = (i / tiles, i % tiles * QUERIES);
            let rows = QUERIES.min(queries - first);
            let asked = Strided::rows(&q[first * q_row + head * head_dim..], q_row);
            let packed = &packed[head / (heads / kv_heads)];
            let mut buffers = BUFFERS.take().unwrap_or_default();
            let answers = packed.answer(level, &asked, (first, rows), (scale as f32, mask), &mut buffers);
            for (row, answer) in answers.chunks(packed.stride()).enumerate() {
                // SAFETY: every head and tile has rows and columns of its own.
                unsafe { out.row(first + row, head * head_dim, head_dim) }.copy_from_slice(&answer[..head_dim]);
            }
            BUFFERS.set(Some(buffers));
        });
    }
}
