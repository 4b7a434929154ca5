//! What a file is: a checkpoint or a component of one, an upscaler, a LoRA or a text encoder, with its main sizes and the
//! account of its keys.
//!
//! Must not know what the report is printed on.

use crate::{
    PipelineError, Result,
    opened::{
        Held, T5Files, TextFolder, account, account_alone, checkpoint_in, components, config_of, configuration,
        has_no_text_part, is_gemma, joined, left_alone, left_alone_in_folder, pipeline_notes,
        recognised::{contradicted, foreign, is_audio, is_duration_head, is_json, unknown},
        scheduler_note,
        version::{self, version_of},
    },
};
use ltx_model::{
    architecture::{Components, Family},
    foreign::Foreign,
    text_encoder::{FeatureProjection, Features, GemmaConfig, ProjectionConfig},
    transformer::TransformerConfig,
    upsampler::{Upsampler, UpsamplerConfig},
};
use ltx_types::{LoraChoice, Part, model_version};
use ltx_weights::{KeyProblem, LoadReport, LoraAlone, Loras, ShapeOnly, TensorSet, is_lora, lora_report};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file or folder, recognised and accounted for.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The file or folder; of several, the first.
    pub path: PathBuf,
    /// What it is, such as `LTX-2.3 checkpoint`.
    pub kind: String,
    /// `safetensors` or `GGUF`, or both where files of both kinds were named.
    pub formats: Vec<&'static str>,
    /// The model's version, where the file states one.
    pub version: Option<String>,
    /// A line of its main sizes.
    pub sizes: String,
    /// Parts of a checkpoint that are not in it.
    pub absent: Vec<Part>,
    /// What was taken from somewhere else than a reader would think, or left alone.
    pub notes: Vec<String>,
    /// Every key, accounted for.
    pub report: LoadReport,
}

/// Recognises a checkpoint or a component of one, an upscaler, a LoRA, or a Gemma folder or file, and accounts for its
/// keys. The account may hold problems; whether they are fatal is for the caller.
///
/// # Errors
/// The file cannot be read, is not of a known kind, or its configuration is not supported.
pub fn inspect(path: &Path) -> Result<Inspected> {
    if path.is_dir() {
        return inspect_folder(path);
    }
    let tensors = TensorSet::open_file(path)?;
    if T5Files::is_among(&tensors) {
        return Ok(inspect_t5(path, &T5Files::open(path)?));
    }
    if is_lora(&tensors)
        && let Some(inspected) = inspect_lora(path)?
    {
        return Ok(inspected);
    }
    if let Some(inspected) = inspect_foreign(&tensors) {
        return Ok(inspected);
    }
    if TextFolder::prefix_in(&tensors).is_some() {
        return inspect_text(path, &TextFolder::open(path)?);
    }
    inspect_ltx(Arc::new(tensors), &[])
}

/// Accounts for component files that make one checkpoint together; a `*.json` among them states the configuration. LoRA files
/// over it are part of the account.
///
/// # Errors
/// As [`inspect`]; or two files hold the same key, or a LoRA file cannot be read.
pub fn inspect_together(paths: &[PathBuf], loras: &[LoraChoice]) -> Result<Inspected> {
    Ok(inspect_opened(paths, loras)?.0)
}

/// The same, with the files as they were opened; without them where one is not for this engine.
pub(crate) fn inspect_opened(paths: &[PathBuf], loras: &[LoraChoice]) -> Result<(Inspected, Option<Arc<TensorSet>>)> {
    let mut each = Vec::new();
    for path in paths.iter().filter(|path| !is_json(path)) {
        let tensors = TensorSet::open_file(path)?;
        if let Some(inspected) = inspect_foreign(&tensors) {
            return Ok((inspected, None));
        }
        each.push(tensors);
    }
    let tensors = Arc::new(joined(paths, each)?);
    let mut inspected = inspect_ltx(Arc::clone(&tensors), loras)?;
    inspected.notes.extend(pipeline_notes(paths));
    Ok((inspected, Some(tensors)))
}

