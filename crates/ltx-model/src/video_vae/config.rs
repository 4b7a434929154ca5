//! The VAE's configuration, as the checkpoint's `vae` section states it, and the channel counts that follow.
//!
//! Must not know tensors.

use super::DiffusionConfig;
use crate::config::{Entries, parse, require, section as part_of, within};
use ltx_nn::{Conv3dConfig, NnError, Result, TimePadding};
use ltx_types::LatentScale;
use serde::Deserialize;
use serde_json::{Value, json};

/// The timestep that the published configurations of LTX-Video 0.9.8 tell their decoder.
const DECODE_TIMESTEP: f64 = 0.05;

/// Entries of the section `vae`.
const ENTRIES: Entries<'static> = Entries {
    of: "vae",
    read: &[
        "_class_name",
        "dims",
        "in_channels",
        "out_channels",
        "norm_layer",
        "use_quant_conv",
        "timestep_conditioning",
        "spatial_padding_mode",
        "encoder_spatial_padding_mode",
        "decoder_spatial_padding_mode",
        "latent_channels",
        "patch_size",
        "encoder_base_channels",
        "decoder_base_channels",
        "encoder_blocks",
        "decoder_blocks",
        "latent_log_var",
        "causal_decoder",
    ],
    fixed: &[("scaling_factor", "1.0"), ("normalize_latent_channels", "false")],
    idle: &["_diffusers_version", "_name_or_path", "dropout"],
    idle_heads: &[],
};

/// The class of a VAE whose decoder draws pixels from noise.
pub(crate) const DIFFUSION: &str = "CausalDiffusionVAE";

/// Entries of the section `vae` of such a one.
const OF_DIFFUSION: Entries<'static> = Entries {
    of: "vae",
    read: &["_class_name", "latent_channels", "model_output_type", "encoder", "decoder"],
    fixed: &[("scaling_factor", "1.0"), ("normalize_latent_channels", "false")],
    idle: &["_diffusers_version", "_name_or_path"],
    idle_heads: &[],
};

/// Entries of its encoder's.
const ENCODER: Entries<'static> = Entries {
    of: "vae.encoder",
    read: &["blocks", "dims", "in_channels", "out_channels", "patch_size", "latent_log_var", "norm_layer"],
    fixed: &[("spatial_padding_mode", "\"zeros\"")],
    idle: &["_class_name"],
    idle_heads: &[],
};

/// Refuses a parameter of a block that means nothing to it, or is not known.
fn check_blocks(section: &Value, list: &str) -> Result<()> {
    check_blocks_at(section, list, &format!("vae.{list}"))
}

fn check_blocks_at(section: &Value, list: &str, at: &str) -> Result<()> {
    for block in section.get(list).and_then(Value::as_array).into_iter().flatten() {
        let Some([Value::String(name), parameters]) = block.as_array().map(Vec::as_slice) else {
            return Err(NnError::unsupported(at, block, "a name with parameters"));
        };
        let of = format!("{at}.{name}");
        let known = match name.as_str() {
            "res_x" => {
                Entries { of: &of, read: &["num_layers", "inject_noise"], fixed: &[], idle: &[], idle_heads: &[] }
            }
            _ => Entries { of: &of, read: &["multiplier", "residual"], fixed: &[], idle: &[], idle_heads: &[] },
        };
        if parameters.is_object() {
            known.check(parameters)?;
        } else if name != "res_x" {
            // A number is a count of layers, which none but blocks of residual layers have.
            return Err(NnError::unsupported(of, parameters, "an object with a multiplier"));
        }
    }
    Ok(())
}

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
    #[serde(default = "usual_channels")]
    decoder_base_channels: usize,
    encoder_blocks: Vec<(String, BlockParameters)>,
    decoder_blocks: Vec<(String, BlockParameters)>,
    latent_log_var: String,
    causal_decoder: bool,
    /// The timestep (0..1) that the decoder is told, where it is told one; what is usual until a run says otherwise.
    #[serde(skip)]
    pub decode_timestep: Option<f64>,
    /// Whether the decoder's clips are reflected beyond their sides, and not continued with zeros.
    #[serde(skip)]
    decoder_reflects: bool,
    /// The decoder that draws pixels from noise, if it is of that kind.
    #[serde(skip)]
    diffusion: Option<DiffusionConfig>,
}

