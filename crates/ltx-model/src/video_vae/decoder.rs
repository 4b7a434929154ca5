//! Latent to pixels, by one of two kinds of decoder.
//!
//! Must not know tiles.

use super::{ConvolutionalDecoder, DiffusionDecoder, VideoVaeConfig};
use crate::part::Module;
use ltx_nn::{Result, Vb};
use ltx_types::Part;

/// The decoder of a video VAE, of the kind that its configuration states.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub enum VideoDecoder {
    /// Of convolutions; LTX-2.5's of this kind is the smaller.
    Convolutional(ConvolutionalDecoder),
    /// Of neighbourhood attention; it draws pixels from noise.
    Diffusion(DiffusionDecoder),
}

impl Module for VideoDecoder {
    const PART: Part = Part::VideoDecoder;
    const MARK: &'static str = "vae.decoder.";
    type Config = VideoVaeConfig;

    fn load(root: &Vb, config: &VideoVaeConfig) -> Result<Self> {
        Ok(match config.diffusion() {
            Some(diffusion) => Self::Diffusion(DiffusionDecoder::load(root, diffusion)?),
            None => Self::Convolutional(ConvolutionalDecoder::load(root, config)?),
        })
    }
}
