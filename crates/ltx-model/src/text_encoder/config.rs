//! What the two text parts of a checkpoint are: the projection of hidden states and the connector behind it. Both are stated
//! in the `transformer` section; how many hidden states there are, the projection's own width says.
//!
//! Must not know tensors, or the language model.

use crate::config::{
    check_frequency_precision, frequency_precision, parse, positive, require, require_word, within, yes,
};
use ltx_nn::{FrequencyPrecision, NnError, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// The field that says how hidden states are normalised before their projection.
pub(crate) const NORM_TYPE: &str = "text_encoder_norm_type";
/// Each by itself: an RMS norm per token and layer.
pub(crate) const PER_TOKEN_RMS: &str = "per_token_rms";

/// Sizes of the text parts.
#[derive(Debug, Clone)]
pub struct TextConfig {
    /// From hidden states to features.
    pub projection: ProjectionConfig,
    /// From features to the context.
    pub connector: ConnectorConfig,
}

/// How hidden states become features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// RMS norm per token and state, rescaled, projected with biases to the width of the transformer.
    PerTokenRms,
    /// Each state by its mean and its range over all tokens of the prompt, projected without biases to the width of a state.
    ByRange,
}

impl Features {
    /// The key of the projection, within `text_embedding_projection`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::PerTokenRms => "video_aggregate_embed",
            Self::ByRange => "aggregate_embed",
        }
    }
}

/// Sizes of the projection from hidden states to features.
#[derive(Debug, Clone, Copy)]
pub struct ProjectionConfig {
    /// What is projected.
    pub features: Features,
    /// Width of a hidden state.
    pub hidden: usize,
    /// Hidden states, side by side.
    pub states: usize,
    /// Width of the features.
    pub outputs: usize,
}

/// Sizes and constants of the connector.
#[derive(Debug, Clone, Deserialize)]
pub struct ConnectorConfig {
    /// Blocks.
    #[serde(rename = "connector_num_layers")]
    pub layers: usize,
    /// Attention heads.
    #[serde(rename = "connector_num_attention_heads")]
    pub heads: usize,
    /// Width of a head.
    #[serde(rename = "connector_attention_head_dim")]
    pub head_dim: usize,
    /// Maximum position of the RoPE.
    #[serde(rename = "connector_positional_embedding_max_pos")]
    pub max_pos: Vec<f64>,
    /// Learned registers that fill the padded slots.
    #[serde(rename = "connector_num_learnable_registers")]
    pub registers: usize,
    /// Whether every attention has a learned gate per head.
    #[serde(rename = "connector_apply_gated_attention", default)]
    pub gated: bool,
    /// Whether the feed-forward has biases.
    #[serde(rename = "connector_ff_bias", default = "yes")]
    pub ff_bias: bool,
    /// Width of the text encoder's hidden states.
    caption_channels: usize,
    #[serde(default)]
    frequencies_precision: Option<String>,
}

impl TextConfig {
    /// Parses and checks the `transformer` section; `projection_width` are the inputs of the projection's matrix, 0 where it
    /// is in another file.
    ///
    /// # Errors
    /// A field is missing, or has a value that this engine does not implement. Fields that are not known here
    /// [`TransformerConfig`](crate::transformer::TransformerConfig) refuses, whose section it is.
    pub fn from_json(section: &Value, projection_width: usize) -> Result<Self> {
        require(section, "connector_norm_output", &json!(true))?;
        // The authors' code tells by this field; LTX-2, which lacks it, states no norm either.
        let features = match section.get("caption_proj_before_connector").and_then(Value::as_bool) {
            Some(true) => {
                require_word(section, NORM_TYPE, PER_TOKEN_RMS)?;
                Features::PerTokenRms
            }
            _ => {
                require(section, NORM_TYPE, &Value::Null)?;
                Features::ByRange
            }
        };
        check_frequency_precision(section)?;
        let connector: ConnectorConfig = parse(section, "transformer")?;
        connector.check()?;
        let hidden = connector.caption_channels;
        let projection =
            ProjectionConfig { features, hidden, states: projection_width / hidden, outputs: connector.dim() };
        Ok(Self { projection, connector })
    }
}

impl ConnectorConfig {
    fn check(&self) -> Result<()> {
        within("caption_channels", self.caption_channels, 1..=65_536)?;
        within("connector_num_layers", self.layers, 0..=512)?;
        within("connector_num_attention_heads", self.heads, 1..=1024)?;
        within("connector_attention_head_dim", self.head_dim, 2..=1024)?;
        within("connector_num_learnable_registers", self.registers, 1..=1024)?;
        within("connector_positional_embedding_max_pos (axes)", self.max_pos.len(), 1..=1)?;
        self.max_pos.iter().try_for_each(|most| positive("connector_positional_embedding_max_pos", *most))?;
        if self.head_dim % 2 == 1 {
            return Err(NnError::unsupported("connector_attention_head_dim", self.head_dim, "even widths"));
        }
        Ok(())
    }

    /// Width of the connector: heads × head width.
    pub fn dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// How precisely the RoPE grid is computed.
    pub fn frequency_precision(&self) -> FrequencyPrecision {
        frequency_precision(self.frequencies_precision.as_deref())
    }
}
