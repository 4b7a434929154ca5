//! One block: self-attention, text cross-attention, feed-forward, each modulated by the timestep.
//!
//! Must not know how many blocks there are.

use super::TransformerConfig;
use crate::attention::{Attend, AttentionConfig, GatedAttention};
use candle_core::Tensor;
use ltx_nn::{
    FeedForward, KernelChoice, Modulation, NnError, Result, RopeTable, ShiftScale, Taps, Vb, gated_residual, modulate,
    rms_norm_modulate,
};

/// Rows of the modulation table: shift, scale, gate of self-attention (0–2), of the feed-forward (3–5), of the text
/// cross-attention's query (6–8).
pub(super) const ROWS: usize = 9;
const SELF_ATTENTION: usize = 0;
const FEED_FORWARD: usize = 3;
const CROSS_ATTENTION: usize = 6;

/// What every block of one forward pass shares.
pub(super) struct Shared {
    /// The nine AdaLN rows of every token.
    pub(super) modulation: Modulation,
    /// Shift and scale of the context from the scalar sigma.
    pub(super) prompt: Modulation,
    /// `[1, S, cross_attention_dim]`, in the compute dtype.
    pub(super) context: Tensor,
    pub(super) rope: RopeTable,
}

impl Shared {
    /// The tensors it is made of.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let modulations = [&self.modulation, &self.prompt].into_iter().flat_map(Modulation::tensors);
        modulations.chain([self.context.clone()]).chain(self.rope.tensors()).collect()
    }

    /// The same of other tensors, as [`Self::tensors`] orders them.
    pub(super) fn with_tensors(&self, tensors: &[Tensor]) -> Result<Self> {
        let mut tensors = tensors.iter().cloned();
        let (modulation, prompt) =
            (self.modulation.with_tensors(&mut tensors)?, self.prompt.with_tensors(&mut tensors)?);
        let (Some(context), Some(cos), Some(sin)) = (tensors.next(), tensors.next(), tensors.next()) else {
            return Err(NnError::unsupported("tensors", "too few", "those that blocks share"));
        };
        Ok(Self { modulation, prompt, context, rope: self.rope.with_tensors([cos, sin]) })
    }
}

/// A transformer block's video stream.
pub(super) struct Block {
    attn1: GatedAttention,
    attn2: GatedAttention,
    ff: FeedForward,
    scale_shift_table: Tensor,
    prompt_scale_shift_table: Tensor,
    eps: f64,
    kernels: KernelChoice,
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
            kernels: vb.compute().kernels,
        })
    }

    /// # Shapes
    /// `x [1, T, dim]` → the same. `skip_attention` passes the self-attention's values through (STG).
    pub(super) fn forward(&self, x: &Tensor, shared: &Shared, skip_attention: bool, taps: &Taps) -> Result<Tensor> {
        let kernels = self.kernels;
        let by = shared.modulation.plus(&self.scale_shift_table, kernels)?;
        let normed = |x: &Tensor, first| rms_norm_modulate(x, &by, shift_scale(first), self.eps, kernels);
        let gated = |x: &Tensor, y: &Tensor, first| gated_residual(x, y, &by, first + 2, kernels);

        let attend = Attend { rope: Some(&shared.rope), skip: skip_attention, ..Attend::default() };
        let y = self.attn1.forward(&normed(x, SELF_ATTENTION)?, attend)?;
        taps.record("attn1_out", || Ok(y.clone()))?;
        let x = gated(x, &y, SELF_ATTENTION)?;

        let prompt = shared.prompt.plus(&self.prompt_scale_shift_table, kernels)?;
        let context = modulate(&shared.context, &prompt, shift_scale(0), kernels)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, IndexOp};
    use ltx_nn::TokenIndex;

    #[test]
    fn what_blocks_share_survives_its_tensors() -> Result<()> {
        let random = |shape: &[usize]| Tensor::randn(0f32, 1f32, shape, &Device::Cpu);
        let kernels = KernelChoice::fastest();
        for indexed in [false, true] {
            let index = indexed.then(|| TokenIndex::new(vec![1, 0, 1], &Device::Cpu)).transpose()?;
            let shared = Shared {
                modulation: Modulation::new(&random(&[2, ROWS, 4])?, index)?,
                prompt: Modulation::new(&random(&[1, 2, 4])?, None)?,
                context: random(&[1, 5, 4])?,
                rope: RopeTable::from_tensors([random(&[3, 1, 2])?, random(&[3, 1, 2])?], kernels),
            };
            let others = shared.tensors().iter().map(Tensor::copy).collect::<candle_core::Result<Vec<_>>>()?;
            let (x, other) = (random(&[1, 3, 4])?, shared.with_tensors(&others)?);
            let use_all = |shared: &Shared| -> Result<[Tensor; 4]> {
                let modulated = rms_norm_modulate(&x, &shared.modulation, shift_scale(FEED_FORWARD), 1e-6, kernels)?;
                let context = modulate(&shared.context, &shared.prompt, shift_scale(0), kernels)?;
                Ok([modulated, context, shared.rope.apply(&x, 1)?, shared.context.i(..)?])
            };
            for (found, expected) in use_all(&other)?.iter().zip(use_all(&shared)?) {
                let (found, expected) = (found.flatten_all()?, expected.flatten_all()?);
                assert_eq!(found.to_vec1::<f32>()?, expected.to_vec1::<f32>()?, "indexed: {indexed}");
            }
            assert!(shared.with_tensors(&others[1..]).is_err(), "one is missing");
        }
        Ok(())
    }
}
