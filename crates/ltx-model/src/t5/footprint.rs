//! What T5 holds beside weights, counted along [`super::T5Encoder::encode`].
//!
//! Must not know how many of its layers are in memory.

use super::{T5Config, T5Encoder};
use crate::{
    footprint::{Placement, Stack},
    part::Module,
};

/// Bytes of a score, of its sum with the distance's, and of its share.
const SCORE: u64 = 12;

impl T5Config {
    /// The layers, which are always streamed.
    pub fn stack(&self) -> Stack {
        Stack { keys: T5Encoder::MARK.to_owned(), count: self.num_layers }
    }

    /// Bytes that prompts of so many tokens take, at the worst moment of a layer. `placement` is the encoder's own.
    pub fn activation_bytes(&self, prompts: &[usize], placement: Placement) -> u64 {
        let value = placement.value_bytes();
        let pairs = |tokens: u64| self.num_heads as u64 * tokens * tokens;
        let kept = |tokens: &usize| *tokens as u64 * self.d_model as u64 * value + 4 * pairs(*tokens as u64);
        let work = |tokens: &usize| {
            let tokens = *tokens as u64;
            // Queries, keys and values, as projected and by head, and the result likewise.
            let attention = 8 * self.inner() as u64 * tokens * value + SCORE * pairs(tokens);
            // The gate times the other half, both, and the output; the input normalised.
            let inside = (3 * self.d_ff as u64 + 3 * self.d_model as u64) * tokens * value;
            attention.max(inside)
        };
        prompts.iter().map(kept).sum::<u64>() + prompts.iter().map(work).max().unwrap_or(0)
    }
}
