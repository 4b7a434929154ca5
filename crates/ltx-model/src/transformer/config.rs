//! The transformer's and the text connector's configuration, as the checkpoint's `transformer` section states it.
//!
//! Must not know tensors.

use crate::config::{parse, require, within};
use ltx_nn::{FrequencyPrecision, NnError, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// Sizes and constants of the video stream.
#[derive(Debug, Clone, Deserialize)]
pub struct TransformerConfig {
    /// Transformer blocks.
    pub num_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of a head.
    pub attention_head_dim: usize,
    /// Latent channels in.
    pub in_channels: usize,
    /// Latent channels out.
    pub out_channels: usize,
    /// Width of the text context.
    pub cross_attention_dim: usize,
    /// Epsilon of every norm.
    pub norm_eps: f64,
    /// Base of the RoPE grid.
    pub positional_embedding_theta: f64,
    /// Maximum of each axis: seconds, pixels, pixels.
    pub positional_embedding_max_pos: Vec<f64>,
    /// Multiplies timesteps, 0..1, before their embedding.
    pub timestep_scale_multiplier: f64,
    /// Width of the text encoder's hidden states.
    pub caption_channels: usize,
    /// Blocks of the text connector.
    pub connector_num_layers: usize,
    /// Heads of the text connector.
    pub connector_num_attention_heads: usize,
    /// Width of a connector head.
    pub connector_attention_head_dim: usize,
    /// Maximum position of the connector's RoPE.
    pub connector_positional_embedding_max_pos: Vec<f64>,
    /// Learned registers that fill the padded slots.
    pub connector_num_learnable_registers: usize,
    /// `float64` where the RoPE grid is computed in double precision.
    #[serde(default)]
    frequencies_precision: Option<String>,
}

impl TransformerConfig {
    /// Parses and checks the `transformer` section.
    ///
    /// # Errors
    /// A field is missing, or has a value that this engine does not implement (another generation's architecture).
    pub fn from_json(section: &Value) -> Result<Self> {
        for (field, supported) in [
            ("_class_name", json!("AVTransformer3DModel")),
            ("activation_fn", json!("gelu-approximate")),
            ("cross_attention_adaln", json!(true)),
            ("apply_gated_attention", json!(true)),
            ("connector_apply_gated_attention", json!(true)),
            ("connector_norm_output", json!(true)),
            ("caption_proj_before_connector", json!(true)),
            ("text_encoder_norm_type", json!("per_token_rms")),
            ("qk_norm", json!("rms_norm")),
            ("standardization_norm", json!("rms_norm")),
            ("rope_type", json!("split")),
            ("use_middle_indices_grid", json!(true)),
            ("causal_temporal_positioning", json!(true)),
        ] {
            require(section, field, &supported)?;
        }
        for field in ["use_keyframes_abs_pos_embedding", "use_prompt_adaln_single", "ff_bias", "connector_ff_bias"] {
            let usual = json!(!field.starts_with("use_keyframes"));
            if section.get(field).is_some() {
                require(section, field, &usual)?;
            }
        }
        let config: Self = parse(section, "transformer")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        within("num_layers", self.num_layers, 1..=512)?;
        within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        within("attention_head_dim", self.attention_head_dim, 2..=1024)?;
        within("in_channels", self.in_channels, 1..=4096)?;
        within("out_channels", self.out_channels, self.in_channels..=self.in_channels)?;
        within("caption_channels", self.caption_channels, 1..=65_536)?;
        within("connector_num_layers", self.connector_num_layers, 0..=512)?;
        within("connector_num_attention_heads", self.connector_num_attention_heads, 1..=1024)?;
        within("connector_attention_head_dim", self.connector_attention_head_dim, 2..=1024)?;
        within("connector_num_learnable_registers", self.connector_num_learnable_registers, 1..=1024)?;
        within("cross_attention_dim", self.cross_attention_dim, self.inner_dim()..=self.inner_dim())?;
        within("connector width", self.connector_dim(), self.cross_attention_dim..=self.cross_attention_dim)?;
        within("positional_embedding_max_pos (axes)", self.positional_embedding_max_pos.len(), 3..=3)?;
        let axes = self.connector_positional_embedding_max_pos.len();
        within("connector_positional_embedding_max_pos (axes)", axes, 1..=1)?;
        if self.attention_head_dim % 2 == 1 || self.connector_attention_head_dim % 2 == 1 {
            return Err(NnError::unsupported("attention_head_dim", self.attention_head_dim, "even widths"));
        }
        Ok(())
    }

    /// Width of the residual stream: heads × head width.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Width of the text connector.
    pub fn connector_dim(&self) -> usize {
        self.connector_num_attention_heads * self.connector_attention_head_dim
    }

    /// How precisely the RoPE grid is computed.
    pub fn frequency_precision(&self) -> FrequencyPrecision {
        match self.frequencies_precision.as_deref() {
            Some("float64") => FrequencyPrecision::F64,
            _ => FrequencyPrecision::F32,
        }
    }
}
