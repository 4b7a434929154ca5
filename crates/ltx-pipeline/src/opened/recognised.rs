//! Whether files are what they are given for: a file of another generation, layout or vendor, or of another part of a model, is
//! named as what it is before any of its keys is complained about.
//!
//! Must not know how a model is loaded.

use super::{
    Held, KeysOf, T5Files, TextFolder,
    version::{holder, version_of},
};
use crate::{PipelineError, Result};
use ltx_model::{
    architecture::Family,
    foreign::{Foreign, Signs},
    part::Module,
    transformer::Transformer,
    upsampler::UpsamplerConfig,
};
use ltx_types::model_version;
use ltx_weights::{TensorSet, is_lora};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How many beginnings of keys a message shows.
const SHOWN: usize = 4;

/// What the files are, if they are not for this engine.
pub(crate) fn foreign(tensors: &TensorSet) -> Option<Foreign> {
    let config = tensors.states_config().then(|| tensors.config().ok()).flatten();
    Foreign::of(&Signs {
        keys: &KeysOf(tensors),
        config: config.as_ref(),
        version: version_of(tensors),
        architecture: tensors.metadata("general.architecture"),
    })
}

pub(crate) fn refused(file: &Path, found: Foreign) -> PipelineError {
    let Foreign { title, sign, instead } = found;
    PipelineError::Foreign { file: file.to_owned(), title, sign, instead }
}

/// What files are together that are of another generation than their configuration, where one of them says so.
pub(crate) fn contradicted(tensors: &TensorSet, config: &Value) -> Option<Foreign> {
    let keys = &KeysOf(tensors);
    Foreign::of_contradiction(&Signs { keys, config: Some(config), version: version_of(tensors), architecture: None })
}

/// What files with a transformer are, by their version and keys, where no configuration says it.
pub(crate) fn named_without_configuration(tensors: &TensorSet) -> Option<PipelineError> {
    let holder = tensors.files_with(Transformer::MARK).next()?;
    let shown = Family::shown_by(&KeysOf(tensors));
    let stated = version_of(tensors).and_then(model_version).map(|version| Family::of_version(Some(version)));
    let family = if shown == Some(Family::Ltx25) { shown } else { stated.or(shown) };
    let what = if tensors.has_prefix("vae.") { "checkpoint" } else { "transformer" };
    Some(PipelineError::Foreign {
        file: holder.to_owned(),
        title: format!("{} {what} without a configuration", family?.title()),
        sign: "its header has no entry config".to_owned(),
        instead: "name an official file, or a .json, that states the configuration as a component",
    })
}

/// Refuses files that are together of another generation than their configuration.
///
/// # Errors
/// They are: what they are, and the file that holds the transformer.
pub(super) fn check_generation(tensors: &TensorSet, config: &Value) -> Result<()> {
    contradicted(tensors, config).map_or(Ok(()), |found| Err(refused(holder(tensors), found)))
}

/// Opens several files; refuses each that is of another generation, layout or vendor, or a LoRA.
pub(super) fn open_each(files: &[PathBuf]) -> Result<Vec<TensorSet>> {
    let mut each = Vec::new();
    for file in files.iter().filter(|file| !is_json(file)) {
        let tensors = TensorSet::open_file(file)?;
        if is_lora(&tensors) {
            return Err(as_another_part(file, "LoRA", "name it with --lora, beside a transformer"));
        }
        if let Some(found) = foreign(&tensors) {
            return Err(refused(file, found));
        }
        each.push(tensors);
    }
    Ok(each)
}

/// What files without any part of a checkpoint are.
pub(super) fn misplaced(tensors: &TensorSet) -> PipelineError {
    let file = tensors.path().to_owned();
    let named = |title: &str, instead| as_another_part(&file, title, instead);
    let config = if tensors.states_config() { tensors.config().ok() } else { None };
    if config.is_some_and(|config| UpsamplerConfig::is_stated_by(&config)) {
        return named("latent upscaler", "name it with --upscaler, beside a transformer");
    }
    if T5Files::is_among(tensors) {
        return named("T5 text encoder", "name it with --text-encoder, beside a transformer");
    }
    if TextFolder::prefix_in(tensors).is_some() {
        return named("Gemma text encoder", "name it with --text-encoder, beside a transformer");
    }
    if tensors.vision_files().next().is_some() {
        return PipelineError::VisionAlone { file };
    }
    if is_duration_head(tensors) {
        return named("LTX-2.5 duration head", "name a transformer; lengths are said, not predicted");
    }
    if is_audio(tensors) {
        return named("LTX audio VAE", "name a transformer; audio is left alone");
    }
    unknown(tensors)
}

fn as_another_part(file: &Path, title: &str, instead: &'static str) -> PipelineError {
    let sign = "it holds neither a transformer nor another part of a checkpoint".to_owned();
    PipelineError::Foreign { file: file.to_owned(), title: title.to_owned(), sign, instead }
}

/// Whether files hold an LTX audio VAE, or its vocoder, and nothing else.
pub(crate) fn is_audio(tensors: &TensorSet) -> bool {
    let mut keys = tensors.keys().peekable();
    keys.peek().is_some() && keys.all(|key| key.starts_with("audio_vae.") || key.starts_with("vocoder."))
}

/// Whether files hold the head that predicts a clip's length, and nothing else.
pub(crate) fn is_duration_head(tensors: &TensorSet) -> bool {
    let mut keys = tensors.keys().peekable();
    keys.peek().is_some() && keys.all(|key| key.starts_with("duration_head."))
}

/// An error that shows how the keys of an unknown file begin.
pub(crate) fn unknown(tensors: &TensorSet) -> PipelineError {
    let mut heads: Vec<&str> = tensors.keys().map(|key| key.split('.').next().unwrap_or(key)).collect();
    heads.dedup();
    let more = if heads.len() > SHOWN { ", …" } else { "" };
    let keys = format!("{}{more}", heads.into_iter().take(SHOWN).collect::<Vec<_>>().join(", "));
    PipelineError::UnknownKind { file: tensors.path().to_owned(), keys }
}

pub(crate) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// The class that a diffusers layout names: of its pipeline, or of the component whose folder it is.
pub(super) fn diffusers_class(folder: &Path) -> Option<String> {
    ["model_index.json", "config.json"].into_iter().find_map(|name| {
        let text = std::fs::read(folder.join(name)).ok()?;
        let json: Value = serde_json::from_slice(&text).ok()?;
        let class = json.get("_class_name")?.as_str()?.to_owned();
        (name == "model_index.json" || json.get("_diffusers_version").is_some() || has_diffusers_weights(folder))
            .then_some(class)
    })
}

fn has_diffusers_weights(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("diffusion_pytorch_model"))
}

/// Which parts of a checkpoint a file holds, where it is one of this engine's.
pub(super) struct Part {
    pub(super) file: PathBuf,
    pub(super) held: Held,
}

/// Looks at each of some files: those that hold parts of an LTX-2.3 checkpoint, and what the first other one is.
pub(super) fn parts_among(files: Vec<PathBuf>) -> Result<(Vec<Part>, Option<PipelineError>)> {
    let (mut parts, mut other) = (Vec::new(), None);
    for file in files {
        let tensors = TensorSet::open_file(&file)?;
        let held = Held::by(&tensors);
        if is_lora(&tensors) {
            continue;
        }
        match foreign(&tensors) {
            Some(found) => drop(other.get_or_insert(refused(&file, found))),
            None if held.here.is_empty() => drop(other.get_or_insert_with(|| misplaced(&tensors))),
            None => parts.push(Part { file, held }),
        }
    }
    Ok((parts, other))
}
