//! The decoder that draws pixels from noise in one step: neighbourhood attention raises the latent to features of a quarter of the
//! frames' resolution, tile by tile those guide blocks that turn noise into pixels.
//! Source: the public `ltx_core` reference, `model/video_vae/diffusion_video_decoder.py` and `transformer/`.
//!
//! Must not know how tiles are blended, or where the noise comes from.

mod block;
mod config;
mod decoder;
mod features;
mod footprint;
mod frames;
mod geometry;
mod modulation;
mod upsample;
mod work;

pub use config::DiffusionConfig;
pub use decoder::{DiffusionDecoder, TileNoise};
pub use features::{Features, TilePlace};
pub use geometry::Padded;
pub use work::Decoded;
