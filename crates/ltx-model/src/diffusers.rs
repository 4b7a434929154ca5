//! Configurations of diffusers' folders for LTX-Video 0.9.x as the official file states the same: entries that say nothing else
//! are translated, entries that nobody here knows are handed on, to be refused by name where the section is read.
//!
//! Must not know files.

use ltx_nn::{NnError, Result};
use serde_json::{Map, Value, json};

/// The classes of the components.
const TRANSFORMER: &str = "LTXVideoTransformer3DModel";
const VAE: &str = "AutoencoderKLLTXVideo";

/// Whether a pipeline's class is one whose components are read here.
pub fn is_pipeline(class: &str) -> bool {
    ["LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline"].contains(&class)
}

/// A configuration as official files state it; one that is not of diffusers' LTX-Video is handed back as it is.
///
/// # Errors
/// An entry has a value that is not implemented, or lists do not fit each other.
pub fn official(config: Value) -> Result<Value> {
    let class = config.get("_class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    match (class.as_str(), config) {
        (TRANSFORMER, Value::Object(entries)) => Ok(json!({ "transformer": transformer(entries)? })),
        (VAE, Value::Object(entries)) => Ok(json!({ "vae": vae(entries)? })),
        (_, config) => Ok(config),
    }
}

/// Takes an entry out that is implemented with one value.
fn take_fixed(entries: &mut Map<String, Value>, field: &str, supported: &Value) -> Result<()> {
    match entries.remove(field).filter(|stated| !stated.is_null()) {
        Some(stated) if stated != *supported => Err(NnError::unsupported(field, stated, supported.to_string())),
        _ => Ok(()),
    }
}

fn transformer(mut entries: Map<String, Value>) -> Result<Map<String, Value>> {
    for (field, supported) in [
        ("qk_norm", json!("rms_norm_across_heads")),
        ("attention_bias", json!(true)),
        ("attention_out_bias", json!(true)),
        ("norm_elementwise_affine", json!(false)),
        ("patch_size", json!(1)),
        ("patch_size_t", json!(1)),
    ] {
        take_fixed(&mut entries, field, &supported)?;
    }
    let stated = json!({
        "_class_name": "Transformer3DModel",
        "qk_norm": "rms_norm",
        "standardization_norm": "rms_norm",
        "causal_temporal_positioning": true,
        "positional_embedding_type": "rope",
        "positional_embedding_theta": 10_000.0,
        "positional_embedding_max_pos": [20, 2048, 2048],
        "timestep_scale_multiplier": 1000,
    });
    added(&mut entries, stated)?;
    Ok(entries)
}

/// Adds what a folder's kind means. An entry that is stated under its official name has to agree.
fn added(entries: &mut Map<String, Value>, meant: Value) -> Result<()> {
    let same = |a: &Value, b: &Value| a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b);
    for (field, value) in meant.as_object().cloned().unwrap_or_default() {
        match entries.get(&field).filter(|stated| field != "_class_name" && !stated.is_null()) {
            Some(stated) if !same(stated, &value) => {
                return Err(NnError::unsupported(&field, stated, value.to_string()));
            }
            _ => entries.insert(field, value),
        };
    }
    Ok(())
}

/// A list of whole numbers.
fn numbers(entries: &mut Map<String, Value>, field: &str) -> Result<Vec<usize>> {
    let stated = entries.remove(field).unwrap_or(Value::Null);
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let list = stated.as_array().and_then(|list| list.iter().map(number).collect::<Option<Vec<_>>>());
    list.ok_or_else(|| NnError::unsupported(field, stated, "a list of whole numbers"))
}

/// A list of so many items that are all the same.
fn all(entries: &mut Map<String, Value>, field: &str, (count, supported): (usize, &Value)) -> Result<()> {
    let stated = entries.remove(field).unwrap_or(Value::Null);
    let same = |list: &Vec<Value>| list.len() == count && list.iter().all(|item| item == supported);
    let refused = || NnError::unsupported(field, &stated, format!("{count} times {supported}"));
    if stated.as_array().is_some_and(same) { Ok(()) } else { Err(refused()) }
}

fn vae(mut entries: Map<String, Value>) -> Result<Map<String, Value>> {
    for (field, supported) in [
        ("patch_size_t", json!(1)),
        ("resnet_norm_eps", json!(1e-6)),
        ("encoder_causal", json!(true)),
        ("spatial_compression_ratio", json!(32)),
        ("temporal_compression_ratio", json!(8)),
    ] {
        take_fixed(&mut entries, field, &supported)?;
    }
    let count = |field: &str| entries.get(field).and_then(Value::as_array).map_or(0, Vec::len);
    let (down, up) = (count("downsample_type"), count("decoder_block_out_channels"));
    all(&mut entries, "down_block_types", (down, &json!("LTXVideo095DownBlock3D")))?;
    all(&mut entries, "spatio_temporal_scaling", (down, &json!(true)))?;
    all(&mut entries, "decoder_spatio_temporal_scaling", (up, &json!(true)))?;
    all(&mut entries, "decoder_inject_noise", (up + 1, &json!(false)))?;
    let encoder = encoder(&mut entries)?;
    let (decoder, base) = decoder(&mut entries)?;
    let causal = entries.remove("decoder_causal").unwrap_or(json!(false));
    let stated = json!({
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "norm_layer": "pixel_norm",
        "use_quant_conv": false,
        "spatial_padding_mode": "zeros",
        "latent_log_var": "uniform",
        "encoder_base_channels": encoder.base,
        "encoder_blocks": encoder.blocks,
        "decoder_base_channels": base,
        "decoder_blocks": decoder,
        "causal_decoder": causal,
    });
    added(&mut entries, stated)?;
    Ok(entries)
}