/// A folder: of Gemma-3, or of a checkpoint.
fn inspect_folder(path: &Path) -> Result<Inspected> {
    // A folder of diffusers holds a T5 as well; it is the checkpoint that is asked for.
    if !path.join("model_index.json").exists() && T5Files::is_at(path) {
        return Ok(inspect_t5(path, &T5Files::open(path)?));
    }
    match TextFolder::open(path) {
        Ok(folder) => inspect_text(path, &folder),
        Err(error) => match checkpoint_in(path) {
            Ok(files) => {
                let mut inspected = inspect_together(&files, &[])?;
                inspected.notes.extend(left_alone_in_folder(path, &files));
                Ok(inspected)
            }
            Err(PipelineError::NothingInFolder { .. } | PipelineError::Read { .. }) => Err(error),
            // A Gemma folder that cannot be used says more itself.
            Err(_)
                if path.join("config.json").exists() && !path.join("model_index.json").exists() && is_gemma(path) =>
            {
                Err(error)
            }
            Err(other) => Err(other),
        },
    }
}

/// A file that this engine does not run, titled as what it is; that is what is wrong with it, not its keys.
fn inspect_foreign(tensors: &TensorSet) -> Option<Inspected> {
    foreign(tensors).map(|found| as_foreign(tensors, found))
}

fn as_foreign(tensors: &TensorSet, Foreign { title, sign, instead }: Foreign) -> Inspected {
    let problem = KeyProblem::Unreadable { reason: format!("{title}: {sign}; {instead}") };
    Inspected {
        path: tensors.path().to_owned(),
        kind: title.trim_end_matches(',').to_owned(),
        formats: tensors.formats().into_iter().collect(),
        version: version_of(tensors).map(str::to_owned),
        sizes: format!("not run here: {sign}"),
        absent: vec![],
        notes: vec![],
        report: LoadReport::of_foreign(tensors, problem),
    }
}

fn inspect_ltx(tensors: Arc<TensorSet>, loras: &[LoraChoice]) -> Result<Inspected> {
    let path = tensors.path().to_owned();
    let version = version_of(&tensors).map(str::to_owned);
    let formats = tensors.formats().into_iter().collect();
    let nothing = (serde_json::Value::Null, Vec::new());
    let left = is_audio(&tensors) || is_duration_head(&tensors) || tensors.vision_files().next().is_some();
    let (config, notes) = match configuration(&tensors, None) {
        _ if left && !tensors.states_config() => nothing,
        // What it is comes before what is missing.
        Err(PipelineError::Foreign { title, sign, instead, .. }) => {
            return Ok(as_foreign(&tensors, Foreign { title, sign, instead }));
        }
        stated => stated?,
    };
    if let Some(found) = contradicted(&tensors, &config) {
        return Ok(as_foreign(&tensors, found));
    }
    let mut notes: Vec<String> = notes.into_iter().chain(tensors.vision_files().map(left_alone)).collect();
    notes.extend(tensors.check_entries()?);
    notes.extend(scheduler_note(&path, &config));
    let in_vain = tensors.stated_in_vain();
    notes.extend(in_vain.iter().map(|stated| format!("{}: {}: {stated}", stated.file.display(), stated.layer)));
    let Held { here, absent } = Held::by(&tensors);
    if !here.is_empty() || config.get("transformer").is_some() {
        // A file that holds no part at all is accounted for as a whole one, in which every key is missing.
        let (parts, absent) = if here.is_empty() { (absent, here) } else { (here, absent) };
        let components = components(&tensors, &config, &parts)?;
        // A VAE alone says by its version or its keys which family it is of, if it says it.
        let stated = version.as_deref().and_then(model_version);
        let alone = || match has_no_text_part(&tensors) {
            true => Family::Ltxv098,
            false => Family::of_version(stated),
        };
        let family = components.family.unwrap_or_else(alone);
        notes.extend(version::check(&tensors, family)?);
        let kind = format!("{} {}", family.title(), if absent.is_empty() { "checkpoint" } else { "component" });
        let source = ShapeOnly::with_loras(Arc::clone(&tensors), Arc::new(Loras::open(loras, &tensors)?));
        let report = account(source, &components, &parts).report();
        return Ok(Inspected { path, kind, formats, version, sizes: sizes(&components), absent, notes, report });
    }
    if UpsamplerConfig::is_stated_by(&config) {
        let config = UpsamplerConfig::from_json(&config).map_err(config_of(&path))?;
        let sizes = format!("{} latent channels, {} inside", config.in_channels, config.mid_channels);
        let resampling = config.resampling.title();
        let report = account_alone::<Upsampler>(&tensors, "", &config).report();
        let kind = format!("{resampling} latent upscaler");
        return Ok(Inspected { path, kind, formats, version, sizes, absent: vec![], notes, report });
    }
    let kind = if tensors.vision_files().next().is_some() {
        "vision side of a language model (mmproj)"
    } else if is_duration_head(&tensors) {
        "LTX-2.5 duration head"
    } else if is_audio(&tensors) {
        "LTX audio VAE"
    } else {
        return Err(unknown(&tensors));
    };
    let (kind, sizes, report) = (kind.to_owned(), "left alone here".to_owned(), ShapeOnly::new(tensors).report());
    Ok(Inspected { path, kind, formats, version, sizes, absent: vec![], notes, report })
}

