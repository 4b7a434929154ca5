//! The attention of LTX blocks: q/k norm over the full inner width, RoPE where given, where the family has one a learned gate
//! per head. Source: the public `ltx_core` reference, `model/transformer/attention.py`.
//!
//! Must not know the modulation around it.

use candle_core::Tensor;
use ltx_nn::{
    Activations, AttentionShape, KernelChoice, Linear, Mask, Result, RmsNorm, RopeTable, Vb, attention, gate_heads,
};

/// Sizes of one attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionConfig {
    pub(crate) query_dim: usize,
    pub(crate) context_dim: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) eps: f64,
    /// Whether every head's output is gated.
    pub(crate) gated: bool,
}

/// What one call attends to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attend<'a> {
    /// Keys and values come from here; from the queries' own input when absent.
    pub(crate) context: Option<&'a Tensor>,
    /// Rotates queries and keys.
    pub(crate) rope: Option<&'a RopeTable>,
    /// Spatio-temporal guidance: the values pass through in place of the attention's output.
    pub(crate) skip: bool,
}

/// Multi-head attention.
pub(crate) struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    to_gate_logits: Option<Linear>,
    to_out: Linear,
    config: AttentionConfig,
    kernels: KernelChoice,
}

impl Attention {
    pub(crate) fn load(vb: &Vb, config: AttentionConfig) -> Result<Self> {
        let AttentionConfig { query_dim, context_dim, heads, head_dim, eps, gated } = config;
        let gate = || Linear::load(&vb.pp("to_gate_logits"), query_dim, heads);
        let inner = heads * head_dim;
        Ok(Self {
            to_q: Linear::load(&vb.pp("to_q"), query_dim, inner)?,
            to_k: Linear::load(&vb.pp("to_k"), context_dim, inner)?,
            to_v: Linear::load(&vb.pp("to_v"), context_dim, inner)?,
            q_norm: RmsNorm::load(&vb.pp("q_norm"), inner, eps)?,
            k_norm: RmsNorm::load(&vb.pp("k_norm"), inner, eps)?,
            to_gate_logits: gated.then(gate).transpose()?,
            to_out: Linear::load(&vb.pp("to_out").pp("0"), inner, query_dim)?,
            config,
            kernels: vb.compute().kernels,
        })
    }

    /// # Shapes
    /// `x [B, T, query_dim]`, context `[B, S, context_dim]` → `[B, T, query_dim]`.
    pub(crate) fn forward(&self, x: &Tensor, attend: Attend<'_>) -> Result<Tensor> {
        let (own, context) = (Activations::new(x)?, attend.context.map(Activations::new).transpose()?);
        let source = context.as_ref().unwrap_or(&own);
        let v = self.to_v.forward_of(source)?;
        let out = if attend.skip { v } else { self.attend(&own, source, &v, attend.rope)? };
        let out = match &self.to_gate_logits {
            Some(logits) => gate_heads(&out, &logits.forward_of(&own)?, self.kernels)?,
            None => out,
        };
        self.to_out.forward(&out)
    }

    fn attend(&self, x: &Activations, source: &Activations, v: &Tensor, rope: Option<&RopeTable>) -> Result<Tensor> {
        let AttentionConfig { heads, head_dim, .. } = self.config;
        let normed = |norm: &RmsNorm, y: &Tensor| match rope {
            Some(rope) => norm.forward_rotated(y, rope, heads),
            None => norm.forward(y),
        };
        let q = normed(&self.q_norm, &self.to_q.forward_of(x)?)?;
        let k = normed(&self.k_norm, &self.to_k.forward_of(source)?)?;
        let scale = 1.0 / (head_dim as f64).sqrt();
        let shape = AttentionShape { heads, kv_heads: heads, scale, mask: Mask::Full };
        attention(&q, &k, v, &shape, self.kernels)
    }
}