struct Encoder {
    base: usize,
    blocks: Vec<Value>,
}

/// Channels before and behind every block, and how each is made smaller.
fn encoder(entries: &mut Map<String, Value>) -> Result<Encoder> {
    let channels = numbers(entries, "block_out_channels")?;
    let layers = numbers(entries, "layers_per_block")?;
    let kinds = entries.remove("downsample_type").unwrap_or(Value::Null);
    let names = kinds.as_array().map(Vec::as_slice).unwrap_or_default();
    if channels.len() != names.len() + 1 || layers.len() != channels.len() {
        return Err(NnError::unsupported(
            "block_out_channels",
            format!("{channels:?}"),
            "one more than downsample_type",
        ));
    }
    let mut blocks = Vec::new();
    for (i, kind) in names.iter().enumerate() {
        let name = match kind.as_str() {
            Some("spatial") => "compress_space_res",
            Some("temporal") => "compress_time_res",
            Some("spatiotemporal") => "compress_all_res",
            _ => return Err(NnError::unsupported("downsample_type", kind, "spatial, temporal, spatiotemporal")),
        };
        blocks.push(json!(["res_x", { "num_layers": layers[i] }]));
        blocks.push(json!([name, { "multiplier": divided("block_out_channels", channels[i + 1], channels[i])? }]));
    }
    blocks.push(json!(["res_x", { "num_layers": layers[names.len()] }]));
    Ok(Encoder { base: channels[0], blocks })
}

/// The decoder's blocks in the encoder's order, and the channels before its last convolution.
fn decoder(entries: &mut Map<String, Value>) -> Result<(Vec<Value>, usize)> {
    const CHANNELS: &str = "decoder_block_out_channels";
    let channels = numbers(entries, CHANNELS)?;
    let layers = numbers(entries, "decoder_layers_per_block")?;
    let factors = numbers(entries, "upsample_factor")?;
    let residual = entries.remove("upsample_residual").unwrap_or(Value::Null);
    let skips = residual.as_array().map(Vec::as_slice).unwrap_or_default();
    let count = channels.len();
    if count == 0 || factors.len() != count || skips.len() != count || layers.len() != count + 1 {
        return Err(NnError::unsupported(
            CHANNELS,
            format!("{channels:?}"),
            "as many as upsample_factor, upsample_residual",
        ));
    }
    let base = divided(CHANNELS, channels[0], factors[0])?;
    let mut blocks = vec![json!(["res_x", { "num_layers": layers[0] }])];
    for i in 0..count {
        // What one block makes is what the next one before it in this order takes.
        let made = divided(CHANNELS, channels[i], factors[i])?;
        if i > 0 && made != channels[i - 1] {
            return Err(NnError::unsupported(CHANNELS, format!("{channels:?}"), "blocks that fit each other"));
        }
        blocks.push(json!(["compress_all", { "multiplier": factors[i], "residual": skips[i] }]));
        blocks.push(json!(["res_x", { "num_layers": layers[i + 1] }]));
    }
    Ok((blocks, base))
}

fn divided(field: &str, a: usize, b: usize) -> Result<usize> {
    match a.checked_rem(b) {
        Some(0) => Ok(a / b),
        _ => Err(NnError::unsupported(field, format!("{a} over {b}"), "whole quotients")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{transformer::TransformerConfig, video_vae::VideoVaeConfig};

    fn read(name: &str) -> Value {
        let file = ltx_testkit::tiny("../ltxv-tiny").join(name).join("config.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    #[test]
    fn a_folders_configurations_are_official_ones() {
        let transformer = official(read("transformer")).unwrap();
        let config = TransformerConfig::from_json(&transformer["transformer"]).unwrap();
        assert_eq!((config.num_layers, config.adaln_rows(), config.caption_projection), (3, 6, Some(32)));
        let vae = official(read("vae")).unwrap();
        assert_eq!(vae["vae"]["decoder_blocks"][1], json!(["compress_all", { "multiplier": 2, "residual": true }]));
        assert_eq!(vae["vae"]["encoder_blocks"][2], json!(["res_x", { "num_layers": 1 }]));
        assert!(VideoVaeConfig::from_json(&vae["vae"]).unwrap().decode_timestep.is_some());
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (part, field, value) in [
            ("transformer", "qk_norm", json!("layer_norm")),
            ("transformer", "patch_size", json!(2)),
            ("transformer", "something_new", json!(1)),
            ("vae", "downsample_type", json!(["conv", "conv", "conv", "conv"])),
            ("vae", "decoder_inject_noise", json!([true, false, false, false])),
            ("vae", "resnet_norm_eps", json!(1e-5)),
            ("vae", "something_new", json!(1)),
        ] {
            let mut config = read(part);
            config[field] = value;
            let refusal = official(config).and_then(|config| match part {
                "vae" => VideoVaeConfig::from_json(&config["vae"]).map(drop),
                _ => TransformerConfig::from_json(&config["transformer"]).map(drop),
            });
            assert!(refusal.unwrap_err().to_string().contains(field), "{field}");
        }
    }
}
