//! What T5 has to do beside its products, counted along [`super::T5Encoder::encode`]. Every matrix of a layer is multiplied with a
//! row a token.
//!
//! Must not know forms of matrices, or where layers lie.

use super::T5Config;
use ltx_types::{Unit, Work};

/// Twelve operators of a layer beside products, two norms, two sums and those of the attention: beginning one takes a third of what
/// beginning a product does, about.
const CALLS: u64 = 4;
/// Times that a score is read or written: as a product, with the distance's summand, in its softmax.
const SCORE_MOVES: u64 = 8;

impl T5Config {
    /// Of one prompt in all layers.
    pub fn prompt_work(&self, tokens: u64) -> Work {
        let (inner, scores) = (self.inner() as u64, self.num_heads as u64 * tokens * tokens);
        let moved = tokens * (10 * self.d_model as u64 + 8 * inner + 2 * self.d_ff as u64) + SCORE_MOVES * scores;
        let layer =
            Work::of(Unit::Attention, 4 * tokens * tokens * inner).and(Unit::Value, moved).and(Unit::Call, CALLS);
        layer.times(self.num_layers as u64)
    }
}