/// A LoRA file alone. Whether its shapes fit is known only beside a checkpoint ([`inspect_together`]).
fn inspect_lora(path: &Path) -> Result<Option<Inspected>> {
    let Some(LoraAlone { report, ranks: (least, most), notes }) = lora_report(path)? else { return Ok(None) };
    let ranks = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let (path, sizes) = (path.to_owned(), format!("rank {ranks}"));
    Ok(Some(Inspected {
        path,
        kind: "LoRA".to_owned(),
        formats: vec!["safetensors"],
        version: None,
        sizes,
        absent: vec![],
        notes,
        report,
    }))
}

/// The main sizes of a checkpoint, or of what a component holds.
fn sizes(components: &Components) -> String {
    let transformer = components.transformer.as_ref().map(|config| {
        let TransformerConfig { num_layers, num_attention_heads, attention_head_dim, .. } = config;
        format!("{num_layers} layers × {num_attention_heads} heads × {attention_head_dim}")
    });
    let vae = components.vae.as_ref().map(|config| {
        let scale = config.scale();
        let (width, height, time) = (scale.width, scale.height, scale.time);
        let channels = config.latent_channels;
        format!("{channels} latent channels, {width}×{height}×{time} pixels per latent element")
    });
    transformer.into_iter().chain(vae).collect::<Vec<_>>().join(", ")
}

fn inspect_text(path: &Path, folder: &TextFolder) -> Result<Inspected> {
    let config = &folder.config;
    let sizes =
        format!("{} layers, width {}, {} tokens", config.num_hidden_layers, config.hidden_size, config.vocab_size);
    let formats = folder.tensors.formats().into_iter().collect();
    let (title, mut report) = (config.generation.title(), folder.account().report());
    let mut kind = format!("{title} text encoder");
    if let Some(projection) = folder.projection_tensors()? {
        kind.push_str(", with the text projection of a checkpoint");
        report = report.and(projection_account(projection, config));
    }
    let (path, version, notes) = (path.to_owned(), config.gemma_version.clone(), folder.notes.clone());
    Ok(Inspected { path, kind, formats, version, sizes, absent: vec![], notes, report })
}

/// The account of a text projection that lies beside the language model whose states it takes; its own width is what it says.
fn projection_account(tensors: TensorSet, language: &GemmaConfig) -> LoadReport {
    let shape = tensors.shape_of("text_embedding_projection.video_aggregate_embed.weight");
    let outputs = shape.and_then(|shape| shape.first()).copied().unwrap_or(0);
    let (features, hidden) = (Features::PerTokenRms, language.hidden_size);
    let config = ProjectionConfig { features, hidden, states: language.states(), outputs };
    account_alone::<FeatureProjection>(&Arc::new(tensors), "", &config).report()
}

fn inspect_t5(path: &Path, text: &T5Files) -> Inspected {
    let config = &text.config;
    let sizes = format!("{} layers, width {}, {} tokens", config.num_layers, config.d_model, config.vocab_size);
    Inspected {
        path: path.to_owned(),
        kind: "T5 text encoder".to_owned(),
        formats: text.tensors.formats().into_iter().collect(),
        version: None,
        sizes,
        absent: vec![],
        notes: text.notes.clone(),
        report: text.account().report(),
    }
}
