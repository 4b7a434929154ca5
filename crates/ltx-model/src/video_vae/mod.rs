//! The video VAE: 32 × 32 × 8 pixels per latent element, causal encoder, a symmetric decoder or one that draws pixels from noise.
//! Source: the public `ltx_core` reference, `model/video_vae/`.
//!
//! Must not know tiles, frames' files, or what the latent is for.

mod config;
mod convolutional;
mod decoder;
pub mod diffusion;
mod encoder;
mod footprint;
mod patchify;
mod resample;
mod residual;
mod statistics;
mod timestep;
mod upsample;
mod work;

pub use config::VideoVaeConfig;
pub use convolutional::ConvolutionalDecoder;
pub use decoder::VideoDecoder;
pub use diffusion::{DiffusionConfig, DiffusionDecoder};
pub use encoder::{Posterior, VideoEncoder};
pub use footprint::ClipShape;
pub use statistics::LatentStatistics;
pub(crate) use work::Convolutions;
