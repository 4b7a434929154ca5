//! The LTX modules: text encoder, video VAE, transformer, latent upsampler.
