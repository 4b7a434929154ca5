//! A folder given for a checkpoint: one checkpoint in it, the parts of one, ComfyUI's folders, or something that is named and
//! refused.
//!
//! Must not know how a model is loaded.

use super::{
    pipeline,
    recognised::{Part as Holding, diffusers_class, foreign, parts_among, refused},
};
use crate::{PipelineError, Result};
use ltx_model::{diffusers::is_pipeline, foreign::Foreign, text_encoder::GemmaConfig};
use ltx_types::{ModelFiles, Part};
use ltx_weights::{Indexed, TensorSet};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How many files of a folder a note names.
const SHOWN: usize = 4;

/// Where ComfyUI keeps parts of a checkpoint.
const COMFYUI: [&str; 6] = ["checkpoints", "diffusion_models", "unet", "vae", "text_encoders", "clip"];

/// The files of a model with every folder in the place of a checkpoint's file replaced by the files in it.
///
/// # Errors
/// A folder holds no LTX-2.3 checkpoint, several, or something that is named.
pub fn resolved(files: &ModelFiles) -> Result<ModelFiles> {
    let mut all = Vec::new();
    for path in files.checkpoint_files() {
        if path.is_dir() { all.extend(checkpoint_in(&path)?) } else { all.push(path) }
    }
    let mut all = all.into_iter();
    let checkpoint = all.next().unwrap_or_else(|| files.checkpoint.clone());
    Ok(ModelFiles { checkpoint, components: all.collect(), ..files.clone() })
}

/// What a path in the place of a checkpoint is, if it is another generation, layout or vendor's model. A path that cannot be read
/// is none of them.
pub fn named_otherwise(path: &Path) -> Option<PipelineError> {
    if path.is_dir() {
        return checkpoint_in(path).err().filter(|error| matches!(error, PipelineError::Foreign { .. }));
    }
    let tensors = TensorSet::open_file(path).ok()?;
    foreign(&tensors).map(|found| refused(path, found))
}

/// The files of the checkpoint in a folder, the transformer's first.
pub(crate) fn checkpoint_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if let Some(class) = diffusers_class(folder) {
        if is_pipeline(&class) && folder.join("model_index.json").exists() {
            return components_of(folder);
        }
        return Err(refused(folder, Foreign::of_diffusers_class(&class)));
    }
    if is_gemma(folder) {
        return Err(PipelineError::Foreign {
            file: folder.to_owned(),
            title: "Gemma text encoder's folder".to_owned(),
            sign: "its config.json says so".to_owned(),
            instead: "name it with --text-encoder, and a checkpoint here",
        });
    }
    let (mut parts, other) = parts_among(weights_of(folder)?)?;
    parts.sort_by_key(|part| !part.held.here.contains(&Part::Transformer));
    for only in [Part::Transformer, Part::TextProjection, Part::VideoEncoder, Part::VideoDecoder] {
        let mut holding = parts.iter().filter(|part| part.held.here.contains(&only));
        if let (Some(first), Some(second)) = (holding.next(), holding.next()) {
            let files = [first, second].map(|Holding { file, .. }| file.clone());
            return Err(PipelineError::SeveralInFolder { folder: folder.to_owned(), part: only.name(), files });
        }
    }
    match other {
        Some(other) if parts.is_empty() => Err(other),
        _ if parts.is_empty() => Err(PipelineError::NothingInFolder { folder: folder.to_owned() }),
        _ => Ok(parts.into_iter().map(|part| part.file).collect()),
    }
}

/// What is said of files of weights in the folders of a checkpoint that are none of what they were [`resolved`] to: LoRAs, upscalers,
/// other models. What is named for another part is none of them.
pub fn left_alone_in(named: &ModelFiles, resolved: &ModelFiles) -> Vec<String> {
    let mut taken = resolved.checkpoint_files();
    let beside = named.loras.iter().map(|lora| &lora.path).chain([&named.text_encoder]).chain(&named.upscaler);
    taken.extend(beside.cloned());
    let folders = named.checkpoint_files().into_iter().filter(|path| path.is_dir());
    folders.filter_map(|folder| left_alone(&folder, &taken)).collect()
}

/// The same of one folder, of which these files are taken.
pub(crate) fn left_alone(folder: &Path, taken: &[PathBuf]) -> Option<String> {
    let left: Vec<PathBuf> = weights_of(folder).ok()?.into_iter().filter(|file| !taken.contains(file)).collect();
    let shown = left.iter().take(SHOWN).map(|file| file.strip_prefix(folder).unwrap_or(file).display().to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if left.len() > SHOWN { format!(" and {} more", left.len() - SHOWN) } else { String::new() };
    let what = "no parts of this checkpoint, and left alone";
    (!left.is_empty()).then(|| format!("{}: {shown}{more}: {what}", folder.display()))
}

/// The files of weights in a folder, or where it has none itself, in those that ComfyUI has in it.
fn weights_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut weights = weights_in(folder)?;
    if weights.is_empty() {
        for root in [folder.to_owned(), folder.join("models")] {
            for name in COMFYUI {
                weights.extend(weights_in(&root.join(name)).unwrap_or_default());
            }
        }
    }
    Ok(weights)
}

/// The files of a pipeline's folder of diffusers: weights and configuration of transformer and VAE.
fn components_of(folder: &Path) -> Result<Vec<PathBuf>> {
    pipeline::check(&folder.join(pipeline::INDEX))?;
    let (mut files, mut configs) = (Vec::new(), Vec::new());
    for name in ["transformer", "vae"] {
        let component = folder.join(name);
        let index = component.join(pipeline::WEIGHTS);
        let weights = match index.is_file() {
            true => Indexed::read(&index)?.files.into_iter().collect(),
            false => weights_in(&component)?,
        };
        if weights.is_empty() {
            return Err(PipelineError::NothingInFolder { folder: component });
        }
        files.extend(weights);
        configs.push(component.join("config.json"));
    }
    files.extend(configs);
    Ok(files)
}

/// The folder or file of a text encoder within a path: a folder that holds `text_encoder` stands for that.
pub(super) fn within(path: &Path) -> PathBuf {
    let inner = path.join("text_encoder");
    if inner.is_dir() { inner } else { path.to_owned() }
}

/// Whether a folder's `config.json` is a Gemma-3's.
pub(crate) fn is_gemma(folder: &Path) -> bool {
    let config = fs::read(folder.join("config.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
    config.is_some_and(|config| GemmaConfig::is_stated_by(&config))
}

fn weights_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let read_error = |source| PipelineError::Read { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        let named = path.extension().is_some_and(|extension| extension == "safetensors" || extension == "gguf");
        if named && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
