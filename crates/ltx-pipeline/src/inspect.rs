//! What a file is, and the account of its keys: the models' real `load()` runs on shapes alone.
//!
//! Must not know what the report is printed on.

use crate::{PipelineError, Result, engine::same};
use ltx_model::{
    config::section,
    text_encoder::{Connector, FeatureProjection, Gemma, GemmaConfig, PromptTokenizer},
    transformer::{Transformer, TransformerConfig},
    upsampler::{Upsampler, UpsamplerConfig},
    video_vae::{VideoDecoder, VideoEncoder, VideoVaeConfig},
};
use ltx_nn::{Compute, NnError, Vb};
use ltx_types::LoraChoice;
use ltx_weights::{LoadReport, Loras, ShapeOnly, TensorSet, lora_report};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The official single file, or its components.
pub(crate) struct LtxFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) transformer: TransformerConfig,
    pub(crate) vae: VideoVaeConfig,
    pub(crate) loras: Arc<Loras>,
}

/// A Gemma-3 folder or file.
pub(crate) struct TextFolder {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: GemmaConfig,
    /// Where the language model's keys begin.
    pub(crate) prefix: &'static str,
    /// Where `config.json` and `tokenizer.json` are.
    pub(crate) folder: PathBuf,
}

/// The ×2 latent upscaler's file.
pub(crate) struct UpscalerFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: UpsamplerConfig,
}

/// The parts of a checkpoint, and the keys by which they are found.
const PARTS: [(&str, &str); 5] = [
    (TRANSFORMER, "model.diffusion_model.transformer_blocks."),
    (CONNECTOR, "model.diffusion_model.video_embeddings_connector."),
    (PROJECTION, "text_embedding_projection.video_aggregate_embed."),
    (ENCODER, "vae.encoder."),
    (DECODER, "vae.decoder."),
];
const TRANSFORMER: &str = "transformer";
const CONNECTOR: &str = "text connector";
const PROJECTION: &str = "text projection";
const ENCODER: &str = "video VAE encoder";
const DECODER: &str = "video VAE decoder";

/// The parts that files hold, and those that they do not.
fn parts_of(tensors: &TensorSet) -> (Vec<&'static str>, Vec<&'static str>) {
    let (here, absent): (Vec<_>, Vec<_>) = PARTS.iter().partition(|(_, prefix)| tensors.has_prefix(prefix));
    let names = |parts: Vec<&(&'static str, &'static str)>| parts.into_iter().map(|(name, _)| *name).collect();
    (names(here), names(absent))
}

impl LtxFile {
    /// The official single file, or the component files of one model; and LoRA files over it.
    pub(crate) fn open(files: &[PathBuf], loras: &[LoraChoice]) -> Result<Self> {
        let tensors = TensorSet::open_files(files)?;
        let (here, absent) = parts_of(&tensors);
        if !here.is_empty() && !absent.is_empty() {
            return Err(PipelineError::MissingParts { file: tensors.path().to_owned(), parts: absent });
        }
        let config = tensors.config()?;
        let transformer = transformer_config(&tensors, &config)?;
        let vae = vae_config(&tensors, &config)?;
        same("latent channels", vae.latent_channels, transformer.in_channels)?;
        let loras = Arc::new(Loras::open(loras, &tensors)?);
        Ok(Self { tensors: Arc::new(tensors), transformer, vae, loras })
    }

    /// Loads every part from shapes alone. What is wrong with a key is in the account, so loading itself cannot fail.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        let source = ShapeOnly::with_loras(Arc::clone(&self.tensors), Arc::clone(&self.loras));
        account(source, &self.tensors, (Some(&self.transformer), Some(&self.vae)), &PARTS.map(|(name, _)| name))
    }

    /// Hidden states that the text projection takes. The file's configuration does not say; its width does.
    fn text_states(&self) -> usize {
        text_states(&self.tensors, &self.transformer)
    }

    /// Refuses a text encoder of another width or depth.
    pub(crate) fn check_text_encoder(&self, config: &GemmaConfig) -> Result<()> {
        same("text encoder width", config.hidden_size, self.transformer.caption_channels)?;
        same("text encoder hidden states", config.states(), self.text_states())
    }
}

