//! The connector: a small transformer over all 1,024 slots, the empty ones filled with learned registers.
//! Source: the public `ltx_core` reference, `text_encoders/gemma/embeddings_connector.py`.
//!
//! Must not know the tokenizer.

use super::MAX_TOKENS;
use crate::{
    attention::{Attend, AttentionConfig, GatedAttention},
    transformer::TransformerConfig,
};
use candle_core::Tensor;
use ltx_nn::{FeedForward, Result, RopeTable, Taps, Vb, fractional_rope_table, rms_norm};

const EPS: f64 = 1e-6;

/// `model.diffusion_model.video_embeddings_connector`.
pub struct Connector {
    blocks: Vec<Block>,
    registers: Tensor,
    rope: RopeTable,
}

struct Block {
    attn1: GatedAttention,
    ff: FeedForward,
}

impl Connector {
    /// Loads from `vb` at the transformer's prefix.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn load(vb: &Vb, config: &TransformerConfig) -> Result<Self> {
        let vb = vb.exact().pp("video_embeddings_connector");
        let dim = config.connector_dim();
        let heads = config.connector_num_attention_heads;
        let head_dim = config.connector_attention_head_dim;
        let attention = AttentionConfig { query_dim: dim, context_dim: dim, heads, head_dim, eps: EPS };
        let block = |i: usize| {
            let vb = vb.pp("transformer_1d_blocks").pp(i.to_string());
            Ok(Block {
                attn1: GatedAttention::load(&vb.pp("attn1"), attention)?,
                ff: FeedForward::load(&vb.pp("ff"), dim, true)?,
            })
        };
        let positions = vec![(0..MAX_TOKENS).map(|i| i as f32).collect::<Vec<f32>>()];
        // The connector keeps the reference's own default base; the configuration names none for it.
        let grid = (10_000.0, config.frequency_precision());
        let maximum = &config.connector_positional_embedding_max_pos;
        Ok(Self {
            blocks: (0..config.connector_num_layers).map(block).collect::<Result<_>>()?,
            registers: vb.tensor("learnable_registers", [config.connector_num_learnable_registers, dim])?,
            rope: fractional_rope_table(&positions, maximum, grid, (dim, heads), vb.compute())?,
        })
    }

    /// Slot i beyond the tokens gets register i modulo their number; every slot is attended.
    ///
    /// # Shapes
    /// Features `[1, n, dim]` of the real tokens → context `[1, 1024, dim]`.
    ///
    /// # Errors
    /// More than 1,024 tokens.
    pub fn forward(&self, features: &Tensor, taps: &Taps) -> Result<Tensor> {
        taps.record("connector_rope_cos", || Ok(self.rope.per_head()?.0))?;
        taps.record("connector_rope_sin", || Ok(self.rope.per_head()?.1))?;
        let mut x = self.with_registers(features)?;
        taps.record("video_with_registers", || Ok(x.clone()))?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &self.rope)?;
            taps.record(&format!("block{i}"), || Ok(x.clone()))?;
        }
        rms_norm(&x, EPS)
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
        let x = (self.attn1.forward(&rms_norm(x, EPS)?, attend)? + x)?;
        Ok((self.ff.forward(&rms_norm(&x, EPS)?)? + x)?)
    }
}
