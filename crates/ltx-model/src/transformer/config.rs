//! The transformer's configuration, as the checkpoint's `transformer` section states it. What differs between families is a
//! value here; a value that is not implemented is refused by field.
//!
//! Must not know tensors, or which family has which values.

use super::SECTION;
use crate::config::{check_frequency_precision, frequency_precision, parse, positive, require, within, yes};
use ltx_nn::{FrequencyPrecision, NnError, Result, RopePairs};
use serde::Deserialize;
use serde_json::{Value, json};

/// The class of LTX-2 and later, and of LTX-Video 0.9.x before it.
const CLASSES: [&str; 2] = ["AVTransformer3DModel", "Transformer3DModel"];
/// Epsilon of the norms of queries and keys of LTX-Video 0.9.x, which no entry states.
const QK_NORM_EPS: f64 = 1e-5;

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
    /// Epsilon of every norm; of LTX-Video 0.9.x but those of queries and keys.
    pub norm_eps: f64,
    /// Epsilon of the norms of queries and keys, where it is another.
    #[serde(skip)]
    qk_norm_eps: Option<f64>,
    /// Which values of a head rotate against each other.
    #[serde(skip, default = "halves")]
    pub rope_pairs: RopePairs,
    /// Width of the text states that the transformer projects itself, where no connector does it before.
    #[serde(skip)]
    pub caption_projection: Option<usize>,
    /// Whether the stream is normalised before the text cross-attention.
    #[serde(skip)]
    pub cross_attention_norm: bool,
    /// Base of the RoPE grid.
    pub positional_embedding_theta: f64,
    /// Maximum of each axis: seconds, pixels, pixels.
    pub positional_embedding_max_pos: Vec<f64>,
    /// Multiplies timesteps, 0..1, before their embedding.
    pub timestep_scale_multiplier: f64,
    /// Whether the timestep modulates the text cross-attention as well: its query, and by a table of its own the context.
    #[serde(default)]
    pub cross_attention_adaln: bool,
    /// Whether the table of the context is shifted by the scalar sigma; looked at with `cross_attention_adaln` alone.
    #[serde(default = "yes")]
    use_prompt_adaln_single: bool,
    /// Whether every attention has a learned gate per head.
    #[serde(default)]
    pub apply_gated_attention: bool,
    /// Whether the feed-forward has biases.
    #[serde(default = "yes")]
    pub ff_bias: bool,
    /// Whether the tokens of the first latent frame, which stands for a single frame of the clip, get a learned mark.
    #[serde(default)]
    pub use_keyframes_abs_pos_embedding: bool,
    /// `float64` where the RoPE grid is computed in double precision.
    #[serde(default)]
    frequencies_precision: Option<String>,
}

impl TransformerConfig {
    /// Parses and checks the `transformer` section.
    ///
    /// # Errors
    /// A field is missing, has a value that this engine does not implement (another generation's architecture), or is not known
    /// here.
    pub fn from_json(section: &Value) -> Result<Self> {
        for (field, supported) in [
            ("activation_fn", json!("gelu-approximate")),
            ("qk_norm", json!("rms_norm")),
            ("standardization_norm", json!("rms_norm")),
            ("causal_temporal_positioning", json!(true)),
        ] {
            require(section, field, &supported)?;
        }
        let is_video_alone = section.get("_class_name").and_then(Value::as_str) == Some(CLASSES[1]);
        if is_video_alone {
            return Self::of_video_alone(section);
        }
        for (field, supported) in [
            ("_class_name", json!(CLASSES[0])),
            ("rope_type", json!("split")),
            ("use_middle_indices_grid", json!(true)),
        ] {
            require(section, field, &supported)?;
        }
        for (field, supported) in [
            ("cross_attention_norm", json!(true)),
            ("adaptive_norm", json!("single_scale_shift")),
            ("use_tpu_flash_attention", json!(false)),
        ] {
            if section.get(field).is_some_and(|stated| !stated.is_null()) {
                require(section, field, &supported)?;
            }
        }
        let captions = section.get("caption_proj_before_connector").and_then(Value::as_bool) != Some(true);
        let caption_projection = if captions { caption_channels(section)? } else { None };
        Self::parsed(section, |config| Self { caption_projection, cross_attention_norm: true, ..config })
    }