fn transformer_config(tensors: &TensorSet, config: &Value) -> Result<TransformerConfig> {
    let stated = section(config, "transformer").and_then(TransformerConfig::from_json);
    stated.map_err(config_of(tensors.path()))
}

fn vae_config(tensors: &TensorSet, config: &Value) -> Result<VideoVaeConfig> {
    section(config, "vae").and_then(VideoVaeConfig::from_json).map_err(config_of(tensors.path()))
}

fn text_states(tensors: &TensorSet, config: &TransformerConfig) -> usize {
    let weight = "text_embedding_projection.video_aggregate_embed.weight";
    let width = tensors.shape_of(weight).and_then(|shape| shape.get(1)).copied().unwrap_or(0);
    width / config.caption_channels
}

/// Loads `parts` from shapes alone.
fn account(
    source: Arc<ShapeOnly>,
    tensors: &TensorSet,
    (transformer, vae): (Option<&TransformerConfig>, Option<&VideoVaeConfig>),
    parts: &[&'static str],
) -> Arc<ShapeOnly> {
    for name in parts.iter().copied() {
        let vb = Vb::new(source.part(name), Compute::cpu_f32());
        let loaded = match (name, transformer, vae) {
            (PROJECTION, Some(config), _) => {
                let states = (config.caption_channels, text_states(tensors, config));
                FeatureProjection::load(&vb, states, config.connector_dim()).map(drop)
            }
            (CONNECTOR, Some(config), _) => Connector::load(&vb.pp(Transformer::PREFIX), config).map(drop),
            (TRANSFORMER, Some(config), _) => Transformer::load(&vb.pp(Transformer::PREFIX), config).map(drop),
            (ENCODER, _, Some(config)) => VideoEncoder::load(&vb.pp("vae"), config).map(drop),
            (DECODER, _, Some(config)) => VideoDecoder::load(&vb.pp("vae"), config).map(drop),
            _ => Ok(()),
        };
        if let Err(error) = loaded {
            source.note(error);
        }
    }
    source
}

impl TextFolder {
    /// A folder of safetensors or GGUF files, or one such file. The configuration is in the file's metadata, or in
    /// `config.json` beside it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (tensors, folder) = if path.is_file() {
            (TensorSet::open_file(path)?, path.parent().unwrap_or(path).to_owned())
        } else {
            (TensorSet::open_folder(path)?, path.to_owned())
        };
        let has_model = |prefix: &&str| tensors.has_prefix(&format!("{prefix}.layers."));
        let prefix = Gemma::PREFIXES.into_iter().find(has_model);
        let prefix = prefix.ok_or_else(|| PipelineError::NotATextEncoder { folder: path.to_owned() })?;
        let config = gemma_config(&tensors, &folder)?;
        Ok(Self { tensors: Arc::new(tensors), config, prefix, folder })
    }

    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        let source = ShapeOnly::new(Arc::clone(&self.tensors));
        let vb = Vb::new(source.part("text encoder"), Compute::cpu_f32()).pp(self.prefix);
        if let Err(error) = Gemma::load(&vb, &self.config) {
            source.note(error);
        }
        source
    }

    pub(crate) fn tokenizer(&self) -> Result<PromptTokenizer> {
        let file = self.folder.join("tokenizer.json");
        let bytes = self.tokenizer_json()?;
        PromptTokenizer::from_bytes(&bytes, self.config.bos_token_id)
            .map_err(|source| PipelineError::Tokenizer { file, source })
    }

    /// The tokenizer, from the metadata or from `tokenizer.json`.
    pub(crate) fn tokenizer_json(&self) -> Result<Vec<u8>> {
        if let Some(text) = self.tensors.metadata(TOKENIZER) {
            return Ok(text.as_bytes().to_vec());
        }
        let file = self.folder.join("tokenizer.json");
        fs::read(&file).map_err(|source| PipelineError::Read { file, source })
    }
}

