//! Gemma-3's configuration, in both spellings in which `config.json` is published and as llama.cpp's GGUF files state it; absent
//! fields have the defaults of the public model code. Every entry is obeyed, known to change no hidden state, or refused.
//!
//! Must not know tensors, or where a configuration came from.

mod entries;
mod layers;
mod llama;
mod rope;
mod sizes;

pub use llama::LlamaKeys;
pub use sizes::GemmaShapes;

use crate::{
    config::{NO_SUCH_ENTRY, parse, positive, within},
    text_encoder::MAX_TOKENS,
};
use entries::{OUTER, TEXT};
use ltx_nn::{NnError, Result};
use ltx_types::json::alike;
use rope::{Rope, Ropes};
use serde::Deserialize;
use serde_json::{Value, json};

/// Sizes and constants of the language model.
#[derive(Debug, Clone, PartialEq)]
pub struct GemmaConfig {
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the perceptron.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Epsilon of every norm.
    pub rms_norm_eps: f64,
    /// Scores are divided by its square root.
    pub query_pre_attn_scalar: f64,
    /// Keys a sliding layer sees.
    pub sliding_window: usize,
    /// `<pad>`.
    pub pad_token_id: u32,
    /// `<bos>`.
    pub bos_token_id: u32,
    ropes: Ropes,
    /// Of every layer: whether it sees all earlier tokens.
    global: Vec<bool>,
}

/// The entries of `config.json` that are read as they stand.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Stated {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    rms_norm_eps: f64,
    query_pre_attn_scalar: f64,
    sliding_window: usize,
    max_position_embeddings: usize,
    pad_token_id: Option<u32>,
    bos_token_id: u32,
}

impl Default for Stated {
    fn default() -> Self {
        Self {
            vocab_size: 262_208,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            rms_norm_eps: 1e-6,
            query_pre_attn_scalar: 256.0,
            sliding_window: 4096,
            max_position_embeddings: 131_072,
            pad_token_id: Some(0),
            bos_token_id: 2,
        }
    }
}

impl GemmaConfig {
    /// Whether JSON calls itself a Gemma-3 configuration.
    pub fn is_stated_by(config: &Value) -> bool {
        let kind = |config: &Value| matches!(config.get("model_type"), Some(kind) if kind == "gemma3" || kind == "gemma3_text");
        kind(config) || config.get("text_config").is_some_and(kind)
    }

    /// Parses and checks `config.json`: the multimodal form with a `text_config`, or the language model's alone.
    ///
    /// # Errors
    /// It is not a Gemma-3 configuration, has a value that this engine does not implement or an entry that nobody here knows, or
    /// says one thing twice and differently.
    pub fn from_json(config: &Value) -> Result<Self> {
        let text = text_section(config)?;
        TEXT.check(text)?;
        let stated: Stated = parse(text, "text encoder")?;
        stated.check()?;
        let ropes = Ropes::from_json(text)?;
        let global = layers::global(text, stated.num_hidden_layers)?;
        Ok(stated.with(ropes, global))
    }

    /// Whether a layer sees all earlier tokens, or only a window of them.
    pub fn is_global(&self, layer: usize) -> bool {
        self.global.get(layer).copied().unwrap_or(false)
    }

    /// RoPE base and linear scaling of a layer.
    pub fn rope(&self, global: bool) -> (f64, f64) {
        let Rope { theta, factor } = if global { self.ropes.global } else { self.ropes.sliding };
        (theta, factor)
    }

    /// Hidden states that a pass yields: the embedding and one per layer.
    pub fn states(&self) -> usize {
        self.num_hidden_layers + 1
    }

