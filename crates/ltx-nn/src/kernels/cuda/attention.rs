//! Launches of `attention.cu`: attention without a mask in bf16, for heads of 64 and 128.
//!
//! Must not know where queries, keys and values come from.

use super::launch::{Element, Launch, Module};
use crate::{AttentionShape, Mask};
use candle_core::Result;
use std::f64::consts::LOG2_E;

/// As in `attention.cu`: queries and keys of a tile, threads of a block.
const QUERIES: usize = 128;
const KEYS: usize = 64;
const THREADS: u32 = 128;

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
}

/// Whether the kernel computes that.
pub(super) fn supports(sizes: Sizes, shape: &AttentionShape) -> bool {
    let heads = shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads);
    matches!(sizes.head_dim, 64 | 128) && shape.mask == Mask::Full && heads && sizes.keys > 0
}

/// `q, k, v → out`.
pub(super) fn attention(sizes: Sizes, shape: &AttentionShape) -> Result<Launch> {
    let Sizes { batch, queries, keys, head_dim } = sizes;
    let grid = [queries.div_ceil(QUERIES), shape.heads, batch];
    let launch = Launch::new(Module::Attention, &format!("attention_{head_dim}"), Element::Bf16, grid)?.tensors(4);
    let launch = launch.ints(&[queries, keys, shape.heads, shape.kv_heads])?.float((shape.scale * LOG2_E) as f32);
    let shared = ((QUERIES + 2 * KEYS) * head_dim * 2) as u32;
    Ok(Launch { block: THREADS, ..launch.shared(shared) })
}
