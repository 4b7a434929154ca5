//! Which of several files is what part of a model.
//!
//! Must not know how they are loaded.

use crate::{
    PipelineError, Result,
    opened::{T5Files, TextFolder, recognised::is_json},
};
use ltx_model::{part::CHECKPOINT, upsampler::UpsamplerConfig};
use ltx_types::{ModelFiles, Part};
use ltx_weights::TensorSet;
use std::path::{Path, PathBuf};

/// Tells the files of one model apart by their keys: a Gemma-3 folder or file, an upscaler, and what is left.
///
/// # Errors
/// A file cannot be read; no checkpoint is among them, or no text encoder.
pub fn told_apart(paths: &[PathBuf]) -> Result<ModelFiles> {
    let (mut text_encoder, mut upscaler, mut others) = (None, None, Vec::new());
    for path in paths {
        match kind(path)? {
            Kind::TextEncoder => text_encoder = Some(path.clone()),
            Kind::Upscaler => upscaler = Some(path.clone()),
            Kind::Checkpoint => others.push(path.clone()),
            // Beside Gemma for images, and left alone.
            Kind::Vision => {}
        }
    }
    // Weights come first: the first file gives the checkpoint its name.
    others.sort_by_key(|path| is_json(path));
    let absent = |parts: &[Part]| {
        let file = paths.first().cloned().unwrap_or_default();
        PipelineError::MissingParts { file, parts: parts.to_vec() }
    };
    let of_checkpoint = CHECKPOINT.map(|marked| marked.part);
    let mut others = others.into_iter();
    let checkpoint = others.next().filter(|path| !is_json(path)).ok_or_else(|| absent(&of_checkpoint))?;
    let text_encoder = text_encoder.ok_or_else(|| absent(&[Part::LanguageModel]))?;
    Ok(ModelFiles { checkpoint, components: others.collect(), text_encoder, upscaler, loras: Vec::new() })
}

enum Kind {
    Checkpoint,
    TextEncoder,
    Upscaler,
    Vision,
}

fn kind(path: &Path) -> Result<Kind> {
    if path.is_dir() {
        return Ok(Kind::TextEncoder);
    }
    if is_json(path) {
        return Ok(Kind::Checkpoint);
    }
    let tensors = TensorSet::open_file(path)?;
    if TextFolder::prefix_in(&tensors).is_some() || T5Files::is_among(&tensors) {
        return Ok(Kind::TextEncoder);
    }
    if tensors.vision_files().next().is_some() {
        return Ok(Kind::Vision);
    }
    let upscales = tensors.states_config() && UpsamplerConfig::is_stated_by(&tensors.config()?);
    Ok(if upscales { Kind::Upscaler } else { Kind::Checkpoint })
}
