//! The LTX modules: text encoder, video VAE, transformer, latent upsampler.
//!
//! Must not know: sampling, requests, policy, files. A module is a `Config`, a `load(vb, &config)` whose paths are the
//! checkpoint's own key names, and a `forward`.
#![forbid(unsafe_code)]

mod attention;
pub mod config;
mod layout;
pub mod text_encoder;
pub mod transformer;
pub mod upsampler;
pub mod video_vae;
