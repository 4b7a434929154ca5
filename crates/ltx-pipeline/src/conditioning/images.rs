//! Conditioning images: opened once, fitted to each stage's size, encoded.
//!
//! Must not know tokens.

use crate::Result;
use candle_core::{Device, Tensor};
use ltx_model::video_vae::{LatentStatistics, Posterior, VideoEncoder};
use ltx_nn::Taps;
use ltx_types::{Crf, ImageCondition, PixelShape};

/// An image, decoded and put through its H.264 round trip, before it is fitted to a size.
pub(crate) struct PreparedImage {
    pixels: ltx_media::RgbImage,
    frame_index: usize,
    strength: f64,
    /// What its latent is drawn with in every stage; without it the latent is the mean.
    noise: Vec<Tensor>,
}

/// The size of a stage, counted from 0.
#[derive(Clone, Copy)]
pub(crate) struct StageSize {
    pub(crate) stage: usize,
    pub(crate) shape: PixelShape,
}

/// An image's latent at one stage's size.
pub(crate) struct ConditionedImage {
    /// `[1, C, 1, H, W]`, normalised, f32.
    pub(crate) latent: Tensor,
    pub(crate) frame_index: usize,
    pub(crate) strength: f64,
}

impl PreparedImage {
    pub(crate) fn open(condition: &ImageCondition, crf: Crf) -> Result<Self> {
        let mut pixels = ltx_media::open_image(&condition.source)?;
        if let Some(crf) = crf.get() {
            pixels = ltx_media::crf_round_trip(&pixels, crf)?;
        }
        Ok(Self { pixels, frame_index: condition.frame_index, strength: condition.strength.get(), noise: vec![] })
    }

    /// The image as LTX-Video 0.9.x takes it: stretched to the frame, its latent drawn with the stage's `noise`.
    pub(crate) fn drawn_with(self, noise: Vec<Tensor>) -> Self {
        Self { noise, ..self }
    }

    /// Whether its latent is drawn.
    pub(crate) fn is_drawn(&self) -> bool {
        !self.noise.is_empty()
    }

    /// What the encoder is given at a stage's size: `[3, H, W]` in -1 to 1, next to each other.
    pub(crate) fn fitted(&self, StageSize { stage, shape }: StageSize) -> Vec<f32> {
        match self.noise.get(stage) {
            None => ltx_media::to_pixels(&self.pixels, shape),
            Some(_) => ltx_media::to_stretched_pixels(&self.pixels, shape),
        }
    }

    /// What the encoder makes of it at a stage's size, whatever it is drawn with: `[1, C, 1, h, w]`, its latent; where it is drawn
    /// `[2, C, 1, h, w]`, the latent's mean and deviation.
    pub(crate) fn encode(
        &self,
        encoder: &VideoEncoder,
        size: StageSize,
        device: &Device,
        taps: &Taps,
    ) -> Result<Tensor> {
        let StageSize { stage, shape } = size;
        let pixels = Tensor::from_vec(self.fitted(size), (1, 3, 1, shape.height, shape.width), device)?;
        taps.record("pixels", || Ok(pixels.clone()))?;
        if self.noise.get(stage).is_none() {
            return Ok(encoder.forward(&pixels, &Taps::off())?);
        }
        let Posterior { mean, std } = encoder.posterior(&pixels, &Taps::off())?;
        Ok(Tensor::cat(&[mean, std], 0)?)
    }

    /// The latent of what the encoder made of it; `statistics` are needed where it is drawn.
    pub(crate) fn conditioned(
        &self,
        (stage, encoded): (usize, Tensor),
        statistics: Option<&LatentStatistics>,
        taps: &Taps,
    ) -> Result<ConditionedImage> {
        let latent = match (self.noise.get(stage), statistics) {
            (Some(noise), Some(statistics)) => {
                let posterior = Posterior { mean: encoded.narrow(0, 0, 1)?, std: encoded.narrow(0, 1, 1)? };
                taps.record("latent_mean", || Ok(posterior.mean.clone()))?;
                taps.record("latent_std", || Ok(posterior.std.clone()))?;
                taps.record("latent_noise", || Ok(noise.clone()))?;
                posterior.drawn(statistics, noise)?
            }
            _ => encoded,
        };
        taps.record("latent", || Ok(latent.clone()))?;
        Ok(self.with_latent(latent))
    }

    /// The image as a latent stands for it.
    pub(crate) fn with_latent(&self, latent: Tensor) -> ConditionedImage {
        ConditionedImage { latent, frame_index: self.frame_index, strength: self.strength }
    }
}