/// How convolutions continue a clip beyond its ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Padding {
    time: TimePadding,
    reflects: bool,
}

impl Padding {
    /// The encoder's: a frame depends on itself and the past; zeros beyond the sides.
    pub(super) const CAUSAL: Self = Self { time: TimePadding::Causal, reflects: false };

    /// A 3×3×3 convolution.
    pub(super) fn cube(self, inputs: usize, outputs: usize) -> Conv3dConfig {
        Conv3dConfig::cube(inputs, outputs, self.time).reflecting(self.reflects)
    }
}

/// What the encoder says about the variance of a latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogVariance {
    /// Its channels behind the means, or one for all of them.
    Stated,
    /// The least there is, whatever its channel says.
    Least,
    /// There is none.
    None,
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
    /// An upsampling that is `residual` has a skip; every downsampling has one.
    Resample { inputs: usize, outputs: usize, stride: [usize; 3], residual: bool },
}

impl VideoVaeConfig {
    /// Parses and checks the `vae` section.
    ///
    /// # Errors
    /// A field is missing, names a block or mode that this engine does not implement, or is not known here.
    pub fn from_json(section: &Value) -> Result<Self> {
        if section.get("_class_name").is_some_and(|class| class == DIFFUSION) {
            return Self::with_diffusion(section);
        }
        for (field, supported) in [
            ("_class_name", json!("CausalVideoAutoencoder")),
            ("dims", json!(3)),
            ("in_channels", json!(3)),
            ("out_channels", json!(3)),
            ("norm_layer", json!("pixel_norm")),
            ("use_quant_conv", json!(false)),
        ] {
            require(section, field, &supported)?;
        }
        let conditioned = timestep_conditioning(section)?;
        let decoder_reflects = decoder_reflects(section, conditioned)?;
        ENTRIES.check(section)?;
        for list in ["encoder_blocks", "decoder_blocks"] {
            check_blocks(section, list)?;
        }
        let mut config: Self = parse(section, "video VAE")?;
        config.decode_timestep = conditioned.then_some(DECODE_TIMESTEP);
        config.decoder_reflects = decoder_reflects;
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

    /// The encoder of convolutions and the decoder of the other kind, each with a section of its own.
    fn with_diffusion(section: &Value) -> Result<Self> {
        OF_DIFFUSION.check(section)?;
        let encoder = part_of(section, "encoder")?;
        ENCODER.check(encoder)?;
        check_blocks_at(encoder, "blocks", "vae.encoder.blocks")?;
        require(encoder, "norm_layer", &json!("pixel_norm"))?;
        for (field, supported) in [("dims", json!(3)), ("in_channels", json!(3))] {
            if encoder.get(field).is_some_and(|stated| !stated.is_null()) {
                require(encoder, field, &supported)?;
            }
        }
        let stated = |name: &str| encoder.get(name).unwrap_or(&Value::Null).clone();
        let channels = stated("out_channels");
        let flat = json!({
            "latent_channels": channels, "patch_size": stated("patch_size"), "encoder_blocks": stated("blocks"),
            "latent_log_var": stated("latent_log_var"), "decoder_blocks": [], "causal_decoder": false,
        });
        let mut config: Self = parse(&flat, "video VAE's encoder")?;
        if section.get("latent_channels").is_some_and(|stated| !stated.is_null()) {
            require(section, "latent_channels", &channels)?;
        }
        within("vae.encoder.out_channels", config.latent_channels, 1..=4096)?;
        within("vae.encoder.patch_size", config.patch_size, 1..=16)?;
        within("vae.encoder.blocks (count)", config.encoder_blocks.len(), 1..=64)?;
        config.encoder()?;
        let diffusion = DiffusionConfig::from_json(section, config.latent_channels)?;
        if config.scale() != LatentScale::LTX {
            let found = format!("{:?}", config.scale());
            return Err(NnError::unsupported("vae compression", found, format!("{:?}", LatentScale::LTX)));
        }
        config.diffusion = Some(diffusion);
        Ok(config)
    }

    /// The decoder that draws pixels from noise; `None` of one of convolutions.
    pub fn diffusion(&self) -> Option<&DiffusionConfig> {
        self.diffusion.as_ref()
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

    pub(super) fn log_variance(&self) -> LogVariance {
        match self.latent_log_var.as_str() {
            "constant" => LogVariance::Least,
            "none" => LogVariance::None,
            _ => LogVariance::Stated,
        }
    }

    pub(super) fn decoder_padding(&self) -> Padding {
        let time = if self.causal_decoder { TimePadding::Causal } else { TimePadding::Replicate };
        Padding { time, reflects: self.decoder_reflects }
    }

    /// Whether the decoder's clips are reflected beyond their sides.
    pub(super) fn decoder_reflects(&self) -> bool {
        self.decoder_reflects
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
                    refuse_residual(parameters)?;
                    channels = checked(channels, multiplier(parameters, 2)?)?;
                    Block::Resample { inputs, outputs: channels, stride, residual: true }
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
                let (stride, residual) = (stride(name, name)?, is_residual(parameters));
                if residual {
                    // The skip's channels are the input's, unfolded and repeated a whole number of times.
                    let folded = stride.iter().product::<usize>();
                    within("vae channels that unfold into a skip (rest)", inputs % folded, 0..=0)?;
                    within("vae channels of a skip (rest)", channels % (inputs / folded).max(1), 0..=0)?;
                }
                Block::Resample { inputs, outputs: channels, stride, residual }
            });
        }
        Ok(blocks)
    }

    pub(super) fn encoder_bottleneck(&self) -> usize {
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
        BlockParameters::Fields(fields) => fields.multiplier.unwrap_or(default),
    };
    within("multiplier", multiplier, 1..=16)?;
    Ok(multiplier)
}

