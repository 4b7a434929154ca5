//! The VAE's configuration, as the checkpoint's `vae` section states it, and the channel counts that follow.
//!
//! Must not know tensors.

use crate::config::{parse, require, within};
use ltx_nn::{Conv3d, NnError, Result, TimePadding};
use ltx_types::LatentScale;
use serde::Deserialize;
use serde_json::{Value, json};

/// Sizes and block lists of encoder and decoder.
#[derive(Debug, Clone, Deserialize)]
pub struct VideoVaeConfig {
    /// Channels of the latent.
    pub latent_channels: usize,
    /// Pixels per side that are folded into channels before the first convolution.
    pub patch_size: usize,
    /// Channels after the encoder's first convolution; `latent_channels` when absent.
    encoder_base_channels: Option<usize>,
    /// Channels before the decoder's last convolution.
    decoder_base_channels: usize,
    encoder_blocks: Vec<(String, BlockParameters)>,
    decoder_blocks: Vec<(String, BlockParameters)>,
    latent_log_var: String,
    causal_decoder: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum BlockParameters {
    Layers(usize),
    Fields(BlockFields),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockFields {
    num_layers: Option<usize>,
    multiplier: Option<usize>,
    residual: Option<bool>,
    inject_noise: Option<bool>,
}

/// One block, with the channels it takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// `layers` residual blocks.
    Residual { channels: usize, layers: usize },
    /// Space-to-depth (encoder) or depth-to-space (decoder) by `stride` = (time, height, width).
    Resample { inputs: usize, outputs: usize, stride: [usize; 3] },
}

impl VideoVaeConfig {
    /// Parses and checks the `vae` section.
    ///
    /// # Errors
    /// A field is missing, or names a block or mode that this engine does not implement.
    pub fn from_json(section: &Value) -> Result<Self> {
        for (field, supported) in [
            ("_class_name", json!("CausalVideoAutoencoder")),
            ("dims", json!(3)),
            ("in_channels", json!(3)),
            ("out_channels", json!(3)),
            ("norm_layer", json!("pixel_norm")),
            ("use_quant_conv", json!(false)),
            ("timestep_conditioning", json!(false)),
            ("spatial_padding_mode", json!("zeros")),
        ] {
            require(section, field, &supported)?;
        }
        let config: Self = parse(section, "video VAE")?;
        within("latent_channels", config.latent_channels, 1..=4096)?;
        within("patch_size", config.patch_size, 1..=16)?;
        within("decoder_base_channels", config.decoder_base_channels, 1..=4096)?;
        within("encoder_base_channels", config.encoder_base(), 1..=4096)?;
        within("encoder_blocks (count)", config.encoder_blocks.len(), 1..=64)?;
        within("decoder_blocks (count)", config.decoder_blocks.len(), 1..=64)?;
        config.encoder()?;
        config.decoder()?;
        if config.scale() != LatentScale::LTX {
            let found = format!("{:?}", config.scale());
            return Err(NnError::unsupported("vae compression", found, format!("{:?}", LatentScale::LTX)));
        }
        Ok(config)
    }

    /// Bytes alive at the worst moment of a pass over `frames` frames of `pixels` pixels, in f32: the two clips of a residual
    /// block at the finest level, or one and the pixels thrice, and what convolutions keep for their work.
    pub fn activation_bytes(&self, pixels: u64, frames: u64) -> u64 {
        let features = self.decoder_base_channels.max(self.encoder_base()) as u64;
        let folded = (3 * self.patch_size * self.patch_size) as u64;
        let values = (2 * features).max(features + 2 * folded).max(3 * folded);
        let widest = self.decoder_bottleneck().unwrap_or(0).max(self.encoder_bottleneck());
        values * pixels / (self.patch_size * self.patch_size) as u64 * frames * 4 + Conv3d::scratch_bytes(widest)
    }

    pub(super) fn encoder_base(&self) -> usize {
        self.encoder_base_channels.unwrap_or(self.latent_channels)
    }

    pub(super) fn decoder_base(&self) -> usize {
        self.decoder_base_channels
    }

    /// Channels of the encoder's last convolution: the means, and what the log-variance adds.
    pub(super) fn encoder_outputs(&self) -> Result<usize> {
        match self.latent_log_var.as_str() {
            "uniform" | "constant" => Ok(self.latent_channels + 1),
            "per_channel" => Ok(2 * self.latent_channels),
            "none" => Ok(self.latent_channels),
            other => Err(NnError::unsupported("latent_log_var", other, "uniform, constant, per_channel, none")),
        }
    }

