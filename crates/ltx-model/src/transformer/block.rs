//! One block: self-attention, text cross-attention, feed-forward, each modulated by the timestep.
//!
//! Must not know how many blocks there are.

use super::{TransformerConfig, timesteps::TokenTimesteps};
use crate::attention::{Attend, AttentionConfig, GatedAttention};
use candle_core::Tensor;
use ltx_nn::{FeedForward, Result, RopeTable, Taps, Vb, gated_residual, modulate, rms_norm_modulate};

/// Rows of the modulation table: shift, scale, gate of self-attention (0–2), of the feed-forward (3–5), of the text
/// cross-attention's query (6–8).
pub(super) const ROWS: usize = 9;
const SELF_ATTENTION: usize = 0;
const FEED_FORWARD: usize = 3;
const CROSS_ATTENTION: usize = 6;

/// What every block of one forward pass shares.
pub(super) struct Shared<'a> {
    /// AdaLN rows per distinct timestep, `[values, 9, dim]`.
    pub(super) rows: Tensor,
    pub(super) timesteps: &'a TokenTimesteps,
    /// Shift and scale of the context from the scalar sigma, `[1, 2, dim]`.
    pub(super) prompt_rows: Tensor,
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
        let [shift, scale, gate] = self.modulation(shared, SELF_ATTENTION)?;
        let attend = Attend { rope: Some(shared.rope), skip: skip_attention, ..Attend::default() };
        let y = self.attn1.forward(&rms_norm_modulate(x, &shift, &scale, self.eps)?, attend)?;
        taps.record("attn1_out", || Ok(y.clone()))?;
        let x = gated_residual(x, &y, &gate)?;

        let [shift, scale, gate] = self.modulation(shared, CROSS_ATTENTION)?;
        let context = self.modulated_context(shared)?;
        let attend = Attend { context: Some(&context), ..Attend::default() };
        let y = self.attn2.forward(&rms_norm_modulate(&x, &shift, &scale, self.eps)?, attend)?;
        taps.record("attn2_out", || Ok(y.clone()))?;
        let x = gated_residual(&x, &y, &gate)?;

        let [shift, scale, gate] = self.modulation(shared, FEED_FORWARD)?;
        let y = self.ff.forward(&rms_norm_modulate(&x, &shift, &scale, self.eps)?)?;
        taps.record("ff_out", || Ok(y.clone()))?;
        let x = gated_residual(&x, &y, &gate)?;
        taps.record("out", || Ok(x.clone()))?;
        Ok(x)
    }

    /// Shift, scale and gate from row `first` on, each `[1, T or 1, dim]`.
    fn modulation(&self, shared: &Shared<'_>, first: usize) -> Result<[Tensor; 3]> {
        let table = self.scale_shift_table.narrow(0, first, 3)?.unsqueeze(0)?;
        let rows = shared.rows.narrow(1, first, 3)?.broadcast_add(&table)?;
        let row = |i: usize| shared.timesteps.spread(&rows.narrow(1, i, 1)?.squeeze(1)?);
        Ok([row(0)?, row(1)?, row(2)?])
    }

    fn modulated_context(&self, shared: &Shared<'_>) -> Result<Tensor> {
        let rows = shared.prompt_rows.broadcast_add(&self.prompt_scale_shift_table.unsqueeze(0)?)?;
        modulate(&shared.context, &rows.narrow(1, 0, 1)?, &rows.narrow(1, 1, 1)?)
    }
}
