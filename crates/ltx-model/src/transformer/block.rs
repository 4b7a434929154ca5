//! One block: self-attention, text cross-attention, feed-forward, each modulated by the timestep.
//!
//! Must not know how many blocks there are.

use super::TransformerConfig;
use crate::attention::{Attend, Attention, AttentionConfig};
use candle_core::Tensor;
use ltx_nn::{
    FeedForward, KernelChoice, Modulation, NnError, Result, RopeTable, ShiftScale, Taps, Vb, gated_residual, modulate,
    rms_norm, rms_norm_modulate,
};

/// First rows of shift, scale and gate in the modulation table; the last three are there with `cross_attention_adaln` alone.
const SELF_ATTENTION: usize = 0;
const FEED_FORWARD: usize = 3;
const CROSS_ATTENTION: usize = 6;

/// What every block of one forward pass shares.
pub(super) struct Shared {
    /// The AdaLN rows of every token.
    pub(super) modulation: Modulation,
    /// Shift and scale of the context from the scalar sigma, where the family has them.
    pub(super) prompt: Option<Modulation>,
    /// `[1, S, cross_attention_dim]`, in the compute dtype.
    pub(super) context: Tensor,
    pub(super) rope: RopeTable,
}

impl Shared {
    /// The tensors it is made of.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let modulations = [&self.modulation].into_iter().chain(&self.prompt).flat_map(Modulation::tensors);
        modulations.chain([self.context.clone()]).chain(self.rope.tensors()).collect()
    }

    /// What blocks share, made of other tensors in the order of [`Self::tensors`].
    pub(super) fn with_tensors(&self, tensors: &[Tensor]) -> Result<Self> {
        let mut tensors = tensors.iter().cloned();
        let modulation = self.modulation.with_tensors(&mut tensors)?;
        let prompt = self.prompt.as_ref().map(|prompt| prompt.with_tensors(&mut tensors)).transpose()?;
        let (Some(context), Some(cos), Some(sin)) = (tensors.next(), tensors.next(), tensors.next()) else {
            return Err(NnError::unsupported("tensors", "too few", "those that blocks share"));
        };
        Ok(Self { modulation, prompt, context, rope: self.rope.with_tensors([cos, sin]) })
    }
}

/// A transformer block's video stream.
pub(super) struct Block {
    attn1: Attention,
    attn2: Attention,
    ff: FeedForward,
    scale_shift_table: Tensor,
    /// Shift and scale of the context; with it the text cross-attention is modulated, without it is not.
    prompt_scale_shift_table: Option<Tensor>,
    cross_attention_norm: bool,
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
            eps: config.qk_norm_eps(),
            gated: config.apply_gated_attention,
        };
        let prompt_table = || vb.tensor("prompt_scale_shift_table", [2, dim]);
        let cross = AttentionConfig { context_dim: config.cross_attention_dim, ..attention };
        Ok(Self {
            attn1: Attention::load(&vb.pp("attn1"), attention)?,
            attn2: Attention::load(&vb.pp("attn2"), cross)?,
            ff: FeedForward::load(&vb.pp("ff"), dim, config.ff_bias)?,
            scale_shift_table: vb.tensor("scale_shift_table", [config.adaln_rows(), dim])?,
            prompt_scale_shift_table: config.cross_attention_adaln.then(prompt_table).transpose()?,
            cross_attention_norm: config.cross_attention_norm,
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

        let x = match &self.prompt_scale_shift_table {
            Some(table) => {
                let prompt = match &shared.prompt {
                    Some(prompt) => prompt.plus(table, kernels)?,
                    None => Modulation::new(&table.unsqueeze(0)?, None)?,
                };
                let context = modulate(&shared.context, &prompt, shift_scale(0), kernels)?;
                let y = self.attend_to(&context, &normed(&x, CROSS_ATTENTION)?, taps)?;
                gated(&x, &y, CROSS_ATTENTION)?
            }
            None if self.cross_attention_norm => {
                (&x + self.attend_to(&shared.context, &rms_norm(&x, self.eps, kernels)?, taps)?)?
            }
            None => (&x + self.attend_to(&shared.context, &x, taps)?)?,
        };

        let y = self.ff.forward(&normed(&x, FEED_FORWARD)?)?;
        taps.record("ff_out", || Ok(y.clone()))?;
        let x = gated(&x, &y, FEED_FORWARD)?;
        taps.record("out", || Ok(x.clone()))?;
        Ok(x)
    }

    /// Text cross-attention of `x`, normalised where the family does so.
    fn attend_to(&self, context: &Tensor, x: &Tensor, taps: &Taps) -> Result<Tensor> {
        let y = self.attn2.forward(x, Attend { context: Some(context), ..Attend::default() })?;
        taps.record("attn2_out", || Ok(y.clone()))?;
        Ok(y)
    }
}

/// Shift and scale of a group of rows; its gate, where it has one, is behind them.
fn shift_scale(first: usize) -> ShiftScale {
    ShiftScale { shift: first, scale: first + 1 }
}

#[cfg(test)]
mod families;

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
                modulation: Modulation::new(&random(&[2, 9, 4])?, index)?,
                prompt: Some(Modulation::new(&random(&[1, 2, 4])?, None)?),
                context: random(&[1, 5, 4])?,
                rope: RopeTable::from_tensors([random(&[3, 1, 2])?, random(&[3, 1, 2])?], kernels),
            };
            let others = shared.tensors().iter().map(Tensor::copy).collect::<candle_core::Result<Vec<_>>>()?;
            let (x, other) = (random(&[1, 3, 4])?, shared.with_tensors(&others)?);
            let use_all = |shared: &Shared| -> Result<[Tensor; 4]> {
                let modulated = rms_norm_modulate(&x, &shared.modulation, shift_scale(FEED_FORWARD), 1e-6, kernels)?;
                let Some(prompt) = &shared.prompt else { panic!("the prompt's rows are lost") };
                let context = modulate(&shared.context, prompt, shift_scale(0), kernels)?;
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
