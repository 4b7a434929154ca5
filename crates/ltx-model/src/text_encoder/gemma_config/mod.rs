//! Gemma's configuration, in the spellings in which `config.json` is published and as llama.cpp's GGUF files state it; absent
//! fields have the defaults of the public model code. Generations differ in values ([`Generation`]). Every entry is obeyed, known to change no hidden state, or refused.
//!
//! Must not know tensors, or where a configuration came from.

mod entries;
mod generation;
mod layers;
mod llama;
mod rope;
mod sizes;
mod stated;

pub use generation::{AttentionSizes, Generation};
pub use llama::{LlamaKeys, UnstatedFactor};
pub use rope::Rope;
pub use sizes::GemmaShapes;

use crate::config::NO_SUCH_ENTRY;
use entries::OUTER;
use ltx_nn::{NnError, Result};
use ltx_types::json::alike;
use rope::Ropes;
use serde_json::{Value, json};
use stated::Stated;

/// Sizes and constants of the language model.
#[derive(Debug, Clone, PartialEq)]
pub struct GemmaConfig {
    /// Which generation it is of.
    pub generation: Generation,
    /// What the authors of a fine-tuned model call it, where it states that.
    pub gemma_version: Option<String>,
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
    /// Key and value heads of sliding layers.
    pub num_key_value_heads: usize,
    /// Width of a head in sliding layers.
    pub head_dim: usize,
    /// The attention of global layers.
    global_attention: AttentionSizes,
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

impl GemmaConfig {
    /// Whether JSON calls itself a configuration of a Gemma that is known here.
    pub fn is_stated_by(config: &Value) -> bool {
        let known = |config: &Value| kind(config).is_some_and(|kind| Generation::of_type(kind).is_some());
        known(config) || config.get("text_config").is_some_and(known)
    }

    /// Parses and checks `config.json`: the multimodal form with a `text_config`, or the language model's alone.
    ///
    /// # Errors
    /// It is not a configuration of a Gemma that is known here, has a value that this engine does not implement or an entry that nobody here knows, or
    /// says one thing twice and differently.
    pub fn from_json(config: &Value) -> Result<Self> {
        let (text, generation) = text_section(config)?;
        entries::text(generation).check(text)?;
        let stated = Stated::from_json(text, generation)?;
        let ropes = Ropes::from_json(text, generation)?;
        let global = layers::global(text, generation, stated.num_hidden_layers)?;
        let named = [config, text].into_iter().find_map(|part| part.get("gemma_version")?.as_str());
        Ok(Self { gemma_version: named.map(str::to_owned), ..stated.with(generation, ropes, global) })
    }

    /// Whether a layer sees all earlier tokens, or only a window of them.
    pub fn is_global(&self, layer: usize) -> bool {
        self.global.get(layer).copied().unwrap_or(false)
    }

    /// RoPE of a layer.
    pub fn rope(&self, global: bool) -> Rope {
        if global { self.ropes.global } else { self.ropes.sliding }
    }

    /// The attention of a layer.
    pub fn attention(&self, global: bool) -> AttentionSizes {
        let Self { head_dim, num_key_value_heads: key_value_heads, global_attention, .. } = *self;
        if global { global_attention } else { AttentionSizes { head_dim, key_value_heads, keys_are_values: false } }
    }

    /// Hidden states that a pass yields: the embedding and one per layer.
    pub fn states(&self) -> usize {
        self.num_hidden_layers + 1
    }

    /// It as `config.json` in the spelling of transformers 5, every entry stated.
    pub fn to_json(&self) -> Value {
        let rope = |Rope { theta, factor, share }: Rope| match (factor, share) {
            (factor, share) if share != 1.0 => json!({
                "rope_type": "proportional", "rope_theta": theta, "factor": factor, "partial_rotary_factor": share,
            }),
            (1.0, _) => json!({"rope_type": "default", "rope_theta": theta}),
            (factor, _) => json!({"rope_type": "linear", "rope_theta": theta, "factor": factor}),
        };
        let mut config = json!({
            "model_type": self.generation.text_type(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "rms_norm_eps": self.rms_norm_eps,
            "sliding_window": self.sliding_window,
            "pad_token_id": self.pad_token_id,
            "bos_token_id": self.bos_token_id,
            "rope_parameters": {
                "full_attention": rope(self.ropes.global),
                "sliding_attention": rope(self.ropes.sliding),
            },
            "layer_types": self.global.iter().map(|global| layers::name(*global)).collect::<Vec<_>>(),
        });
        let AttentionSizes { head_dim, key_value_heads, keys_are_values } = self.global_attention;
        match self.generation {
            Generation::Three => config["query_pre_attn_scalar"] = json!(self.query_pre_attn_scalar),
            Generation::Four => {
                config["global_head_dim"] = json!(head_dim);
                config["num_global_key_value_heads"] = json!(key_value_heads);
                config["attention_k_eq_v"] = json!(keys_are_values);
                config["gemma_version"] = json!(self.gemma_version);
            }
        }
        config
    }
}

fn kind(config: &Value) -> Option<&str> {
    config.get("model_type").and_then(Value::as_str)
}

/// The language model's section, and its generation. Outside of it nothing of the language model may stand, unless it says the
/// same.
fn text_section(config: &Value) -> Result<(&Value, Generation)> {
    let other = |found: Option<&str>| {
        let supported = [Generation::Three, Generation::Four].map(Generation::text_type).join(" or ");
        Err(NnError::unsupported("model_type", found.unwrap_or("absent"), supported))
    };
    let Some(text) = config.get("text_config").filter(|text| !text.is_null()) else {
        return match kind(config).and_then(Generation::of_type) {
            Some(generation) => Ok((config, generation)),
            None => other(kind(config)),
        };
    };
    let [outer, inner] = [config, text].map(|part| kind(part).and_then(Generation::of_type));
    let is_whole = |generation: Generation| kind(config) == generation.types().first().copied();
    let generation = match (outer, inner) {
        (Some(outer), _) if !is_whole(outer) => return other(kind(config)),
        (Some(outer), None) if kind(text).is_none() => outer,
        (Some(outer), Some(inner)) if outer == inner => outer,
        (Some(_), _) => return other(kind(text)),
        (None, Some(inner)) if kind(config).is_none() => inner,
        (None, _) => return other(kind(config)),
    };
    let Some(inner) = text.as_object() else {
        return Err(NnError::unsupported("text_config", text, "an object"));
    };
    let known = entries::text(generation);
    for (key, value) in config.as_object().into_iter().flatten().filter(|(key, _)| !OUTER.contains(&key.as_str())) {
        match inner.get(key) {
            _ if value.is_null() => {}
            Some(within) if alike(within, value) => {}
            Some(within) => return Err(NnError::unsupported(key, value, format!("{within}, as text_config states"))),
            None if known.idle.contains(&key.as_str()) => {}
            None if !known.knows(key) => return Err(NnError::unsupported(key, value, NO_SUCH_ENTRY)),
            None => return Err(NnError::unsupported(key, value, "this entry inside text_config, where it is read")),
        }
    }
    Ok((text, generation))
}

#[cfg(test)]
mod tests;