/// The metadata entry that GGUF names for a whole `tokenizer.json`.
pub(crate) const TOKENIZER: &str = "tokenizer.huggingface.json";

/// What the file itself states comes first: `ltxd quantize` writes `config`, llama.cpp's converter keys of its own.
fn gemma_config(tensors: &TensorSet, folder: &Path) -> Result<GemmaConfig> {
    if tensors.metadata("config").is_some() {
        return GemmaConfig::from_json(&tensors.config()?).map_err(config_of(tensors.path()));
    }
    if tensors.metadata("general.architecture") == Some("gemma3") {
        let vocabulary = tensors.shape_of("model.embed_tokens.weight").and_then(|shape| shape.first().copied());
        let stated = |key: &str| tensors.metadata(&format!("gemma3.{key}")).map(str::to_owned);
        return GemmaConfig::from_llama(stated, vocabulary.unwrap_or(0)).map_err(config_of(tensors.path()));
    }
    let file = folder.join("config.json");
    GemmaConfig::from_json(&read_json(&file)?).map_err(config_of(&file))
}

impl UpscalerFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let tensors = TensorSet::open_file(path)?;
        let config = UpsamplerConfig::from_json(&tensors.config()?).map_err(config_of(tensors.path()))?;
        Ok(Self { tensors: Arc::new(tensors), config })
    }

    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        let source = ShapeOnly::new(Arc::clone(&self.tensors));
        if let Err(error) = Upsampler::load(&Vb::new(source.part("latent upscaler"), Compute::cpu_f32()), &self.config)
        {
            source.note(error);
        }
        source
    }
}

/// A file or folder, recognised and accounted for.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The file or folder; of several, the first.
    pub path: PathBuf,
    /// What it is.
    pub kind: &'static str,
    /// `safetensors` or `GGUF`, or both where files of both kinds were named.
    pub formats: Vec<&'static str>,
    /// The model's version, where the file states one.
    pub version: Option<String>,
    /// A line of its main sizes.
    pub sizes: String,
    /// Parts of a checkpoint that are not in it.
    pub absent: Vec<&'static str>,
    /// Every key, accounted for.
    pub report: LoadReport,
}

/// Recognises a checkpoint or a component of one, an upscaler, a LoRA, or a Gemma-3 folder or file, and accounts for its keys. The
/// account may hold problems; whether they are fatal is for the caller.
///
/// # Errors
/// The file cannot be read, is not of a known kind, or its configuration is not supported.
pub fn inspect(path: &Path) -> Result<Inspected> {
    if path.is_dir() {
        return Ok(inspect_text(path, &TextFolder::open(path)?));
    }
    let tensors = TensorSet::open_file(path)?;
    if Gemma::PREFIXES.iter().any(|prefix| tensors.has_prefix(&format!("{prefix}.layers."))) {
        return Ok(inspect_text(path, &TextFolder::open(path)?));
    }
    if let Some(inspected) = inspect_lora(path)? {
        return Ok(inspected);
    }
    inspect_ltx(tensors, &[])
}

/// The same for component files that make one checkpoint together; a `*.json` among them states the configuration. LoRA files
/// over it are part of the account.
///
/// # Errors
/// As [`inspect`]; or two files hold the same key, or a LoRA file cannot be read.
pub fn inspect_together(paths: &[PathBuf], loras: &[LoraChoice]) -> Result<Inspected> {
    inspect_ltx(TensorSet::open_files(paths)?, loras)
}

