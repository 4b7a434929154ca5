//! The files of a model as paths: what a catalogue finds and an engine opens.
//!
//! Must not know what is in them, or whether they are there.

use std::{ops::RangeInclusive, path::PathBuf};

/// Where a model's files lie.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// Transformer, connector, text projection and VAE; or the first of several component files.
    pub checkpoint: PathBuf,
    /// The other component files; a `*.json` among them states the configuration.
    pub components: Vec<PathBuf>,
    /// The Gemma-3 folder, or a file with `config.json` and `tokenizer.json` in it or beside it.
    pub text_encoder: PathBuf,
    /// The ×2 latent upscaler.
    pub upscaler: Option<PathBuf>,
    /// LoRA files over the checkpoint.
    pub loras: Vec<LoraChoice>,
}

impl ModelFiles {
    /// The checkpoint and the other component files.
    pub fn checkpoint_files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.checkpoint).chain(&self.components).cloned().collect()
    }
}

/// A LoRA file and how strongly it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraChoice {
    /// The file.
    pub path: PathBuf,
    /// Multiplies what it adds; 0 adds nothing.
    pub strength: f32,
}

/// The strengths that a LoRA may have.
pub const LORA_STRENGTHS: RangeInclusive<f32> = -100.0..=100.0;
