//! Gemma-3's configuration, from `config.json`; absent fields have the defaults of the public model code.
//!
//! Must not know tensors.

use crate::config::{parse, within};
use ltx_nn::{NnError, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// Sizes and constants of the language model.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
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
    /// RoPE base of global layers.
    pub rope_theta: f64,
    /// RoPE base of sliding layers.
    pub rope_local_base_freq: f64,
    /// Scores are divided by its square root.
    pub query_pre_attn_scalar: f64,
    /// Keys a sliding layer sees.
    pub sliding_window: usize,
    /// Every so many layers one is global.
    pub sliding_window_pattern: usize,
    /// `<pad>`.
    pub pad_token_id: u32,
    /// `<bos>`.
    pub bos_token_id: u32,
    rope_scaling: Option<RopeScaling>,
    layer_types: Option<Vec<String>>,
    hidden_activation: String,
    attention_bias: bool,
    attn_logit_softcapping: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
struct RopeScaling {
    factor: f64,
    #[serde(alias = "type")]
    rope_type: String,
}

impl Default for GemmaConfig {
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
            rope_theta: 1_000_000.0,
            rope_local_base_freq: 10_000.0,
            query_pre_attn_scalar: 256.0,
            sliding_window: 4096,
            sliding_window_pattern: 6,
            pad_token_id: 0,
            bos_token_id: 2,
            rope_scaling: None,
            layer_types: None,
            hidden_activation: "gelu_pytorch_tanh".to_owned(),
            attention_bias: false,
            attn_logit_softcapping: None,
        }
    }
}

impl GemmaConfig {
    /// Parses and checks `config.json`: the multimodal form with a `text_config`, or the language model's alone.
    ///
    /// # Errors
    /// It is not a Gemma-3 configuration, or has a value that this engine does not implement.
    pub fn from_json(config: &Value) -> Result<Self> {
        let text = config.get("text_config").unwrap_or(config);
        match text.get("model_type").and_then(Value::as_str) {
            Some("gemma3_text" | "gemma3") => {}
            other => return Err(NnError::unsupported("model_type", other.unwrap_or("absent"), "gemma3_text")),
        }
        let config: Self = parse(text, "text encoder")?;
        within("vocab_size", config.vocab_size, 1..=1 << 22)?;
        within("hidden_size", config.hidden_size, 1..=65_536)?;
        within("intermediate_size", config.intermediate_size, 1..=1 << 20)?;
        within("num_hidden_layers", config.num_hidden_layers, 1..=512)?;
        within("num_attention_heads", config.num_attention_heads, 1..=1024)?;
        within("num_key_value_heads", config.num_key_value_heads, 1..=config.num_attention_heads)?;
        within("heads per key head", config.num_attention_heads % config.num_key_value_heads, 0..=0)?;
        within("head_dim", config.head_dim, 2..=1024)?;
        within("head_dim (odd)", config.head_dim % 2, 0..=0)?;
        within("sliding_window_pattern", config.sliding_window_pattern, 1..=512)?;
        if config.hidden_activation != "gelu_pytorch_tanh" {
            return Err(NnError::unsupported("hidden_activation", config.hidden_activation, "gelu_pytorch_tanh"));
        }
        if config.attention_bias || config.attn_logit_softcapping.is_some() {
            return Err(NnError::unsupported("attention_bias or attn_logit_softcapping", "set", "neither"));
        }
        match &config.rope_scaling {
            Some(scaling) if scaling.rope_type != "linear" => {
                Err(NnError::unsupported("rope_scaling.rope_type", &scaling.rope_type, "linear"))
            }
            _ => Ok(config),
        }
    }

    /// From what llama.cpp's GGUF files state under `gemma3.`; `stated` finds a value by the rest of its key. What they leave
    /// out is the same for every Gemma-3: the local RoPE base, one global layer in six, and scores divided by the square
    /// root of the head's width (27B has another divisor and is refused).
    ///
    /// # Errors
    /// A value is missing or is no number; or as [`Self::from_json`].
    pub fn from_llama(stated: impl Fn(&str) -> Option<String>, vocabulary: usize) -> Result<Self> {
        let real = |key: &str| {
            let text = stated(key).unwrap_or_else(|| "absent".to_owned());
            text.parse().map_err(|_| NnError::unsupported(format!("gemma3.{key}"), text, "a number"))
        };
        let whole = |key: &str| real(key).map(|number: f64| number as u64);
        let layers = whole("block_count")?;
        if layers == 62 {
            return Err(NnError::unsupported("gemma3.block_count", layers, "another Gemma-3 than 27B"));
        }
        let scaling = stated("rope.scaling.factor").is_some();
        let scaling = scaling.then(|| real("rope.scaling.factor")).transpose()?;
        Self::from_json(&json!({
            "model_type": "gemma3_text",
            "vocab_size": vocabulary,
            "hidden_size": whole("embedding_length")?,
            "intermediate_size": whole("feed_forward_length")?,
            "num_hidden_layers": layers,
            "num_attention_heads": whole("attention.head_count")?,
            "num_key_value_heads": whole("attention.head_count_kv")?,
            "head_dim": whole("attention.key_length")?,
            "rms_norm_eps": real("attention.layer_norm_rms_epsilon")?,
            "rope_theta": real("rope.freq_base")?,
            "query_pre_attn_scalar": real("attention.key_length")?,
            "sliding_window": whole("attention.sliding_window")?,
            "rope_scaling": scaling.map(|factor| json!({"factor": factor, "rope_type": "linear"})),
        }))
    }

    /// Whether a layer sees all earlier tokens, or only a window of them.
    pub fn is_global(&self, layer: usize) -> bool {
        match self.layer_types.as_ref().and_then(|types| types.get(layer)) {
            Some(kind) => kind == "full_attention",
            None => (layer + 1).is_multiple_of(self.sliding_window_pattern),
        }
    }

    /// RoPE base and linear scaling of a layer.
    pub fn rope(&self, global: bool) -> (f64, f64) {
        if global {
            (self.rope_theta, self.rope_scaling.as_ref().map_or(1.0, |scaling| scaling.factor))
        } else {
            (self.rope_local_base_freq, 1.0)
        }
    }

    /// Hidden states that a pass yields: the embedding and one per layer.
    pub fn states(&self) -> usize {
        self.num_hidden_layers + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_cpp_states_the_12b_configuration() {
        let stated = |key: &str| {
            let value = match key {
                "block_count" => "48",
                "embedding_length" => "3840",
                "feed_forward_length" => "15360",
                "attention.head_count" => "16",
                "attention.head_count_kv" => "8",
                "attention.key_length" => "256",
                "attention.layer_norm_rms_epsilon" => "0.000001",
                "attention.sliding_window" => "1024",
                "rope.freq_base" => "1000000",
                "rope.scaling.factor" => "8",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = GemmaConfig::from_llama(stated, 262_144).unwrap();
        assert_eq!((config.vocab_size, config.num_hidden_layers, config.hidden_size), (262_144, 48, 3840));
        assert_eq!((config.rope(true), config.rope(false)), ((1e6, 8.0), (1e4, 1.0)));
        assert!((config.is_global(5), config.is_global(6)) == (true, false) && config.query_pre_attn_scalar == 256.0);
        let without = |missing: &'static str| GemmaConfig::from_llama(|key| stated(key).filter(|_| key != missing), 8);
        assert!(without("attention.head_count").unwrap_err().to_string().contains("gemma3.attention.head_count"));
        assert_eq!(without("rope.scaling.factor").unwrap().rope(true), (1e6, 1.0));
    }
}
