//! The transformer and the text connector of LTX-2 from their shapes. Without gates these do not tell the number of heads, so only
//! heads as wide as the published ones are known.
//!
//! Must not know files.

use super::{Shapes, refused, transformer::matrix};
use ltx_nn::Result;
use serde_json::{Value, json};

const ROOT: &str = "model.diffusion_model.";

pub(super) fn section(shapes: &Shapes<'_>, mut section: Value) -> Result<Value> {
    if shapes.0.has_prefix(&format!("{ROOT}transformer_blocks.")) {
        transformer(shapes, &mut section)?;
    }
    if shapes.0.has_prefix(&format!("{ROOT}video_embeddings_connector.")) {
        connector(shapes, &mut section)?;
    }
    Ok(section)
}

fn transformer(shapes: &Shapes<'_>, section: &mut Value) -> Result<()> {
    let key = |rest: &str| format!("{ROOT}{rest}");
    let [dim, inputs] = matrix(shapes, &key("patchify_proj.weight"))?;
    let [outputs, _] = matrix(shapes, &key("proj_out.weight"))?;
    let [_, context] = matrix(shapes, &key("transformer_blocks.0.attn2.to_k.weight"))?;
    let [_, captions] = matrix(shapes, &key("caption_projection.linear_1.weight"))?;
    let published = |entry: &str| section[entry].as_u64().unwrap_or_default() as usize;
    if dim != published("num_attention_heads") * published("attention_head_dim") {
        return Err(refused("the width of LTX-2's transformer", dim));
    }
    let modulation = key("adaln_single.linear.weight");
    let rows = shapes.divided(&modulation, matrix(shapes, &modulation)?[0], dim)?;
    if rows != 6 {
        return Err(refused("the number of AdaLN rows", rows));
    }
    section["num_layers"] = json!(shapes.count(&key("transformer_blocks.")));
    section["in_channels"] = json!(inputs);
    section["out_channels"] = json!(outputs);
    section["cross_attention_dim"] = json!(context);
    section["caption_channels"] = json!(captions);
    Ok(())
}

fn connector(shapes: &Shapes<'_>, section: &mut Value) -> Result<()> {
    let key = |rest: &str| format!("{ROOT}video_embeddings_connector.{rest}");
    let registers = key("learnable_registers");
    let [count, dim] = matrix(shapes, &registers)?;
    let head = section["connector_attention_head_dim"].as_u64().unwrap_or_default() as usize;
    section["connector_num_attention_heads"] = json!(shapes.divided(&registers, dim, head)?);
    section["connector_num_layers"] = json!(shapes.count(&key("transformer_1d_blocks.")));
    section["connector_num_learnable_registers"] = json!(count);
    Ok(())
}
