//! Latent to pixels by convolutions.
//!
//! Must not know tiles: one call decodes what it is given.

use super::{
    config::{Block, VideoVaeConfig},
    patchify::unpatchify,
    residual::{EPS, ResidualBlocks},
    statistics::LatentStatistics,
    timestep::{RowEmbedder, table},
    upsample::Upsample,
};
use crate::{
    layout::{channels_first, channels_last},
    part::Module,
};
use candle_core::{DType, Tensor};
use ltx_nn::{Conv3d, NnError, Result, Taps, Vb};
use ltx_types::{LatentScale, Part};

enum UpBlock {
    Residual(ResidualBlocks),
    Upsample(Upsample),
}

/// What a decoder that is told a timestep has for it outside its blocks.
struct Timestep {
    embedder: RowEmbedder,
    table: Tensor,
    /// Multiplies timesteps, 0..1.
    multiplier: Tensor,
    timestep: f32,
}

/// The decoder of convolutions.
pub struct ConvolutionalDecoder {
    conv_in: Conv3d,
    up_blocks: Vec<UpBlock>,
    conv_out: Conv3d,
    timestep: Option<Timestep>,
    statistics: LatentStatistics,
    patch_size: usize,
    scale: LatentScale,
    dtype: DType,
}

impl Module for ConvolutionalDecoder {
    const PART: Part = Part::VideoDecoder;
    const MARK: &'static str = "vae.decoder.";
    type Config = VideoVaeConfig;

    fn load(root: &Vb, config: &VideoVaeConfig) -> Result<Self> {
        let vb = &root.pp("vae");
        let decoder = vb.pp("decoder");
        let padding = config.decoder_padding();
        let conv = |name: &str, config| Conv3d::load(&decoder.pp(name).pp("conv"), config);
        let mut up_blocks = Vec::new();
        for (i, block) in config.decoder()?.into_iter().enumerate() {
            let vb = decoder.pp("up_blocks").pp(i.to_string());
            up_blocks.push(match block {
                Block::Residual { channels, layers } => UpBlock::Residual(match config.decode_timestep {
                    Some(_) => ResidualBlocks::load_conditioned(&vb, channels, layers, padding)?,
                    None => ResidualBlocks::load(&vb, channels, layers, padding)?,
                }),
                Block::Resample { inputs, outputs, stride, residual } => {
                    UpBlock::Upsample(Upsample::load(&vb, (inputs, outputs), stride, (padding, residual))?)
                }
            });
        }
        let first = padding.cube(config.latent_channels, config.decoder_bottleneck()?);
        let folded = 3 * config.patch_size * config.patch_size;
        let last = padding.cube(config.decoder_base(), folded).normed(EPS);
        let base = config.decoder_base();
        let timestep = |timestep: f64| {
            Ok::<_, NnError>(Timestep {
                embedder: RowEmbedder::load(&decoder, "last_time_embedder", 2, base)?,
                table: table(&decoder, "last_scale_shift_table", 2, base)?,
                multiplier: decoder.with_dtype(DType::F32).tensor("timestep_scale_multiplier", [])?,
                timestep: timestep as f32,
            })
        };
        Ok(Self {
            timestep: config.decode_timestep.map(timestep).transpose()?,
            conv_in: conv("conv_in", first)?,
            up_blocks,
            conv_out: conv("conv_out", last)?,
            statistics: LatentStatistics::load(vb, config.latent_channels)?,
            patch_size: config.patch_size,
            scale: config.scale(),
            dtype: vb.compute().dtype,
        })
    }
}

impl ConvolutionalDecoder {
    /// Pixels per latent element.
    pub fn scale(&self) -> LatentScale {
        self.scale
    }

    /// A latent with a share of noise, both normalised: un-normalised, `(1 − scale) · latent + scale · noise`, normalised again.
    /// The noise is of the un-normalised latent.
    ///
    /// # Shapes
    /// `[B, latent_channels, F, H, W]`, both and the result.
    ///
    /// # Errors
    /// The sizes do not fit each other.
    pub fn noised(&self, latent: &Tensor, noise: &Tensor, scale: f64, taps: &Taps) -> Result<Tensor> {
        let mixed = ((self.statistics.unnormalize(latent)? * (1.0 - scale))? + (noise * scale)?)?;
        taps.record("input", || Ok(mixed.clone()))?;
        self.statistics.normalize(&mixed)
    }

    /// # Shapes
    /// `[B, latent_channels, F, H, W]`, normalised → `[B, 3, 8(F−1)+1, 32H, 32W]`, f32, about −1..1, not clamped.
    ///
    /// # Errors
    /// The channels do not fit.
    pub fn forward(&self, latent: &Tensor, taps: &Taps) -> Result<Tensor> {
        let latent = self.statistics.unnormalize(latent)?.to_dtype(self.dtype)?;
        let timestep = match &self.timestep {
            Some(timestep) => timestep.timestep * timestep.multiplier.to_scalar::<f32>()?,
            None => 0.0,
        };
        let mut x = self.conv_in.forward(&channels_last(&latent)?)?;
        taps.record("conv_in", || channels_first(&x))?;
        for (i, block) in self.up_blocks.iter().enumerate() {
            x = match block {
                UpBlock::Residual(blocks) => blocks.forward(x, timestep)?,
                UpBlock::Upsample(conv) => conv.forward(&x)?,
            };
            taps.record(&format!("up{i}"), || channels_first(&x))?;
        }
        x = match &self.timestep {
            Some(Timestep { embedder, table, .. }) => {
                self.conv_out.modulated(&(embedder.rows(timestep)? + table)?)?.forward(&x)?
            }
            None => self.conv_out.forward(&x)?,
        };
        taps.record("conv_out", || channels_first(&x))?;
        Ok(unpatchify(&x, self.patch_size)?.to_dtype(DType::F32)?)
    }
}
