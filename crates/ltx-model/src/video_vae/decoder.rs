//! Latent to pixels.
//!
//! Must not know tiles: one call decodes what it is given.

use super::{
    config::{Block, VideoVaeConfig},
    patchify::unpatchify,
    resample::Upsample,
    residual::{EPS, ResidualBlocks},
    statistics::LatentStatistics,
};
use candle_core::{DType, Tensor};
use ltx_nn::{Conv3d, Conv3dConfig, Result, Taps, Vb};
use ltx_types::LatentScale;

enum UpBlock {
    Residual(ResidualBlocks),
    Upsample(Upsample),
}

/// The decoder.
pub struct VideoDecoder {
    conv_in: Conv3d,
    up_blocks: Vec<UpBlock>,
    conv_out: Conv3d,
    statistics: LatentStatistics,
    patch_size: usize,
    scale: LatentScale,
    dtype: DType,
}

impl VideoDecoder {
    /// Loads from `vb` at `vae`.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn load(vb: &Vb, config: &VideoVaeConfig) -> Result<Self> {
        let decoder = vb.pp("decoder");
        let time = config.decoder_time_padding();
        let conv = |name: &str, inputs, outputs| {
            Conv3d::load(&decoder.pp(name).pp("conv"), Conv3dConfig::cube(inputs, outputs, time))
        };
        let mut up_blocks = Vec::new();
        for (i, block) in config.decoder()?.into_iter().enumerate() {
            let vb = decoder.pp("up_blocks").pp(i.to_string());
            up_blocks.push(match block {
                Block::Residual { channels, layers } => {
                    UpBlock::Residual(ResidualBlocks::load(&vb, channels, layers, time)?)
                }
                Block::Resample { inputs, outputs, stride } => {
                    UpBlock::Upsample(Upsample::load(&vb, (inputs, outputs), stride, time)?)
                }
            });
        }
        Ok(Self {
            conv_in: conv("conv_in", config.latent_channels, config.decoder_bottleneck()?)?,
            up_blocks,
            conv_out: conv("conv_out", config.decoder_base(), 3 * config.patch_size * config.patch_size)?,
            statistics: LatentStatistics::load(vb, config.latent_channels)?,
            patch_size: config.patch_size,
            scale: config.scale(),
            dtype: vb.compute().dtype,
        })
    }

    /// Pixels per latent element.
    pub fn scale(&self) -> LatentScale {
        self.scale
    }

    /// # Shapes
    /// `[B, latent_channels, F, H, W]`, normalised → `[B, 3, 8(F−1)+1, 32H, 32W]`, f32, about −1..1, not clamped.
    ///
    /// # Errors
    /// The channels do not fit.
    pub fn forward(&self, latent: &Tensor, taps: &Taps) -> Result<Tensor> {
        let mut x = self.conv_in.forward(&self.statistics.unnormalize(latent)?.to_dtype(self.dtype)?)?;
        taps.record("conv_in", || Ok(x.clone()))?;
        for (i, block) in self.up_blocks.iter().enumerate() {
            x = match block {
                UpBlock::Residual(blocks) => blocks.forward(&x)?,
                UpBlock::Upsample(upsample) => upsample.forward(&x)?,
            };
            taps.record(&format!("up{i}"), || Ok(x.clone()))?;
        }
        let x = self.conv_out.forward_normed(&x, EPS)?;
        taps.record("conv_out", || Ok(x.clone()))?;
        Ok(unpatchify(&x, self.patch_size)?.to_dtype(DType::F32)?)
    }
}