fn inspect_ltx(tensors: TensorSet, loras: &[LoraChoice]) -> Result<Inspected> {
    let tensors = Arc::new(tensors);
    let path = tensors.path().to_owned();
    let version = tensors.metadata("model_version").map(str::to_owned);
    let formats = tensors.formats().into_iter().collect();
    let config = tensors.config()?;
    let (here, absent) = parts_of(&tensors);
    if !here.is_empty() || config.get("transformer").is_some() {
        // A file that holds no part at all is accounted for as a whole one, in which every key is missing.
        let (parts, absent) = if here.is_empty() { (absent, here) } else { (here, absent) };
        let needs = |names: &[&str]| parts.iter().any(|part| names.contains(part));
        let transformer = needs(&[TRANSFORMER, CONNECTOR, PROJECTION]).then(|| transformer_config(&tensors, &config));
        let vae = needs(&[ENCODER, DECODER]).then(|| vae_config(&tensors, &config));
        let (transformer, vae) = (transformer.transpose()?, vae.transpose()?);
        if let (Some(transformer), Some(vae)) = (&transformer, &vae) {
            same("latent channels", vae.latent_channels, transformer.in_channels)?;
        }
        let kind = if absent.is_empty() { "LTX-2.3 checkpoint" } else { "LTX-2.3 component" };
        let source = ShapeOnly::with_loras(Arc::clone(&tensors), Arc::new(Loras::open(loras, &tensors)?));
        let report = account(source, &tensors, (transformer.as_ref(), vae.as_ref()), &parts).report();
        let sizes = ltx_sizes(transformer.as_ref(), vae.as_ref());
        return Ok(Inspected { path, kind, formats, version, sizes, absent, report });
    }
    if config.get("_class_name").and_then(Value::as_str) == Some("LatentUpsampler") {
        let config = UpsamplerConfig::from_json(&config).map_err(config_of(&path))?;
        let sizes = format!("{} latent channels, {} inside", config.in_channels, config.mid_channels);
        let report = UpscalerFile { tensors, config }.account().report();
        return Ok(Inspected { path, kind: "×2 latent upscaler", formats, version, sizes, absent: vec![], report });
    }
    Err(PipelineError::UnknownKind { file: path })
}

/// A LoRA file alone. Whether its shapes fit is known only beside a checkpoint ([`inspect_together`]).
fn inspect_lora(path: &Path) -> Result<Option<Inspected>> {
    let Some((report, (least, most))) = lora_report(path)? else { return Ok(None) };
    let ranks = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let (path, sizes) = (path.to_owned(), format!("rank {ranks}"));
    Ok(Some(Inspected {
        path,
        kind: "LoRA",
        formats: vec!["safetensors"],
        version: None,
        sizes,
        absent: vec![],
        report,
    }))
}

fn ltx_sizes(transformer: Option<&TransformerConfig>, vae: Option<&VideoVaeConfig>) -> String {
    let transformer = transformer.map(|config| {
        let TransformerConfig { num_layers, num_attention_heads, attention_head_dim, .. } = config;
        format!("{num_layers} layers × {num_attention_heads} heads × {attention_head_dim}")
    });
    let vae = vae.map(|config| {
        let scale = config.scale();
        let (width, height, time) = (scale.width, scale.height, scale.time);
        let channels = config.latent_channels;
        format!("{channels} latent channels, {width}×{height}×{time} pixels per latent element")
    });
    transformer.into_iter().chain(vae).collect::<Vec<_>>().join(", ")
}

fn inspect_text(path: &Path, folder: &TextFolder) -> Inspected {
    let config = &folder.config;
    let sizes =
        format!("{} layers, width {}, {} tokens", config.num_hidden_layers, config.hidden_size, config.vocab_size);
    let (path, report) = (path.to_owned(), folder.account().report());
    let formats = folder.tensors.formats().into_iter().collect();
    Inspected { path, kind: "Gemma-3 text encoder", formats, version: None, sizes, absent: vec![], report }
}

/// Names the file in an error about its configuration.
fn config_of(file: &Path) -> impl FnOnce(NnError) -> PipelineError {
    |source| PipelineError::Config { file: file.to_owned(), source }
}

fn read_json(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).map_err(|source| PipelineError::Read { file: file.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| PipelineError::BadJson { file: file.to_owned(), source })
}
