//! Launches of `rope.cu`: the norm of queries and keys, and their rotation.
//!
//! Must not know which axis is time.

use super::launch::{Element, Launch, Module, SUMS};
use candle_core::Result;

/// Tokens and heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// Tokens of all samples.
    pub(super) rows: usize,
    /// Tokens of one sample: the table's.
    pub(super) tokens: usize,
    pub(super) heads: usize,
    /// Half a head's width.
    pub(super) half: usize,
    /// Heads of the table: 1 or all.
    pub(super) table_heads: usize,
    /// Whether halves of heads hold whole packs at aligned addresses.
    pub(super) whole: bool,
}

/// `x, weight, cos, sin → out`; where `eps` is `None`, nothing is normalised and the weight not read.
pub(super) fn norm_rope(element: Element, heads: Heads, eps: Option<f32>) -> Result<Launch> {
    let launch = Launch::new(Module::Rope, "norm_rope", element, [heads.rows, 1, 1])?.tensors(5);
    let launch = launch.ints(&[heads.heads, heads.half, heads.tokens, heads.table_heads])?.float(eps.unwrap_or(0.0));
    let launch = launch.ints(&[usize::from(eps.is_some()), usize::from(heads.whole)])?.shared(SUMS);
    Ok(launch.row_of(heads.heads * heads.half.div_ceil(element.pack())))
}
