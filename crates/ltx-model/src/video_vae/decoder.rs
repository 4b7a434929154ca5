//! Latent to pixels.
//!
//! Must not know tiles: one call decodes what it is given.

use super::{
    config::{Block, VideoVaeConfig},
    patchify::unpatchify,
    residual::{EPS, ResidualBlocks},
    statistics::LatentStatistics,
};
use crate::{
    layout::{channels_first, channels_last},
    part::Module,
};
use candle_core::{DType, Tensor};
use ltx_nn::{Conv3d, Conv3dConfig, Result, Taps, Vb};
use ltx_types::{LatentScale, Part};

enum UpBlock {
    Residual(ResidualBlocks),
    /// Its channels unfold into space and time.
    Upsample(Conv3d),
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

impl Module for VideoDecoder {
    const PART: Part = Part::VideoDecoder;
    const MARK: &'static str = "vae.decoder.";
    type Config = VideoVaeConfig;

    fn load(root: &Vb, config: &VideoVaeConfig) -> Result<Self> {
        let vb = &root.pp("vae");
        let decoder = vb.pp("decoder");
        let time = config.decoder_time_padding();
        let conv = |name: &str, config| Conv3d::load(&decoder.pp(name).pp("conv"), config);
        let mut up_blocks = Vec::new();
        for (i, block) in config.decoder()?.into_iter().enumerate() {
            let vb = decoder.pp("up_blocks").pp(i.to_string());
            up_blocks.push(match block {
                Block::Residual { channels, layers } => {
                    UpBlock::Residual(ResidualBlocks::load(&vb, channels, layers, time)?)
                }
                Block::Resample { inputs, outputs, stride } => {
                    let folded = outputs * stride.iter().product::<usize>();
                    let conv = Conv3dConfig::cube(inputs, folded, time).unfolded(stride);
                    UpBlock::Upsample(Conv3d::load(&vb.pp("conv").pp("conv"), conv)?)
                }
            });
        }
        let first = Conv3dConfig::cube(config.latent_channels, config.decoder_bottleneck()?, time);
        let folded = 3 * config.patch_size * config.patch_size;
        let last = Conv3dConfig::cube(config.decoder_base(), folded, time).normed(EPS);
        Ok(Self {
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

impl VideoDecoder {
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
        let latent = self.statistics.unnormalize(latent)?.to_dtype(self.dtype)?;
        let mut x = self.conv_in.forward(&channels_last(&latent)?)?;
        taps.record("conv_in", || channels_first(&x))?;
        for (i, block) in self.up_blocks.iter().enumerate() {
            x = match block {
                UpBlock::Residual(blocks) => blocks.forward(x)?,
                UpBlock::Upsample(conv) => conv.forward(&x)?,
            };
            taps.record(&format!("up{i}"), || channels_first(&x))?;
        }
        x = self.conv_out.forward(&x)?;
        taps.record("conv_out", || channels_first(&x))?;
        Ok(unpatchify(&x, self.patch_size)?.to_dtype(DType::F32)?)
    }
}
