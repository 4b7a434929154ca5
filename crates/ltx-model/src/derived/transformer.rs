//! Sizes of the transformer and of the text connector, from their shapes. The gates tell the number of heads.
//!
//! Must not know files.

use super::{Shapes, refused};
use ltx_nn::Result;
use serde_json::{Value, json};

const ROOT: &str = "model.diffusion_model.";
/// Inputs of the text projection: every hidden state, side by side.
const PROJECTION: &str = "text_embedding_projection.video_aggregate_embed.weight";

pub(super) fn section(shapes: &Shapes<'_>, mut section: Value, text_width: Option<usize>) -> Result<Value> {
    if shapes.0.has_prefix(&format!("{ROOT}transformer_blocks.")) {
        transformer(shapes, &mut section)?;
    }
    if shapes.0.has_prefix(&format!("{ROOT}video_embeddings_connector.")) {
        connector(shapes, &mut section)?;
    }
    let published = section["caption_channels"].as_u64().unwrap_or_default() as usize;
    if let Some(inputs) = shapes.0.shape_of(PROJECTION).and_then(|shape| shape.get(1)).copied() {
        let whole = |width: &usize| *width > 0 && inputs.is_multiple_of(*width);
        let width = text_width.filter(whole).or(Some(published).filter(whole)).unwrap_or(inputs.max(1));
        section["caption_channels"] = json!(width);
    }
    Ok(section)
}

fn transformer(shapes: &Shapes<'_>, section: &mut Value) -> Result<()> {
    let key = |rest: &str| format!("{ROOT}{rest}");
    let block = |rest: &str| key(&format!("transformer_blocks.0.{rest}"));
    let [dim, inputs] = matrix(shapes, &key("patchify_proj.weight"))?;
    let [outputs, _] = matrix(shapes, &key("proj_out.weight"))?;
    let [_, context] = matrix(shapes, &block("attn2.to_k.weight"))?;
    let [heads, _] = matrix(shapes, &block("attn1.to_gate_logits.weight"))?;
    let modulation = key("adaln_single.linear.weight");
    let rows = shapes.divided(&modulation, matrix(shapes, &modulation)?[0], dim)?;
    let shown = |what: &str, found: String| Err(refused(what, found));
    if rows != 9 {
        return shown("the number of AdaLN rows", rows.to_string());
    }
    // LTX-2.5 has a mark for the first latent frame, and no biases in the feed-forward.
    let newer = shapes.has(&key("keyframes_abs_pos_embedding"));
    section["use_keyframes_abs_pos_embedding"] = json!(newer);
    section["ff_bias"] = json!(!newer);
    let biases = (!newer).then(|| block("ff.net.2.bias"));
    let needed = [key("prompt_adaln_single.linear.weight"), block("prompt_scale_shift_table")];
    for needed in needed.into_iter().chain(biases) {
        if !shapes.has(&needed) {
            return shown(&format!("the key {needed}"), "absent".to_owned());
        }
    }
    section["num_layers"] = json!(shapes.count(&key("transformer_blocks.")));
    section["num_attention_heads"] = json!(heads);
    section["attention_head_dim"] = json!(shapes.divided(&block("attn1.to_gate_logits.weight"), dim, heads)?);
    section["in_channels"] = json!(inputs);
    section["out_channels"] = json!(outputs);
    section["cross_attention_dim"] = json!(context);
    // Where the connector is in no file, it has the context's width.
    section["connector_num_attention_heads"] = json!(heads);
    section["connector_attention_head_dim"] = json!(shapes.divided(&block("attn2.to_k.weight"), context, heads)?);
    Ok(())
}

fn connector(shapes: &Shapes<'_>, section: &mut Value) -> Result<()> {
    let key = |rest: &str| format!("{ROOT}video_embeddings_connector.{rest}");
    let [registers, dim] = matrix(shapes, &key("learnable_registers"))?;
    let gates = key("transformer_1d_blocks.0.attn1.to_gate_logits.weight");
    let [heads, _] = matrix(shapes, &gates)?;
    section["connector_num_layers"] = json!(shapes.count(&key("transformer_1d_blocks.")));
    section["connector_num_attention_heads"] = json!(heads);
    section["connector_attention_head_dim"] = json!(shapes.divided(&gates, dim, heads)?);
    section["connector_num_learnable_registers"] = json!(registers);
    if !shapes.0.has_prefix(&format!("{ROOT}transformer_blocks.")) {
        section["num_attention_heads"] = json!(heads);
        section["attention_head_dim"] = json!(shapes.divided(&gates, dim, heads)?);
        section["cross_attention_dim"] = json!(dim);
    }
    Ok(())
}

pub(super) fn matrix(shapes: &Shapes<'_>, key: &str) -> Result<[usize; 2]> {
    let shape = shapes.of(key, 2)?;
    Ok([shape[0], shape[1]])
}
