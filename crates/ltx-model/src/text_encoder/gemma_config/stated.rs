//! The numbers that `config.json` states as they are read, with the defaults of the public model code, and their bounds.
//!
//! Must not know tensors.

use super::{AttentionSizes, GemmaConfig, Generation, rope::Ropes};
use crate::{
    config::{parse, positive, within},
    text_encoder::MAX_TOKENS,
};
use ltx_nn::Result;
use serde::Deserialize;
use serde_json::{Value, json};

/// Entries that have no default here.
#[derive(Debug, Deserialize)]
pub(super) struct Stated {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    rms_norm_eps: f64,
    query_pre_attn_scalar: f64,
    sliding_window: usize,
    max_position_embeddings: usize,
    pad_token_id: Option<u32>,
    bos_token_id: u32,
    #[serde(default)]
    global_head_dim: Option<usize>,
    #[serde(default)]
    num_global_key_value_heads: Option<usize>,
    #[serde(default)]
    attention_k_eq_v: Option<bool>,
}

/// What absent entries mean.
fn defaults(generation: Generation) -> Value {
    let mut defaults = json!({
        "vocab_size": 262_208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 256.0,
        "sliding_window": 4096,
        "max_position_embeddings": 131_072,
        "pad_token_id": 0,
        "bos_token_id": 2,
    });
    if generation == Generation::Four {
        let own = json!({
            "vocab_size": 262_144,
            "num_hidden_layers": 30,
            "sliding_window": 1024,
            "max_position_embeddings": 262_144,
            "global_head_dim": 512,
            // Queries and keys are normalised; scores are taken as they are.
            "query_pre_attn_scalar": 1.0,
        });
        for (entry, value) in own.as_object().into_iter().flatten() {
            defaults[entry] = value.clone();
        }
    }
    defaults
}

impl Stated {
    /// # Errors
    /// An entry is of another type, or out of its bounds.
    pub(super) fn from_json(text: &Value, generation: Generation) -> Result<Self> {
        let mut entries = defaults(generation);
        for (entry, value) in text.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            entries[entry] = value.clone();
        }
        let stated: Self = parse(&entries, "text encoder")?;
        stated.check()?;
        Ok(stated)
    }

    fn check(&self) -> Result<()> {
        within("vocab_size", self.vocab_size, 1..=1 << 22)?;
        within("hidden_size", self.hidden_size, 1..=65_536)?;
        within("intermediate_size", self.intermediate_size, 1..=1 << 20)?;
        within("num_hidden_layers", self.num_hidden_layers, 1..=512)?;
        within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        let heads = |field: &str, heads: usize| {
            within(field, heads, 1..=self.num_attention_heads)?;
            within("heads per key head", self.num_attention_heads % heads, 0..=0)
        };
        heads("num_key_value_heads", self.num_key_value_heads)?;
        self.num_global_key_value_heads.map_or(Ok(()), |count| heads("num_global_key_value_heads", count))?;
        let width = |field: &str, width: usize| {
            within(field, width, 2..=1024)?;
            within(&format!("{field} (odd)"), width % 2, 0..=0)
        };
        width("head_dim", self.head_dim)?;
        self.global_head_dim.map_or(Ok(()), |global| width("global_head_dim", global))?;
        within("sliding_window", self.sliding_window, 1..=usize::MAX)?;
        within("max_position_embeddings", self.max_position_embeddings, MAX_TOKENS..=usize::MAX)?;
        positive("rms_norm_eps", self.rms_norm_eps)?;
        positive("query_pre_attn_scalar", self.query_pre_attn_scalar)
    }

    /// The attention of global layers: as that of the others, with a head width of its own and, where keys are values, a number
    /// of heads of its own.
    fn global_attention(&self) -> AttentionSizes {
        let keys_are_values = self.attention_k_eq_v.unwrap_or(false);
        let own = self.num_global_key_value_heads.filter(|_| keys_are_values);
        AttentionSizes {
            head_dim: self.global_head_dim.unwrap_or(self.head_dim),
            key_value_heads: own.unwrap_or(self.num_key_value_heads),
            keys_are_values,
        }
    }

    pub(super) fn with(self, generation: Generation, ropes: Ropes, global: Vec<bool>) -> GemmaConfig {
        let global_attention = self.global_attention();
        let Self { vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, .. } = self;
        let Self { num_key_value_heads, head_dim, rms_norm_eps, query_pre_attn_scalar, sliding_window, .. } = self;
        let Self { pad_token_id, bos_token_id, .. } = self;
        GemmaConfig {
            generation,
            gemma_version: None,
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            global_attention,
            rms_norm_eps,
            query_pre_attn_scalar,
            sliding_window,
            pad_token_id: pad_token_id.unwrap_or(0),
            bos_token_id,
            ropes,
            global,
        }
    }
}
