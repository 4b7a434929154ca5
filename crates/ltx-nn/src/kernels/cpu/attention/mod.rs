//! Attention over heads and tiles of queries. Keys that no query of a tile may see are not computed.
//!
//! Must not know where queries, keys and values come from.
#![allow(unsafe_code)]

mod tile;

use super::{ensure, f32_slice, gemm::Strided, shared::Shared};
use crate::AttentionShape;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;
use std::cell::Cell;
use tile::{Buffers, Head, QUERIES};

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

thread_local! {
    /// Buffers of the tile that this thread works on.
    static BUFFERS: Cell<Option<Buffers>> = const { Cell::new(None) };
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
            let q = &q[sample * queries * q_row..][..queries * q_row];
            let k = &k[sample * keys * kv_row..][..keys * kv_row];
            let v = &v[sample * keys * kv_row..][..keys * kv_row];
            self.sample(&sizes, (q, k, v), &mut out[sample * queries * q_row..][..queries * q_row]);
        }
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }
}

impl Attention {
    /// One sequence. Tiles follow from the sequence alone, never from the threads: a sum runs in another order in another
    /// tile, and the same seed has to mean the same bytes.
    fn sample(&self, sizes: &Sizes, (q, k, v): (&[f32], &[f32], &[f32]), out: &mut [f32]) {
        let &Sizes { queries, keys, head_dim, q_row, kv_row } = sizes;
        let AttentionShape { heads, kv_heads, scale, mask } = self.shape;
        if out.is_empty() || keys == 0 {
            return;
        }
        let pack = |head: usize| {
            let [k, v] = [k, v].map(|values| Strided::rows(&values[head * head_dim..], kv_row));
            Head::pack(&k, &v, (keys, head_dim))
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
            let answers = packed.answer(&asked, (first, rows), (scale as f32, mask), &mut buffers);
            for (row, answer) in answers.chunks(packed.stride()).enumerate() {
                // SAFETY: every head and tile has rows and columns of its own.
                unsafe { out.row(first + row, head * head_dim, head_dim) }.copy_from_slice(&answer[..head_dim]);
            }
            BUFFERS.set(Some(buffers));
        });
    }
}
