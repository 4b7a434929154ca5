//! Launches of `attention.cu` and `attention_hopper.cu`: attention without a mask in bf16, for heads of 64 and 128.
//!
//! Must not know where queries, keys and values come from.

use super::{
    generation::Generation,
    launch::{Element, Launch, Module, PANEL_ALIGNMENT},
};
use crate::{AttentionShape, Mask};
use candle_core::Result;
use std::f64::consts::LOG2_E;

/// As in `attention.cu`: queries and keys of a tile, threads of a block.
const QUERIES: usize = 128;
const KEYS: usize = 64;
const THREADS: u32 = 128;

/// As in `attention_hopper.cu`: queries of a warpgroup, keys of a tile, tiles of the ring, and the bytes of its barriers.
mod hopper {
    pub(super) const ROWS: usize = 64;
    pub(super) const KEYS: usize = 128;
    pub(super) const STAGES: usize = 6;
    pub(super) const BARRIERS: usize = 2 * STAGES * 8;
    pub(super) const WARPGROUP: usize = 128;

    /// Warpgroups that multiply; one more copies.
    pub(super) const fn consumers(head_dim: usize) -> usize {
        if head_dim == 64 { 3 } else { 2 }
    }
}

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
}

/// Whether the kernels compute that.
pub(super) fn supports(sizes: Sizes, shape: &AttentionShape) -> bool {
    let heads = shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads);
    matches!(sizes.head_dim, 64 | 128) && shape.mask == Mask::Full && heads && sizes.keys > 0
}

/// `q, k, v → out`.
pub(super) fn attention(generation: Generation, sizes: Sizes, shape: &AttentionShape) -> Result<Launch> {
    let Sizes { batch, queries, keys, head_dim } = sizes;
    let (module, name, rows, shared, block) = match generation {
        Generation::Ampere => (Module::Attention, "attention", QUERIES, (QUERIES + 2 * KEYS) * head_dim * 2, THREADS),
        Generation::Hopper => {
            use hopper::{BARRIERS, KEYS, ROWS, STAGES, WARPGROUP, consumers};
            let rows = consumers(head_dim) * ROWS;
            let shared = PANEL_ALIGNMENT + (rows + STAGES * KEYS) * head_dim * 2 + BARRIERS;
            (Module::AttentionHopper, "attention_hopper", rows, shared, ((consumers(head_dim) + 1) * WARPGROUP) as u32)
        }
    };
    let grid = [queries.div_ceil(rows), shape.heads, batch];
    let launch = Launch::new(module, &format!("{name}_{head_dim}"), Element::Bf16, grid)?.tensors(4);
    let launch = launch.ints(&[queries, keys, shape.heads, shape.kv_heads])?.float((shape.scale * LOG2_E) as f32);
    Ok(Launch { block, ..launch.shared(shared as u32) })
}
