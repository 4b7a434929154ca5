//! The latent upsamplers: residual 3-D convolutions, a resampling in space or time, residual convolutions.
//! Source: the public `ltx_core` reference, `model/upsampler/`. It works on un-normalised latents; the caller
//! un-normalises and normalises with the VAE's statistics.
//!
//! Must not know stages or sigmas.

mod footprint;
mod resampling;
mod work;

use crate::{
    config::{Entries, parse, require, within},
    layout::{channels_first, channels_last},
    part::Module,
};
use candle_core::{DType, Tensor};
use ltx_nn::{Conv3d, Conv3dConfig, GroupNorm, Result, Taps, TimePadding, Vb};
use ltx_types::Part;
use resampling::Resampler;
pub use resampling::Resampling;
use serde::Deserialize;
use serde_json::{Value, json};

const CLASS: &str = "LatentUpsampler";
/// Entries of an upsampler's configuration.
const ENTRIES: Entries<'static> = Entries {
    of: "",
    read: &[
        "_class_name",
        "dims",
        "spatial_upsample",
        "temporal_upsample",
        "rational_resampler",
        "spatial_scale",
        "in_channels",
        "mid_channels",
        "num_blocks_per_stage",
    ],
    fixed: &[],
    idle: &["_diffusers_version", "_name_or_path"],
    idle_heads: &[],
};
const GROUPS: usize = 32;
const EPS: f64 = 1e-5;

/// Sizes of the upsampler.
#[derive(Debug, Clone, Deserialize)]
pub struct UpsamplerConfig {
    /// Latent channels.
    pub in_channels: usize,
    /// Channels inside.
    pub mid_channels: usize,
    /// Residual blocks before and after the resampling.
    pub num_blocks_per_stage: usize,
    /// What it makes larger.
    #[serde(skip)]
    pub resampling: Resampling,
}

impl UpsamplerConfig {
    /// Whether a file's configuration is an upsampler's.
    pub fn is_stated_by(config: &Value) -> bool {
        config.get("_class_name").and_then(Value::as_str) == Some(CLASS)
    }

    /// Parses and checks the file's configuration.
    ///
    /// # Errors
    /// A field is missing, asks for a kind of upsampler that is none of [`Resampling`] (2-D, another scale), or is not known here.
    pub fn from_json(config: &Value) -> Result<Self> {
        for (field, supported) in [("_class_name", json!(CLASS)), ("dims", json!(3))] {
            require(config, field, &supported)?;
        }
        let resampling = Resampling::from_json(config)?;
        ENTRIES.check(config)?;
        let config = Self { resampling, ..parse(config, "latent upsampler")? };
        within("in_channels", config.in_channels, 1..=4096)?;
        within("mid_channels", config.mid_channels, GROUPS..=16_384)?;
        within("mid_channels modulo 32", config.mid_channels % GROUPS, 0..=0)?;
        within("num_blocks_per_stage", config.num_blocks_per_stage, 0..=256)?;
        Ok(config)
    }
}

/// The upsampler.
pub struct Upsampler {
    initial_conv: Conv3d,
    initial_norm: GroupNorm,
    res_blocks: Vec<ResBlock>,
    resampler: Resampler,
    post_upsample_res_blocks: Vec<ResBlock>,
    final_conv: Conv3d,
    resampling: Resampling,
    dtype: DType,
}

impl Module for Upsampler {
    const PART: Part = Part::LatentUpsampler;
    const MARK: &'static str = "";
    type Config = UpsamplerConfig;

    fn load(vb: &Vb, config: &UpsamplerConfig) -> Result<Self> {
        let (latent, mid) = (config.in_channels, config.mid_channels);
        let conv = |name: &str, inputs, outputs| {
            Conv3d::load(&vb.pp(name), Conv3dConfig::cube(inputs, outputs, TimePadding::Zeros))
        };
        let blocks = |name: &str| {
            let vb = vb.pp(name);
            (0..config.num_blocks_per_stage).map(|i| ResBlock::load(&vb.pp(i.to_string()), mid)).collect::<Result<_>>()
        };
        Ok(Self {
            initial_conv: conv("initial_conv", latent, mid)?,
            initial_norm: GroupNorm::load(&vb.pp("initial_norm"), mid, GROUPS, EPS)?,
            res_blocks: blocks("res_blocks")?,
            resampler: Resampler::load(&vb.pp("upsampler"), mid, config.resampling)?,
            post_upsample_res_blocks: blocks("post_upsample_res_blocks")?,
            final_conv: conv("final_conv", mid, latent)?,
            resampling: config.resampling,
            dtype: vb.compute().dtype,
        })
    }
}

impl Upsampler {
    /// # Shapes
    /// `[B, in_channels, F, H, W]` → the same larger as [`Resampling`] says (×2: `[B, in_channels, F, 2H, 2W]`), f32, un-normalised
    /// on both sides.
    ///
    /// # Errors
    /// The channels do not fit.
    pub fn forward(&self, latent: &Tensor, taps: &Taps) -> Result<Tensor> {
        let x = self.initial_conv.forward(&channels_last(&latent.to_dtype(self.dtype)?)?)?;
        taps.record("initial_conv", || channels_first(&x))?;
        let x = self.initial_norm.forward(&x, false)?;
        taps.record("initial_norm", || channels_first(&x))?;
        let mut x = x.silu()?;
        for (i, block) in self.res_blocks.iter().enumerate() {
            x = block.forward(&x)?;
            taps.record(&format!("res{i}"), || channels_first(&x))?;
        }
        let mut x = self.resampler.forward(&x, taps)?;
        self.record_resampled(&x, taps)?;
        for (i, block) in self.post_upsample_res_blocks.iter().enumerate() {
            x = block.forward(&x)?;
            taps.record(&format!("post{i}"), || channels_first(&x))?;
        }
        let x = channels_first(&self.final_conv.forward(&x)?)?;
        taps.record("final_conv", || Ok(x.clone()))?;
        Ok(x.to_dtype(DType::F32)?)
    }

    /// As the reference has it: frame by frame for ×2. Where frames are added it has the dropped one, which is not computed here.
    fn record_resampled(&self, x: &Tensor, taps: &Taps) -> Result<()> {
        match self.resampling {
            Resampling::SpaceByTwo => {
                taps.record("upsampler", || Ok(channels_first(x)?.transpose(1, 2)?.flatten(0, 1)?))
            }
            Resampling::SpaceByThreeHalves => taps.record("upsampler", || channels_first(x)),
            Resampling::TimeByTwo | Resampling::SpaceAndTimeByTwo => Ok(()),
        }
    }
}

/// Two normalised convolutions around a skip.
struct ResBlock {
    conv1: Conv3d,
    norm1: GroupNorm,
    conv2: Conv3d,
    norm2: GroupNorm,
}

impl ResBlock {
    fn load(vb: &Vb, channels: usize) -> Result<Self> {
        let conv = Conv3dConfig::cube(channels, channels, TimePadding::Zeros);
        Ok(Self {
            conv1: Conv3d::load(&vb.pp("conv1"), conv)?,
            norm1: GroupNorm::load(&vb.pp("norm1"), channels, GROUPS, EPS)?,
            conv2: Conv3d::load(&vb.pp("conv2"), conv)?,
            norm2: GroupNorm::load(&vb.pp("norm2"), channels, GROUPS, EPS)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.norm1.forward(&self.conv1.forward(x)?, true)?;
        let y = self.norm2.forward(&self.conv2.forward(&y)?, false)?;
        Ok((y + x)?.silu()?)
    }
}