    pub(super) fn decoder_time_padding(&self) -> TimePadding {
        if self.causal_decoder { TimePadding::Causal } else { TimePadding::Replicate }
    }

    /// Pixels per latent element, from the encoder's blocks.
    pub fn scale(&self) -> LatentScale {
        let count = |marks: [&str; 2]| {
            self.encoder_blocks.iter().filter(|(name, _)| marks.iter().any(|mark| name.starts_with(mark))).count()
        };
        let side = self.patch_size << count(["compress_space", "compress_all"]);
        LatentScale { time: 1 << count(["compress_time", "compress_all"]), height: side, width: side }
    }

    /// The encoder's blocks in order.
    pub(super) fn encoder(&self) -> Result<Vec<Block>> {
        let mut channels = self.encoder_base();
        let mut blocks = Vec::new();
        for (name, parameters) in &self.encoder_blocks {
            blocks.push(match name.strip_suffix("_res") {
                _ if name == "res_x" => Block::Residual { channels, layers: layers(name, parameters)? },
                Some(kind) => {
                    let (inputs, stride) = (channels, stride(kind, name)?);
                    channels = checked(channels, multiplier(parameters, 2)?)?;
                    Block::Resample { inputs, outputs: channels, stride }
                }
                None => return Err(unknown_block(name)),
            });
        }
        Ok(blocks)
    }

    /// The decoder's blocks in the order they run. The configuration lists them in the encoder's order.
    pub(super) fn decoder(&self) -> Result<Vec<Block>> {
        let mut channels = self.decoder_bottleneck()?;
        let mut blocks = Vec::new();
        for (name, parameters) in self.decoder_blocks.iter().rev() {
            blocks.push(if name == "res_x" {
                Block::Residual { channels, layers: layers(name, parameters)? }
            } else {
                let (inputs, factor) = (channels, multiplier(parameters, 1)?);
                channels /= factor;
                Block::Resample { inputs, outputs: channels, stride: stride(name, name)? }
            });
        }
        Ok(blocks)
    }

    fn encoder_bottleneck(&self) -> usize {
        let channels = |block: &Block| match *block {
            Block::Residual { channels, .. } => channels,
            Block::Resample { outputs, .. } => outputs,
        };
        self.encoder().unwrap_or_default().iter().map(channels).max().unwrap_or(0)
    }

    /// Channels after the decoder's first convolution: the base times every multiplier.
    pub(super) fn decoder_bottleneck(&self) -> Result<usize> {
        let mut channels = self.decoder_base_channels;
        for (name, parameters) in &self.decoder_blocks {
            if name != "res_x" {
                channels = checked(channels, multiplier(parameters, 1)?)?;
            }
        }
        Ok(channels)
    }
}

fn checked(channels: usize, multiplier: usize) -> Result<usize> {
    let product = channels * multiplier;
    within("vae channels", product, 1..=65_536)?;
    Ok(product)
}

fn layers(name: &str, parameters: &BlockParameters) -> Result<usize> {
    let layers = match parameters {
        BlockParameters::Layers(layers) => *layers,
        BlockParameters::Fields(BlockFields { inject_noise: Some(true), .. }) => {
            return Err(NnError::unsupported(format!("{name}.inject_noise"), true, "false"));
        }
        BlockParameters::Fields(fields) => fields.num_layers.unwrap_or(0),
    };
    within("num_layers", layers, 1..=64)?;
    Ok(layers)
}

fn multiplier(parameters: &BlockParameters, default: usize) -> Result<usize> {
    let multiplier = match parameters {
        BlockParameters::Layers(_) => default,
        BlockParameters::Fields(BlockFields { residual: Some(true), .. }) => {
            return Err(NnError::unsupported("residual", true, "false"));
        }
        BlockParameters::Fields(fields) => fields.multiplier.unwrap_or(default),
    };
    within("multiplier", multiplier, 1..=16)?;
    Ok(multiplier)
}

fn stride(kind: &str, name: &str) -> Result<[usize; 3]> {
    match kind {
        "compress_space" => Ok([1, 2, 2]),
        "compress_time" => Ok([2, 1, 1]),
        "compress_all" => Ok([2, 2, 2]),
        _ => Err(unknown_block(name)),
    }
}

fn unknown_block(name: &str) -> NnError {
    NnError::unsupported("vae block", name, "res_x and the compress_* blocks of LTX 2.3")
}
