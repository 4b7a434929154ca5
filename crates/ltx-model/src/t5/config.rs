//! T5's configuration: as `config.json` states it, or what the shapes of its tensors say. Every entry is obeyed, known to change
//! no state of the encoder, or refused.
//!
//! Must not know tensors, or where a configuration came from.

use super::T5Special;
use crate::config::{Entries, parse, positive, require, within};
use candle_core::DType;
use ltx_nn::Result;
use serde::Deserialize;
use serde_json::{Value, json};

/// Sizes and constants of the encoder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct T5Config {
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Width inside the perceptron.
    pub d_ff: usize,
    /// Layers.
    pub num_layers: usize,
    /// Heads.
    pub num_heads: usize,
    /// Buckets that distances between tokens are put into.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// The distance from which on all are in one bucket.
    #[serde(default = "distance")]
    pub relative_attention_max_distance: usize,
    /// Epsilon of every norm.
    #[serde(default = "epsilon")]
    pub layer_norm_epsilon: f64,
    /// `</s>`, which ends every prompt.
    #[serde(default = "end")]
    pub eos_token_id: u32,
    /// `<pad>`.
    #[serde(default)]
    pub pad_token_id: u32,
}

fn buckets() -> usize {
    32
}

fn distance() -> usize {
    128
}

fn epsilon() -> f64 {
    1e-6
}

fn end() -> u32 {
    1
}

/// What the shapes of an encoder say.
#[derive(Debug, Clone, Copy)]
pub struct T5Shapes {
    /// `[tokens, width]` of the embedding.
    pub embedding: [usize; 2],
    /// `[buckets, heads]` of the distances' table.
    pub bias: [usize; 2],
    /// Rows of the query projection.
    pub queries: usize,
    /// Rows of the gate.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
}

const ENTRIES: Entries<'static> = Entries {
    of: "",
    read: &[
        "model_type",
        "vocab_size",
        "d_model",
        "d_kv",
        "d_ff",
        "num_layers",
        "num_heads",
        "relative_attention_num_buckets",
        "relative_attention_max_distance",
        "layer_norm_epsilon",
        "eos_token_id",
        "pad_token_id",
        "feed_forward_proj",
        "dense_act_fn",
    ],
    fixed: &[("is_gated_act", "true"), ("pruned_heads", "{}"), ("is_decoder", "false")],
    // Of training, of the decoder, of generating text, of the library that wrote the file.
    idle: &[
        "_name_or_path",
        "architectures",
        "classifier_dropout",
        "decoder_start_token_id",
        "dropout_rate",
        "dtype",
        "initializer_factor",
        "is_encoder_decoder",
        "n_positions",
        "num_decoder_layers",
        "output_past",
        "scale_decoder_outputs",
        "task_specific_params",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    ],
    idle_heads: &[],
};

impl T5Config {
    /// Whether JSON calls itself a T5 configuration.
    pub fn is_stated_by(config: &Value) -> bool {
        config.get("model_type").is_some_and(|kind| kind == "t5")
    }

    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// It is none of T5 v1.1, or has a value or an entry that is not implemented.
    pub fn from_json(config: &Value) -> Result<Self> {
        require(config, "model_type", &json!("t5"))?;
        require(config, "feed_forward_proj", &json!("gated-gelu"))?;
        if config.get("dense_act_fn").is_some() {
            require(config, "dense_act_fn", &json!("gelu_new"))?;
        }
        ENTRIES.check(config)?;
        let config: Self = parse(config, "T5 text encoder")?;
        config.checked()
    }

    /// What shapes say; constants are those of every published T5 v1.1.
    ///
    /// # Errors
    /// They are no shapes of a T5.
    pub fn from_shapes(shapes: &T5Shapes) -> Result<Self> {
        let T5Shapes { embedding: [vocab_size, d_model], bias: [buckets, heads], queries, inner, layers } = *shapes;
        within("heads", heads, 1..=1024)?;
        within("query rows per head (rest)", queries % heads, 0..=0)?;
        let config = Self {
            vocab_size,
            d_model,
            d_kv: queries / heads,
            d_ff: inner,
            num_layers: layers,
            num_heads: heads,
            relative_attention_num_buckets: buckets,
            relative_attention_max_distance: distance(),
            layer_norm_epsilon: epsilon(),
            eos_token_id: end(),
            pad_token_id: 0,
        };
        config.checked()
    }

    fn checked(self) -> Result<Self> {
        within("vocab_size", self.vocab_size, 1..=1 << 22)?;
        within("d_model", self.d_model, 1..=65_536)?;
        within("d_kv", self.d_kv, 1..=1024)?;
        within("d_ff", self.d_ff, 1..=1 << 20)?;
        within("num_layers", self.num_layers, 1..=512)?;
        within("num_heads", self.num_heads, 1..=1024)?;
        within("relative_attention_num_buckets", self.relative_attention_num_buckets, 4..=4096)?;
        within("relative_attention_num_buckets (rest by 4)", self.relative_attention_num_buckets % 4, 0..=0)?;
        let exact = self.relative_attention_num_buckets / 4;
        within("relative_attention_max_distance", self.relative_attention_max_distance, exact + 1..=1 << 20)?;
        positive("layer_norm_epsilon", self.layer_norm_epsilon)?;
        Ok(self)
    }

    /// Ids of the tokens that are no text.
    pub fn special(&self) -> T5Special {
        T5Special { eos: self.eos_token_id, pad: self.pad_token_id }
    }

    /// What it is computed in where the model is computed in `dtype`: its states leave the range of f16.
    pub fn compute_dtype(dtype: DType) -> DType {
        if dtype == DType::F16 { DType::F32 } else { dtype }
    }

    /// Width of all heads together.
    pub fn inner(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// It as `config.json`, every entry that is read stated.
    pub fn to_json(&self) -> Value {
        json!({
            "model_type": "t5",
            "feed_forward_proj": "gated-gelu",
            "dense_act_fn": "gelu_new",
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "d_kv": self.d_kv,
            "d_ff": self.d_ff,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "relative_attention_num_buckets": self.relative_attention_num_buckets,
            "relative_attention_max_distance": self.relative_attention_max_distance,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "eos_token_id": self.eos_token_id,
            "pad_token_id": self.pad_token_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated() -> Value {
        let file = ltx_testkit::tiny("../ltxv-tiny/text_encoder/config.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    #[test]
    fn a_configuration_is_read_and_another_is_refused_by_name() {
        let config = T5Config::from_json(&stated()).unwrap();
        assert_eq!((config.d_model, config.inner(), config.num_layers, config.eos_token_id), (32, 32, 2, 1));
        assert_eq!(T5Config::from_json(&config.to_json()).unwrap(), config);
        let shapes = T5Shapes { embedding: [121, 32], bias: [32, 4], queries: 32, inner: 64, layers: 2 };
        assert_eq!(T5Config::from_shapes(&shapes).unwrap(), config);
        for (field, value) in [
            ("model_type", json!("mt5")),
            ("feed_forward_proj", json!("relu")),
            ("dense_act_fn", json!("relu")),
            ("is_gated_act", json!(false)),
            ("relative_attention_num_buckets", json!(30)),
            ("num_heads", json!(0)),
            ("something_new", json!(1)),
        ] {
            let mut config = stated();
            config[field] = value;
            assert!(T5Config::from_json(&config).unwrap_err().to_string().contains(field), "{field}");
        }
    }
}
