//! What the decoder of LTX-Video 0.9.x is told, and the noise that goes with it.
//!
//! Must not know how it decodes.

use crate::Result;
use candle_core::Tensor;

/// A timestep, 0..1, and the share of noise that is mixed into the latent before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeNoise {
    /// What the decoder is told.
    pub timestep: f64,
    /// The noise's share.
    pub scale: f64,
}

impl DecodeNoise {
    /// The normalised latent with its share of noise, as the authors mix it; diffusers mixes it into the un-normalised one.
    ///
    /// # Shapes
    /// `[1, C, F, H, W]`, both and the result.
    pub(crate) fn mixed_into(self, latent: &Tensor, noise: &Tensor) -> Result<Tensor> {
        Ok(((latent * (1.0 - self.scale))? + (noise * self.scale)?)?)
    }
}

impl Default for DecodeNoise {
    /// As the published configurations of 0.9.8 have them.
    fn default() -> Self {
        Self { timestep: 0.05, scale: 0.025 }
    }
}
