//! What the three parts of a text encoding hold at their worst moments beside weights, counted along
//! [`super::TextEncoder::encode`].
//!
//! Must not know how many of their layers are in memory.

use super::{Connector, ConnectorConfig, GemmaConfig, MAX_TOKENS};
use crate::{
    footprint::{DeviceKind, Placement, Stack, plain_attention_bytes},
    part::Module,
};

/// Buffers of the connector beside the states of all prompts.
const CONNECTOR_BUFFERS: u64 = 11;

impl GemmaConfig {
    /// The layers, which are always streamed; the language model's keys begin with `prefix` and a dot.
    pub fn stack(&self, prefix: &str) -> Stack {
        Stack { keys: format!("{prefix}.layers."), count: self.num_hidden_layers }
    }

    /// Bytes of all hidden states of a prompt of so many tokens.
    pub fn states_bytes(&self, tokens: usize, placement: Placement) -> u64 {
        (self.states() * self.hidden_size * tokens) as u64 * placement.value_bytes()
    }

    /// Bytes of a layer's own work on a prompt of so many tokens, beside the states that are kept. On the CPU it is small
    /// against them and not counted; on a GPU its attention is the plain formula.
    pub fn layer_bytes(&self, tokens: usize, placement: Placement) -> u64 {
        match placement.device {
            DeviceKind::Cpu => 0,
            DeviceKind::Gpu => {
                let width = [false, true].map(|global| self.attention(global).head_dim).into_iter().max().unwrap_or(0);
                let attention = (self.num_attention_heads * width) as u64;
                // Queries, keys and values, each as projected, rotated, by head and repeated; the result in slices, joined, in
                // order.
                let around = 12 * attention + 4 * self.hidden_size as u64;
                // Gate, its GELU, up, their product; the stream, the input normalised, the output.
                let inside = 4 * self.intermediate_size as u64 + 4 * self.hidden_size as u64;
                let (tokens, value) = (tokens as u64, placement.value_bytes());
                let attend = around * tokens * value + plain_attention_bytes(self.num_attention_heads, tokens);
                attend.max(inside * tokens * value)
            }
        }
    }
}

impl ConnectorConfig {
    /// The blocks, which are streamed unless the text encoder stays.
    pub fn stack(&self) -> Stack {
        Stack { keys: format!("{}transformer_1d_blocks.", Connector::MARK), count: self.layers }
    }

    /// Bytes of the connector's work on so many prompts.
    pub fn activation_bytes(&self, prompts: usize, placement: Placement) -> u64 {
        let slots = (MAX_TOKENS * self.dim()) as u64 * placement.value_bytes();
        slots * (prompts as u64 + CONNECTOR_BUFFERS)
    }
}
