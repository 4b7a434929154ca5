//! What a step of the transformer holds at its worst moment beside weights, counted along [`super::Transformer::forward`].
//!
//! Must not know budgets, or what a preview needs between two steps.

use super::{Transformer, TransformerConfig};
use crate::{
    footprint::{DeviceKind, Placement, Stack, plain_attention_bytes},
    part::Module,
    t5::T5_TOKENS,
    text_encoder::MAX_TOKENS,
};
use candle_core::DType;

/// What a step works on, as far as its memory depends on it.
#[derive(Debug, Clone, Copy)]
pub struct StepShape {
    /// Tokens of the sequence, appended ones included.
    pub tokens: u64,
    /// Prompts whose contexts are held.
    pub prompts: u64,
}

impl TransformerConfig {
    /// The blocks, which may be streamed.
    pub fn stack(&self) -> Stack {
        Stack { keys: Transformer::MARK.to_owned(), count: self.num_layers }
    }

    /// Slots of the text context, at most.
    fn context_slots(&self) -> u64 {
        // Where the text encoder's states come as they are, they are T5's.
        (if self.cross_attention_norm { MAX_TOKENS } else { T5_TOKENS }) as u64
    }

    /// Bytes alive at once in a step.
    pub fn step_bytes(&self, step: StepShape, placement: Placement) -> u64 {
        match placement.device {
            DeviceKind::Cpu => self.step_values(step) * placement.value_bytes(),
            DeviceKind::Gpu => self.step_bytes_on_gpu(step, placement),
        }
    }

    /// Values alive at once in a step on the CPU: the residual stream and the rotations, beside the larger of the attentions
    /// and the feed-forward.
    fn step_values(&self, StepShape { tokens, prompts }: StepShape) -> u64 {
        let context = self.context_slots();
        // Rotations and stream.
        let around = 2 * tokens;
        // The block's input normalised; queries, keys, values, the last two once more in panels; the output.
        let itself = 7 * tokens;
        // Of the context: modulated, keys, values, both once more.
        let cross = 4 * tokens + 5 * context;
        // The input normalised, four times its width inside, the output.
        let feed_forward = 6 * tokens;
        let rows = around + itself.max(cross).max(feed_forward) + context * prompts;
        rows * self.inner_dim() as u64
    }

    /// Bytes alive at once in a step on a GPU, in a block's feed-forward: what a function of the block has named stays until
    /// its end. The modulated context and what the cross-attention added go sooner, and are counted as if they did not.
    fn step_bytes_on_gpu(&self, StepShape { tokens, prompts }: StepShape, placement: Placement) -> u64 {
        let value = placement.value_bytes();
        // The stream before the block, and behind each of its attentions; what those added to it; the input normalised, four
        // times its width inside, once more rounded to 8 bits, and the output.
        let block = (3 + 2 + 1 + 4 + 2 + 1) * tokens;
        let recorded = placement.dtype == DType::BF16;
        let plain = if recorded { 0 } else { 6 * tokens };
        // The context modulated, and as it is in the compute dtype.
        let context = 2 * self.context_slots();
        // Each prompt's context, and the rotations, in f32.
        let wide = self.context_slots() * prompts + tokens;
        // A recording holds what goes into it and what comes out of it, once more.
        let copies = if recorded { (2 * tokens + self.context_slots()) * value + tokens * 4 } else { 0 };
        let scores = if plain > 0 { plain_attention_bytes(self.num_attention_heads, tokens) } else { 0 };
        ((block + plain + context) * value + wide * 4 + copies) * self.inner_dim() as u64 + scores
    }
}