    /// The class of LTX-Video 0.9.x: what it leaves out is what its public code does.
    fn of_video_alone(section: &Value) -> Result<Self> {
        for (field, supported) in [
            ("rope_type", json!("interleaved")),
            ("use_middle_indices_grid", json!(false)),
            ("cross_attention_norm", json!(false)),
            ("cross_attention_adaln", json!(false)),
            ("apply_gated_attention", json!(false)),
            ("caption_proj_before_connector", json!(false)),
            ("adaptive_norm", json!("single_scale_shift")),
            ("use_tpu_flash_attention", json!(false)),
        ] {
            if section.get(field).is_some_and(|stated| !stated.is_null()) {
                require(section, field, &supported)?;
            }
        }
        let Some(width) = caption_channels(section)? else {
            return Err(NnError::unsupported("caption_channels", "absent", "the width of the text encoder"));
        };
        Self::parsed(section, |config| Self {
            caption_projection: Some(width),
            rope_pairs: RopePairs::Neighbours,
            qk_norm_eps: Some(QK_NORM_EPS),
            ..config
        })
    }

    fn parsed(section: &Value, with: impl FnOnce(Self) -> Self) -> Result<Self> {
        SECTION.check(section)?;
        check_frequency_precision(section)?;
        let config = with(parse(section, "transformer")?);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        within("num_layers", self.num_layers, 1..=512)?;
        within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        within("attention_head_dim", self.attention_head_dim, 2..=1024)?;
        within("in_channels", self.in_channels, 1..=4096)?;
        within("out_channels", self.out_channels, self.in_channels..=self.in_channels)?;
        within("cross_attention_dim", self.cross_attention_dim, self.inner_dim()..=self.inner_dim())?;
        within("caption_channels", self.caption_projection.unwrap_or(1), 1..=65_536)?;
        within("positional_embedding_max_pos (axes)", self.positional_embedding_max_pos.len(), 3..=3)?;
        positive("norm_eps", self.norm_eps)?;
        positive("positional_embedding_theta", self.positional_embedding_theta)?;
        positive("timestep_scale_multiplier", self.timestep_scale_multiplier)?;
        let maxima = self.positional_embedding_max_pos.iter();
        maxima.copied().try_for_each(|most| positive("positional_embedding_max_pos", most))?;
        if self.attention_head_dim % 2 == 1 {
            return Err(NnError::unsupported("attention_head_dim", self.attention_head_dim, "even widths"));
        }
        Ok(())
    }

    /// Width of the residual stream: heads × head width.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Rows of every block's modulation table: shift, scale and gate of the self-attention and of the feed-forward, and with
    /// `cross_attention_adaln` of the text cross-attention.
    pub fn adaln_rows(&self) -> usize {
        if self.cross_attention_adaln { 9 } else { 6 }
    }

    /// Epsilon of the norms of queries and keys.
    pub fn qk_norm_eps(&self) -> f64 {
        self.qk_norm_eps.unwrap_or(self.norm_eps)
    }

    /// Width of the text states that a pass is given.
    pub fn context_width(&self) -> usize {
        self.caption_projection.unwrap_or(self.cross_attention_dim)
    }

    /// Whether the scalar sigma modulates the text context.
    pub fn prompt_adaln(&self) -> bool {
        self.cross_attention_adaln && self.use_prompt_adaln_single
    }

    /// How precisely the RoPE grid is computed.
    pub fn frequency_precision(&self) -> FrequencyPrecision {
        frequency_precision(self.frequencies_precision.as_deref())
    }
}

fn halves() -> RopePairs {
    RopePairs::Halves
}

/// Width of the text states, where the section states it.
fn caption_channels(section: &Value) -> Result<Option<usize>> {
    match section.get("caption_channels").filter(|stated| !stated.is_null()) {
        Some(stated) => Ok(Some(parse(stated, "transformer.caption_channels")?)),
        None => Ok(None),
    }
}
