//! The published sizes of Gemma-3, by which a file that states no configuration is recognised: its tensors say all sizes but
//! those that no shape shows.
//!
//! Must not know files.

use super::GemmaConfig;
use ltx_nn::{NnError, Result};
use serde_json::json;

/// What the shapes of a language model's tensors say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GemmaShapes {
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the perceptron.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads × head width.
    pub queries: usize,
    /// Key heads × head width.
    pub keys: usize,
    /// Width of a head.
    pub head: usize,
}

/// A published size, and what its shapes do not show.
pub(super) struct Size {
    pub(super) name: &'static str,
    layers: usize,
    hidden: usize,
    inner: usize,
    heads: usize,
    key_heads: usize,
    head: usize,
    /// Scores are divided by its square root.
    scalar: usize,
    window: usize,
    /// By which positions of global layers are divided.
    pub(super) factor: f64,
}

static SIZES: [Size; 4] = [
    Size {
        name: "1B",
        layers: 26,
        hidden: 1152,
        inner: 6912,
        heads: 4,
        key_heads: 1,
        head: 256,
        scalar: 256,
        window: 512,
        factor: 1.0,
    },
    Size {
        name: "4B",
        layers: 34,
        hidden: 2560,
        inner: 10_240,
        heads: 8,
        key_heads: 4,
        head: 256,
        scalar: 256,
        window: 1024,
        factor: 8.0,
    },
    Size {
        name: "12B",
        layers: 48,
        hidden: 3840,
        inner: 15_360,
        heads: 16,
        key_heads: 8,
        head: 256,
        scalar: 256,
        window: 1024,
        factor: 8.0,
    },
    Size {
        name: "27B",
        layers: 62,
        hidden: 5376,
        inner: 21_504,
        heads: 32,
        key_heads: 16,
        head: 128,
        scalar: 168,
        window: 1024,
        factor: 8.0,
    },
];

impl Size {
    /// The published size with these layers, widths (of the stream, inside, of a head) and heads (of queries, of keys).
    pub(super) fn of(layers: u64, widths: [u64; 3], heads: [u64; 2]) -> Option<&'static Self> {
        let all = |size: &Self| {
            let own = [size.hidden, size.inner, size.head, size.heads, size.key_heads].map(|count| count as u64);
            size.layers as u64 == layers && own[..3] == widths && own[3..] == heads
        };
        SIZES.iter().find(|size| all(size))
    }

    fn shows(&self, shapes: &GemmaShapes) -> bool {
        let Self { layers, hidden, inner, heads, key_heads, head, .. } = *self;
        let all = (layers, hidden, inner, heads * head, key_heads * head, head);
        all == (shapes.layers, shapes.hidden, shapes.inner, shapes.queries, shapes.keys, shapes.head)
    }
}

impl GemmaConfig {
    /// The configuration of the published Gemma-3 that has these shapes, and that model's name.
    ///
    /// # Errors
    /// None has them.
    pub fn from_shapes(shapes: &GemmaShapes) -> Result<(Self, &'static str)> {
        let Some(size) = SIZES.iter().find(|size| size.shows(shapes)) else {
            let GemmaShapes { hidden, inner, layers, .. } = shapes;
            let found = format!("{layers} layers of width {hidden}, {inner} inside, and states no configuration");
            let supported = format!(
                "the sizes of Gemma-3 {}, or a config.json beside the file",
                SIZES.iter().map(|size| size.name).collect::<Vec<_>>().join(", ")
            );
            return Err(NnError::unsupported("the text encoder", found, supported));
        };
        let rope = if size.factor == 1.0 {
            json!({"rope_type": "default"})
        } else {
            json!({"rope_type": "linear", "factor": size.factor})
        };
        let config = Self::from_json(&json!({
            "model_type": "gemma3_text",
            "vocab_size": shapes.vocabulary,
            "hidden_size": size.hidden,
            "intermediate_size": size.inner,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.key_heads,
            "head_dim": size.head,
            "query_pre_attn_scalar": size.scalar,
            "sliding_window": size.window,
            "rope_scaling": rope,
        }))?;
        Ok((config, size.name))
    }
}
