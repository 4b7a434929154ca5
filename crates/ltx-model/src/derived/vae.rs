//! Block lists and channels of the video VAE, from the shapes of its convolutions: a block that resamples folds as many values
//! into channels as its stride has, which tells the stride.
//!
//! Must not know files.

use super::{Shapes, refused};
use ltx_nn::Result;
use serde_json::{Value, json};

const MEAN: &str = "vae.per_channel_statistics.mean-of-means";

/// `residual` says that every upsampling has a skip, also where no shape shows it.
pub(super) fn section(shapes: &Shapes<'_>, mut section: Value, residual: bool) -> Result<Value> {
    let latent = shapes.of(MEAN, 1)?[0];
    section["latent_channels"] = json!(latent);
    if shapes.0.has_prefix("vae.encoder.") {
        let [base, folded] = convolution(shapes, "vae.encoder.conv_in.conv.weight")?;
        section["encoder_base_channels"] = json!(base);
        section["patch_size"] = json!(patch(folded)?);
        section["encoder_blocks"] = encoder(shapes, base)?;
        let [outputs, _] = convolution(shapes, "vae.encoder.conv_out.conv.weight")?;
        section["latent_log_var"] = json!(match outputs.checked_sub(latent) {
            Some(0) => "none",
            Some(more) if more == latent && latent > 1 => "per_channel",
            _ => "uniform",
        });
    }
    if shapes.0.has_prefix("vae.decoder.") {
        let [folded, base] = convolution(shapes, "vae.decoder.conv_out.conv.weight")?;
        section["decoder_base_channels"] = json!(base);
        section["patch_size"] = json!(patch(folded)?);
        // LTX-Video 0.9.8: a decoder that is told a timestep, every upsampling beside what it folds.
        let told = shapes.0.has_prefix("vae.decoder.last_time_embedder.");
        section["timestep_conditioning"] = json!(told);
        section["decoder_blocks"] = decoder(shapes, base, told || residual)?;
    }
    Ok(section)
}

/// Pixels of a side that three colours and a square of pixels are folded from.
fn patch(folded: usize) -> Result<usize> {
    let side = (1..=16).find(|side| 3 * side * side == folded);
    side.ok_or_else(|| refused("the VAE's folded colours", folded))
}

fn encoder(shapes: &Shapes<'_>, mut channels: usize) -> Result<Value> {
    let head = "vae.encoder.down_blocks.";
    let count = shapes.count(head);
    let mut blocks = Vec::new();
    for number in 0..count {
        if let Some(layers) = residual(shapes, head, number) {
            blocks.push(json!(["res_x", {"num_layers": layers}]));
            continue;
        }
        let key = format!("{head}{number}.conv.conv.weight");
        let [folded, _] = convolution(shapes, &key)?;
        let next = match next_residual(shapes, head, number, count)? {
            Some(next) => next,
            None => convolution(shapes, "vae.encoder.conv_out.conv.weight")?[1],
        };
        let kind = kind(&key, shapes.divided(&key, next, folded)?)?;
        blocks.push(json!([format!("{kind}_res"), {"multiplier": shapes.divided(&key, next, channels)?}]));
        channels = next;
    }
    Ok(Value::Array(blocks))
}

/// The decoder's blocks as the configuration lists them: in the encoder's order.
fn decoder(shapes: &Shapes<'_>, base: usize, residual_upsampling: bool) -> Result<Value> {
    let head = "vae.decoder.up_blocks.";
    let count = shapes.count(head);
    let mut blocks = Vec::new();
    for number in 0..count {
        if let Some(layers) = residual(shapes, head, number) {
            blocks.push(json!(["res_x", {"num_layers": layers}]));
            continue;
        }
        let key = format!("{head}{number}.conv.conv.weight");
        let [folded, inputs] = convolution(shapes, &key)?;
        let next = next_residual(shapes, head, number, count)?.unwrap_or(base);
        let kind = kind(&key, shapes.divided(&key, folded, next)?)?;
        let multiplier = shapes.divided(&key, inputs, next)?;
        blocks.push(match residual_upsampling {
            true => json!([kind, {"multiplier": multiplier, "residual": true}]),
            false => json!([kind, {"multiplier": multiplier}]),
        });
    }
    blocks.reverse();
    Ok(Value::Array(blocks))
}

/// Layers of a block of residual layers, if it is one.
fn residual(shapes: &Shapes<'_>, head: &str, number: usize) -> Option<usize> {
    let layers = shapes.count(&format!("{head}{number}.res_blocks."));
    (layers > 0).then_some(layers)
}

/// The channels of the next block of residual layers, which are what this one hands on.
fn next_residual(shapes: &Shapes<'_>, head: &str, number: usize, count: usize) -> Result<Option<usize>> {
    if number + 1 >= count {
        return Ok(None);
    }
    Ok(Some(convolution(shapes, &format!("{head}{}.res_blocks.0.conv1.conv.weight", number + 1))?[1]))
}

fn kind(key: &str, folds: usize) -> Result<&'static str> {
    match folds {
        4 => Ok("compress_space"),
        2 => Ok("compress_time"),
        8 => Ok("compress_all"),
        _ => Err(refused(format!("the values that {key} folds"), folds)),
    }
}

/// Channels out and in.
fn convolution(shapes: &Shapes<'_>, key: &str) -> Result<[usize; 2]> {
    let shape = shapes.of(key, 5)?;
    Ok([shape[0], shape[1]])
}
