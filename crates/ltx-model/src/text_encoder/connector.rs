//! The connector: a small transformer over all 1,024 slots, the empty ones filled with learned registers.
//! Source: the public `ltx_core` reference, `text_encoders/gemma/embeddings_connector.py`.
//!
//! Must not know the tokenizer.

use super::{ConnectorConfig, MAX_TOKENS};
use crate::{
    attention::{Attend, Attention, AttentionConfig},
    layers::Layers,
    part::Module,
    transformer::Transformer,
};
use candle_core::Tensor;
use ltx_nn::{FeedForward, KernelChoice, NnError, Result, RopeTable, Taps, Vb, fractional_rope_table, rms_norm};
use ltx_types::Part;

const EPS: f64 = 1e-6;

/// `model.diffusion_model.video_embeddings_connector`.
pub struct Connector {
    blocks: Layers<Block>,
    count: usize,
    registers: Tensor,
    rope: RopeTable,
    kernels: KernelChoice,
}

struct Block {
    attn1: Attention,
    ff: FeedForward,
    kernels: KernelChoice,
}

impl Module for Connector {
    const PART: Part = Part::TextConnector;
    const MARK: &'static str = "model.diffusion_model.video_embeddings_connector.";
    type Config = ConnectorConfig;

    fn load(root: &Vb, config: &ConnectorConfig) -> Result<Self> {
        let connector = Self::open(root, config, true)?;
        connector.load_held()?;
        Ok(connector)
    }
}

impl Connector {
    /// Loads all but the blocks from the root of a checkpoint. Those are loaded by the first pass if they are to stay, by every
    /// pass if not.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn open(root: &Vb, config: &ConnectorConfig, stays: bool) -> Result<Self> {
        let vb = root.exact().pp(Transformer::PREFIX).pp("video_embeddings_connector");
        let ConnectorConfig { heads, head_dim, gated, ff_bias, layers: count, .. } = *config;
        let dim = config.dim();
        let attention = AttentionConfig { query_dim: dim, context_dim: dim, heads, head_dim, eps: EPS, gated };
        let load = move |vb: &Vb, _| {
            Ok(Block {
                attn1: Attention::load(&vb.pp("attn1"), attention)?,
                ff: FeedForward::load(&vb.pp("ff"), dim, ff_bias)?,
                kernels: vb.compute().kernels,
            })
        };
        let positions = vec![(0..MAX_TOKENS).map(|i| i as f32).collect::<Vec<f32>>()];
        // The connector keeps the reference's own default base; the configuration names none for it.
        let grid = (10_000.0, config.frequency_precision());
        let maximum = &config.max_pos;
        Ok(Self {
            blocks: Layers::new(vb.pp("transformer_1d_blocks"), (count, if stays { count } else { 0 }), load),
            count,
            registers: vb.tensor("learnable_registers", [config.registers, dim])?,
            rope: fractional_rope_table(&positions, maximum, grid, (dim, heads), vb.compute())?,
            kernels: vb.compute().kernels,
        })
    }

    pub(super) fn load_held(&self) -> Result<()> {
        self.blocks.load_held()
    }

    /// Blocks.
    pub(super) fn layers(&self) -> usize {
        self.count
    }

    /// Slot i beyond the tokens gets register i modulo their number; every slot is attended. All prompts go through a block
    /// before the next block; `before_block` is told each one's number and may stop the work. `taps` are one per prompt.
    ///
    /// # Shapes
    /// Features `[1, n, dim]` of each prompt's real tokens → contexts `[1, 1024, dim]`.
    ///
    /// # Errors
    /// More than 1,024 tokens; a block cannot be loaded; `before_block` failed.
    pub fn forward<E: From<NnError>>(
        &self,
        features: Vec<Tensor>,
        taps: &[Taps],
        before_block: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Vec<Tensor>, E> {
        let mut states = Vec::with_capacity(features.len());
        for (features, taps) in features.into_iter().zip(taps) {
            taps.record("connector_rope_cos", || Ok(self.rope.per_head()?.0))?;
            taps.record("connector_rope_sin", || Ok(self.rope.per_head()?.1))?;
            let x = self.with_registers(&features)?;
            taps.record("video_with_registers", || Ok(x.clone()))?;
            states.push(x);
        }
        self.blocks.for_each(before_block, |i, block| {
            for (x, taps) in states.iter_mut().zip(taps) {
                *x = block.forward(x, &self.rope)?;
                taps.record(&format!("block{i}"), || Ok(x.clone()))?;
            }
            Ok(())
        })?;
        Ok(states.iter().map(|x| rms_norm(x, EPS, self.kernels)).collect::<Result<_>>()?)
    }

    fn with_registers(&self, features: &Tensor) -> Result<Tensor> {
        let (tokens, count) = (features.dim(1)?, self.registers.dim(0)?);
        if tokens >= MAX_TOKENS {
            return Ok(features.clone());
        }
        let slots: Vec<u32> = (tokens..MAX_TOKENS).map(|slot| (slot % count) as u32).collect();
        let slots = Tensor::from_vec(slots, MAX_TOKENS - tokens, features.device())?;
        let filling = self.registers.index_select(&slots, 0)?.unsqueeze(0)?;
        Ok(Tensor::cat(&[features, &filling], 1)?)
    }
}

impl Block {
    fn forward(&self, x: &Tensor, rope: &RopeTable) -> Result<Tensor> {
        let attend = Attend { rope: Some(rope), ..Attend::default() };
        let x = (self.attn1.forward(&rms_norm(x, EPS, self.kernels)?, attend)? + x)?;
        Ok((self.ff.forward(&rms_norm(&x, EPS, self.kernels)?)? + x)?)
    }
}
