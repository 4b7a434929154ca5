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
    /// What its latent is drawn with; without it the latent is the mean.
    noise: Option<Tensor>,
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
        Ok(Self { pixels, frame_index: condition.frame_index, strength: condition.strength.get(), noise: None })
    }

    /// The image as LTX-Video 0.9.x takes it: stretched to the frame, its latent drawn with `noise`.
    pub(crate) fn drawn_with(self, noise: Tensor) -> Self {
        Self { noise: Some(noise), ..self }
    }

    pub(crate) fn encode(
        &self,
        encoder: &VideoEncoder,
        shape: PixelShape,
        device: &Device,
        taps: &Taps,
    ) -> Result<ConditionedImage> {
        let planar = match self.noise {
            None => ltx_media::to_pixels(&self.pixels, shape),
            Some(_) => ltx_media::to_stretched_pixels(&self.pixels, shape),
        };
        let pixels = Tensor::from_vec(planar, (1, 3, 1, shape.height, shape.width), device)?;
        taps.record("pixels", || Ok(pixels.clone()))?;
        let latent = match &self.noise {
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
