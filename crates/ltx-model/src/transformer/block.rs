//! One block: self-attention, text cross-attention, feed-forward, each modulated by the timestep.
//!
//! Must not know how many blocks there are.

use super::TransformerConfig;
use crate::attention::{Attend, AttentionConfig, GatedAttention};
use candle_core::Tensor;
use ltx_nn::{
    FeedForward, Modulation, Result, RopeTable, ShiftScale, Taps, Vb, gated_residual, modulate, rms_norm_modulate,
};

/// Rows of the modulation table: shift, scale, gate of self-attention (0–2), of the feed-forward (3–5), of the text
/// cross-attention's query (6–8).
pub(super) const ROWS: usize = 9;
const SELF_ATTENTION: usize = 0;
const FEED_FORWARD: usize = 3;
const CROSS_ATTENTION: usize = 6;

/// What every block of one forward pass shares.
pub(super) struct Shared<'a> {
    /// The nine AdaLN rows of every token.
    pub(super) modulation: Modulation,
    /// Shift and scale of the context from the scalar sigma.
    pub(super) prompt: Modulation,
    /// `[1, S, cross_attention_dim]`, in the compute dtype.
    pub(super) context: Tensor,
    pub(super) rope: &'a RopeTable,
}

/// A transformer block's video stream.
pub(super) struct Block {
    attn1: GatedAttention,
    attn2: GatedAttention,
    ff: FeedForward,
    scale_shift_table: Tensor,
    prompt_scale_shift_table: Tensor,
    eps: f64,
}

impl Block {
    pub(super) fn load(vb: &Vb, config: &TransformerConfig) -> Result<Self> {
        let dim = config.inner_dim();
        let attention = AttentionConfig {
            query_dim: dim,
            context_dim: dim,
            heads: config.num_attention_heads,
            head_dim: config.attention_head_dim,
            eps: config.norm_eps,
        };
        let cross = AttentionConfig { context_dim: config.cross_attention_dim, ..attention };
        Ok(Self {
            attn1: GatedAttention::load(&vb.pp("attn1"), attention)?,
            attn2: GatedAttention::load(&vb.pp("attn2"), cross)?,
            ff: FeedForward::load(&vb.pp("ff"), dim, true)?,
            scale_shift_table: vb.tensor("scale_shift_table", [ROWS, dim])?,
            prompt_scale_shift_table: vb.tensor("prompt_scale_shift_table", [2, dim])?,
            eps: config.norm_eps,
        })
    }

    /// # Shapes
    /// `x [1, T, dim]` → the same. `skip_attention` passes the self-attention's values through (STG).
    pub(super) fn forward(&self, x: &Tensor, shared: &Shared<'_>, skip_attention: bool, taps: &Taps) -> Result<Tensor> {
        let by = shared.modulation.plus(&self.scale_shift_table)?;
        let normed = |x: &Tensor, first| rms_norm_modulate(x, &by, shift_scale(first), self.eps);
        let gated = |x: &Tensor, y: &Tensor, first| gated_residual(x, y, &by, first + 2);

        let attend = Attend { rope: Some(shared.rope), skip: skip_attention, ..Attend::default() };
        let y = self.attn1.forward(&normed(x, SELF_ATTENTION)?, attend)?;
        taps.record("attn1_out", || Ok(y.clone()))?;
        let x = gated(x, &y, SELF_ATTENTION)?;

        let prompt = shared.prompt.plus(&self.prompt_scale_shift_table)?;
        let context = modulate(&shared.context, &prompt, shift_scale(0))?;
        let attend = Attend { context: Some(&context), ..Attend::default() };
        let y = self.attn2.forward(&normed(&x, CROSS_ATTENTION)?, attend)?;
        taps.record("attn2_out", || Ok(y.clone()))?;
        let x = gated(&x, &y, CROSS_ATTENTION)?;

        let y = self.ff.forward(&normed(&x, FEED_FORWARD)?)?;
        taps.record("ff_out", || Ok(y.clone()))?;
        let x = gated(&x, &y, FEED_FORWARD)?;
        taps.record("out", || Ok(x.clone()))?;
        Ok(x)
    }
}

/// Shift and scale of a group of rows; its gate, where it has one, is behind them.
fn shift_scale(first: usize) -> ShiftScale {
    ShiftScale { shift: first, scale: first + 1 }
}
