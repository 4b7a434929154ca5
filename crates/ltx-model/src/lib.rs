//! The LTX modules: text encoder, video VAE, transformer, latent upsampler; and what a checkpoint is ([`architecture`]).
//!
//! Must not know: sampling, requests, policy, files. A module ([`part::Module`]) is a `Config`, a `load(root, &config)` whose
//! paths are the checkpoint's own key names, a `forward`, and beside it a `footprint`: the memory that the forward takes.
#![forbid(unsafe_code)]

pub mod architecture;
mod attention;
pub mod config;
pub mod derived;
pub mod diffusers;
pub mod footprint;
pub mod foreign;
mod layers;
mod layout;
pub mod part;
pub mod t5;
pub mod text_encoder;
mod timestep_embedding;
pub mod transformer;
pub mod upsampler;
pub mod video_vae;
