//! What the decoder of LTX-Video 0.9.x is told, and the noise that goes with it.
//!
//! Must not know how it decodes.

/// A timestep, 0..1, and the share of noise that is mixed into the latent before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeNoise {
    /// What the decoder is told.
    pub timestep: f64,
    /// The noise's share.
    pub scale: f64,
}

impl Default for DecodeNoise {
    /// As the published configurations of 0.9.8 have them.
    fn default() -> Self {
        Self { timestep: 0.05, scale: 0.025 }
    }
}
