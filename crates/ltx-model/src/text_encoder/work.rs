//! What a text encoding has to do beside its products, counted along [`super::TextEncoder::encode`]. Every matrix of a language
//! model's layer, and of the projection, is multiplied with a row a token; those of the connector with a row a slot.
//!
//! Must not know forms of matrices, or where layers lie.

use super::{ConnectorConfig, GemmaConfig, MAX_TOKENS};
use ltx_types::{Unit, Work};

/// Twelve operators of a layer of Gemma beside products and attention, norms, rotations and sums: beginning one takes a third of what
/// beginning a product does, about.
const GEMMA_CALLS: u64 = 4;
/// Eight operators of a block of the connector likewise.
const CONNECTOR_CALLS: u64 = 3;

impl GemmaConfig {
    /// Of one prompt in all layers, and of its states on their way to the projection.
    pub fn prompt_work(&self, tokens: u64) -> Work {
        let (hidden, heads) = (self.hidden_size as u64, self.num_attention_heads as u64);
        let layer = |layer: usize| {
            let sizes = self.attention(self.is_global(layer));
            let (queries, keys) = (heads * sizes.head_dim as u64, (sizes.key_value_heads * sizes.head_dim) as u64);
            // Four norms of the stream and two sums; queries, keys and values normed and rotated; the gate's factor.
            let moved = 14 * hidden + 4 * (queries + 2 * keys) + 2 * self.intermediate_size as u64;
            let work =
                Work::of(Unit::Attention, 4 * tokens * tokens * queries).and(Unit::Score, tokens * tokens * heads);
            work.and(Unit::Value, moved * tokens).and(Unit::Call, GEMMA_CALLS + 1)
        };
        let layers = (0..self.num_hidden_layers).fold(Work::default(), |all, i| all.plus(&layer(i)));
        // Each state normed, laid beside the others, and rescaled.
        let states = self.states() as u64;
        layers.and(Unit::Value, 8 * states * hidden * tokens).and(Unit::Call, states)
    }
}

impl ConnectorConfig {
    /// Slots that it works on, whatever the prompt's length.
    pub const SLOTS: u64 = MAX_TOKENS as u64;

    /// Of one prompt in all blocks.
    pub fn prompt_work(&self) -> Work {
        let (slots, dim) = (Self::SLOTS, self.dim() as u64);
        let work =
            Work::of(Unit::Attention, 4 * slots * slots * dim).and(Unit::Score, slots * slots * self.heads as u64);
        // Two norms and two sums of the stream; queries and keys normed and rotated; gates.
        let block = work.and(Unit::Value, 20 * slots * dim).and(Unit::Call, CONNECTOR_CALLS + 1);
        block.times(self.layers as u64).and(Unit::Value, 4 * slots * dim)
    }
}
