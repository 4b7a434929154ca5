//! The transformer of LTX-Video 0.9.8 from its shapes. They do not tell the number of heads, so only the two published widths are
//! known: 2B's and 13B's.
//!
//! Must not know files.

use super::{Shapes, refused, transformer::matrix};
use crate::architecture::VIDEO_ALONE;
use ltx_nn::Result;
use serde_json::{Value, json};

const ROOT: &str = "model.diffusion_model.";
/// Heads of both published sizes, and their widths.
const HEADS: usize = 32;
const WIDTHS: [usize; 2] = [2048, 4096];

pub(super) fn section(shapes: &Shapes<'_>) -> Result<Value> {
    let key = |rest: &str| format!("{ROOT}{rest}");
    let [dim, inputs] = matrix(shapes, &key("patchify_proj.weight"))?;
    let [outputs, _] = matrix(shapes, &key("proj_out.weight"))?;
    let [_, context] = matrix(shapes, &key("transformer_blocks.0.attn2.to_k.weight"))?;
    let [_, captions] = matrix(shapes, &key("caption_projection.linear_1.weight"))?;
    if !WIDTHS.contains(&dim) {
        return Err(refused("the width of the transformer", dim));
    }
    let modulation = key("adaln_single.linear.weight");
    let rows = shapes.divided(&modulation, matrix(shapes, &modulation)?[0], dim)?;
    if rows != 6 {
        return Err(refused("the number of AdaLN rows", rows));
    }
    Ok(json!({
        "_class_name": VIDEO_ALONE,
        "activation_fn": "gelu-approximate",
        "qk_norm": "rms_norm",
        "standardization_norm": "rms_norm",
        "causal_temporal_positioning": true,
        "positional_embedding_type": "rope",
        "positional_embedding_theta": 10_000.0,
        "positional_embedding_max_pos": [20, 2048, 2048],
        "timestep_scale_multiplier": 1000,
        "norm_eps": 1e-6,
        "num_layers": shapes.count(&key("transformer_blocks.")),
        "num_attention_heads": HEADS,
        "attention_head_dim": dim / HEADS,
        "in_channels": inputs,
        "out_channels": outputs,
        "cross_attention_dim": context,
        "caption_channels": captions,
    }))
}