    /// It as `config.json` in the spelling of transformers 5, every entry stated.
    pub fn to_json(&self) -> Value {
        let rope = |Rope { theta, factor }: Rope| match factor {
            1.0 => json!({"rope_type": "default", "rope_theta": theta}),
            factor => json!({"rope_type": "linear", "rope_theta": theta, "factor": factor}),
        };
        json!({
            "model_type": "gemma3_text",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "rms_norm_eps": self.rms_norm_eps,
            "query_pre_attn_scalar": self.query_pre_attn_scalar,
            "sliding_window": self.sliding_window,
            "pad_token_id": self.pad_token_id,
            "bos_token_id": self.bos_token_id,
            "rope_parameters": {
                "full_attention": rope(self.ropes.global),
                "sliding_attention": rope(self.ropes.sliding),
            },
            "layer_types": self.global.iter().map(|global| layers::name(*global)).collect::<Vec<_>>(),
        })
    }
}

/// The language model's section. Outside of it nothing of the language model may stand, unless it says the same.
fn text_section(config: &Value) -> Result<&Value> {
    let kind = |config: &Value| config.get("model_type").and_then(Value::as_str).map(str::to_owned);
    let other = |found: Option<String>| {
        Err(NnError::unsupported("model_type", found.unwrap_or_else(|| "absent".to_owned()), "gemma3_text"))
    };
    let Some(text) = config.get("text_config").filter(|text| !text.is_null()) else {
        return match kind(config).as_deref() {
            Some("gemma3_text" | "gemma3") => Ok(config),
            found => other(found.map(str::to_owned)),
        };
    };
    match (kind(config).as_deref(), kind(text).as_deref()) {
        (Some("gemma3"), None) | (Some("gemma3") | None, Some("gemma3_text" | "gemma3")) => {}
        (Some("gemma3"), inner) => return other(inner.map(str::to_owned)),
        (outer, _) => return other(outer.map(str::to_owned)),
    }
    let Some(inner) = text.as_object() else {
        return Err(NnError::unsupported("text_config", text, "an object"));
    };
    for (key, value) in config.as_object().into_iter().flatten().filter(|(key, _)| !OUTER.contains(&key.as_str())) {
        match inner.get(key) {
            _ if value.is_null() => {}
            Some(within) if alike(within, value) => {}
            Some(within) => return Err(NnError::unsupported(key, value, format!("{within}, as text_config states"))),
            None if TEXT.idle.contains(&key.as_str()) => {}
            None if !TEXT.knows(key) => return Err(NnError::unsupported(key, value, NO_SUCH_ENTRY)),
            None => return Err(NnError::unsupported(key, value, "this entry inside text_config, where it is read")),
        }
    }
    Ok(text)
}

impl Stated {
    fn check(&self) -> Result<()> {
        within("vocab_size", self.vocab_size, 1..=1 << 22)?;
        within("hidden_size", self.hidden_size, 1..=65_536)?;
        within("intermediate_size", self.intermediate_size, 1..=1 << 20)?;
        within("num_hidden_layers", self.num_hidden_layers, 1..=512)?;
        within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        within("num_key_value_heads", self.num_key_value_heads, 1..=self.num_attention_heads)?;
        within("heads per key head", self.num_attention_heads % self.num_key_value_heads, 0..=0)?;
        within("head_dim", self.head_dim, 2..=1024)?;
        within("head_dim (odd)", self.head_dim % 2, 0..=0)?;
        within("sliding_window", self.sliding_window, 1..=usize::MAX)?;
        within("max_position_embeddings", self.max_position_embeddings, MAX_TOKENS..=usize::MAX)?;
        positive("rms_norm_eps", self.rms_norm_eps)?;
        positive("query_pre_attn_scalar", self.query_pre_attn_scalar)
    }

    fn with(self, ropes: Ropes, global: Vec<bool>) -> GemmaConfig {
        let Self { vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, .. } = self;
        let Self { num_key_value_heads, head_dim, rms_norm_eps, query_pre_attn_scalar, sliding_window, .. } = self;
        let Self { pad_token_id, bos_token_id, .. } = self;
        GemmaConfig {
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
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

#[cfg(test)]
mod tests;
