//! Conditioning images: opened once, fitted to each stage's size, encoded.
//!
//! Must not know tokens.

use crate::Result;
use candle_core::{Device, Tensor};
use ltx_model::video_vae::VideoEncoder;
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

    pub(crate) fn encode(
        &self,
        encoder: &VideoEncoder,
        StageSize { stage, shape }: StageSize,
        device: &Device,
        taps: &Taps,
    ) -> Result<ConditionedImage> {
        let noise = self.noise.get(stage);
        let planar = match noise {
            None => ltx_media::to_pixels(&self.pixels, shape),
            Some(_) => ltx_media::to_stretched_pixels(&self.pixels, shape),
        };
        let pixels = Tensor::from_vec(planar, (1, 3, 1, shape.height, shape.width), device)?;
        taps.record("pixels", || Ok(pixels.clone()))?;
        let latent = match noise {
            None => encoder.forward(&pixels, &Taps::off())?,
            Some(noise) => {
                let posterior = encoder.posterior(&pixels, &Taps::off())?;
                taps.record("latent_mean", || Ok(posterior.mean.clone()))?;
                taps.record("latent_std", || Ok(posterior.std.clone()))?;
                taps.record("latent_noise", || Ok(noise.clone()))?;
                encoder.drawn(&posterior, noise)?
            }
        };
        taps.record("latent", || Ok(latent.clone()))?;
        Ok(self.with_latent(latent))
    }

    /// The image as a latent stands for it.
    pub(crate) fn with_latent(&self, latent: Tensor) -> ConditionedImage {
        ConditionedImage { latent, frame_index: self.frame_index, strength: self.strength }
    }
}
