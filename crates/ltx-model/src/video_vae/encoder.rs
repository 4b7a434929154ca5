//! Pixels to latent.
//!
//! Must not know images' files or sizes.

use super::{
    config::{Block, LogVariance, Padding, VideoVaeConfig},
    patchify::patchify,
    resample::Downsample,
    residual::{EPS, ResidualBlocks},
    statistics::LatentStatistics,
};
use crate::{layout::channels_first, part::Module};
use candle_core::{DType, Tensor};
use ltx_nn::{Conv3d, Conv3dConfig, Result, Taps, TimePadding, Vb};
use ltx_types::Part;

enum DownBlock {
    Residual(ResidualBlocks),
    Downsample(Downsample),
}

/// The causal encoder: a frame depends on itself and the past.
pub struct VideoEncoder {
    conv_in: Conv3d,
    down_blocks: Vec<DownBlock>,
    conv_out: Conv3d,
    statistics: LatentStatistics,
    latent_channels: usize,
    log_variance: LogVariance,
    patch_size: usize,
    dtype: DType,
}

/// Bounds of a log-variance, as the reference's distribution has them.
const LEAST_LOG_VARIANCE: f64 = -30.0;
const MOST_LOG_VARIANCE: f64 = 20.0;

/// The distribution of a latent: mean and deviation of every element, `[B, latent_channels, F, H, W]`, f32.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// The means.
    pub mean: Tensor,
    /// The deviations.
    pub std: Tensor,
}

impl Posterior {
    /// A latent drawn from the distribution, normalised: `mean + std · noise`.
    ///
    /// # Errors
    /// The noise has another shape.
    pub fn drawn(&self, statistics: &LatentStatistics, noise: &Tensor) -> Result<Tensor> {
        statistics.normalize(&(&self.mean + (&self.std * noise)?)?)
    }
}

impl Module for VideoEncoder {
    const PART: Part = Part::VideoEncoder;
    const MARK: &'static str = "vae.encoder.";
    type Config = VideoVaeConfig;

    fn load(root: &Vb, config: &VideoVaeConfig) -> Result<Self> {
        let vb = &root.pp("vae");
        let encoder = vb.pp("encoder");
        let conv = |name: &str, config| Conv3d::load(&encoder.pp(name).pp("conv"), config);
        let mut channels = config.encoder_base();
        let folded = 3 * config.patch_size * config.patch_size;
        let conv_in = conv("conv_in", Conv3dConfig::cube(folded, channels, TimePadding::Causal))?;
        let mut down_blocks = Vec::new();
        for (i, block) in config.encoder()?.into_iter().enumerate() {
            let vb = encoder.pp("down_blocks").pp(i.to_string());
            down_blocks.push(match block {
                Block::Residual { channels, layers } => {
                    DownBlock::Residual(ResidualBlocks::load(&vb, channels, layers, Padding::CAUSAL)?)
                }
                Block::Resample { inputs, outputs, stride, .. } => {
                    channels = outputs;
                    DownBlock::Downsample(Downsample::load(&vb, inputs, outputs, stride)?)
                }
            });
        }
        let last = Conv3dConfig::cube(channels, config.encoder_outputs()?, TimePadding::Causal).normed(EPS);
        Ok(Self {
            conv_in,
            down_blocks,
            conv_out: conv("conv_out", last)?,
            statistics: LatentStatistics::load(vb, config.latent_channels)?,
            latent_channels: config.latent_channels,
            log_variance: config.log_variance(),
            patch_size: config.patch_size,
            dtype: vb.compute().dtype,
        })
    }
}

impl VideoEncoder {
    /// The normalised mean of the latent.
    ///
    /// # Shapes
    /// `[B, 3, 8k+1, H, W]` in −1..1 → `[B, latent_channels, k+1, H/32, W/32]`, f32.
    ///
    /// # Errors
    /// The sizes do not divide.
    pub fn forward(&self, pixels: &Tensor, taps: &Taps) -> Result<Tensor> {
        self.statistics.normalize(&self.features(pixels, taps)?.narrow(1, 0, self.latent_channels)?)
    }

    /// The distribution of the latent, not normalised.
    ///
    /// # Shapes
    /// As [`Self::forward`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn posterior(&self, pixels: &Tensor, taps: &Taps) -> Result<Posterior> {
        let features = self.features(pixels, taps)?.to_dtype(DType::F32)?;
        let channels = self.latent_channels;
        let mean = features.narrow(1, 0, channels)?.contiguous()?;
        let beside = features.dim(1)?.saturating_sub(channels);
        let std = match self.log_variance {
            LogVariance::Stated if beside > 0 => {
                let log_variance =
                    features.narrow(1, channels, beside)?.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)?;
                (log_variance * 0.5)?.exp()?.broadcast_as(mean.shape())?.contiguous()?
            }
            LogVariance::Stated | LogVariance::None => mean.zeros_like()?,
            LogVariance::Least => (mean.zeros_like()? + (0.5 * LEAST_LOG_VARIANCE).exp())?,
        };
        Ok(Posterior { mean, std })
    }

    /// What the last convolution makes.
    fn features(&self, pixels: &Tensor, taps: &Taps) -> Result<Tensor> {
        let mut x = self.conv_in.forward(&patchify(&pixels.to_dtype(self.dtype)?, self.patch_size)?)?;
        taps.record("conv_in", || channels_first(&x))?;
        for (i, block) in self.down_blocks.iter().enumerate() {
            x = match block {
                DownBlock::Residual(blocks) => blocks.forward(x, 0.0)?,
                DownBlock::Downsample(downsample) => downsample.forward(&x)?,
            };
            taps.record(&format!("down{i}"), || channels_first(&x))?;
        }
        let x = channels_first(&self.conv_out.forward(&x)?)?;
        taps.record("conv_out", || Ok(x.clone()))?;
        Ok(x)
    }
}