fn is_residual(parameters: &BlockParameters) -> bool {
    matches!(parameters, BlockParameters::Fields(BlockFields { residual: Some(true), .. }))
}

/// Downsamplings have a skip without being told.
fn refuse_residual(parameters: &BlockParameters) -> Result<()> {
    if is_residual(parameters) { Err(NnError::unsupported("residual", true, "false")) } else { Ok(()) }
}

/// Whether the section says that the decoder is told a timestep.
fn timestep_conditioning(section: &Value) -> Result<bool> {
    const FIELD: &str = "timestep_conditioning";
    match section.get(FIELD) {
        Some(Value::Bool(stated)) => Ok(*stated),
        stated => Err(NnError::unsupported(FIELD, stated.unwrap_or(&Value::Null), "true or false")),
    }
}

/// Whether the decoder's clips are reflected beyond their sides: as stated for both halves, or for it alone; of a checkpoint that
/// says nothing, as its generation does. The encoder has zeros there.
fn decoder_reflects(section: &Value, conditioned: bool) -> Result<bool> {
    let stated = |field: &str| match section.get(field).filter(|stated| !stated.is_null()) {
        None => Ok(None),
        Some(stated) if stated == "zeros" || stated == "reflect" => Ok(stated.as_str()),
        Some(stated) => Err(NnError::unsupported(field, stated, "zeros or reflect")),
    };
    let (both, decoder) = (stated("spatial_padding_mode")?, stated("decoder_spatial_padding_mode")?);
    let encoder = stated("encoder_spatial_padding_mode")?;
    if both.or(encoder).is_some_and(|mode| mode != "zeros") {
        let field = if both.is_some() { "spatial_padding_mode" } else { "encoder_spatial_padding_mode" };
        return Err(NnError::unsupported(field, "reflect", "zeros in the encoder"));
    }
    for (field, own) in [("encoder_spatial_padding_mode", encoder), ("decoder_spatial_padding_mode", decoder)] {
        if let (Some(both), Some(own)) = (both, own)
            && both != own
        {
            return Err(NnError::unsupported(field, own, format!("{both}, as spatial_padding_mode states")));
        }
    }
    let usual = if conditioned { "zeros" } else { "reflect" };
    Ok(both.or(decoder).unwrap_or(usual) == "reflect")
}

/// Channels before the decoder's last convolution, where none are stated.
fn usual_channels() -> usize {
    128
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
    NnError::unsupported("vae block", name, "res_x and the compress_* blocks")
}
