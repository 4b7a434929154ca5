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
use ltx_weights::{LoadReport, ShapeOnly, TensorSet};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The official single file.
pub(crate) struct LtxFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) transformer: TransformerConfig,
    pub(crate) vae: VideoVaeConfig,
}

/// A Gemma-3 folder.
pub(crate) struct TextFolder {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: GemmaConfig,
    /// Where the language model's keys begin.
    pub(crate) prefix: &'static str,
}

/// The ×2 latent upscaler's file.
pub(crate) struct UpscalerFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: UpsamplerConfig,
}

impl LtxFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::from_tensors(TensorSet::open_file(path)?)
    }

    fn from_tensors(tensors: TensorSet) -> Result<Self> {
        let config = tensors.config()?;
        let part = |name| section(&config, name).map_err(config_of(tensors.path()));
        let transformer = TransformerConfig::from_json(part("transformer")?).map_err(config_of(tensors.path()))?;
        let vae = VideoVaeConfig::from_json(part("vae")?).map_err(config_of(tensors.path()))?;
        same("latent channels", vae.latent_channels, transformer.in_channels)?;
        Ok(Self { tensors: Arc::new(tensors), transformer, vae })
    }

    /// Loads every part from shapes alone. What is wrong with a key is in the account, so loading itself cannot fail.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        let source = ShapeOnly::new(Arc::clone(&self.tensors));
        let part = |name: &'static str| Vb::new(source.part(name), Compute::cpu_f32());
        let states = (self.transformer.caption_channels, self.text_states());
        let outputs = self.transformer.connector_dim();
        let loads = [
            FeatureProjection::load(&part("text projection"), states, outputs).map(drop),
            Connector::load(&part("text connector").pp(Transformer::PREFIX), &self.transformer).map(drop),
            Transformer::load(&part("transformer").pp(Transformer::PREFIX), &self.transformer).map(drop),
            VideoEncoder::load(&part("video VAE encoder").pp("vae"), &self.vae).map(drop),
            VideoDecoder::load(&part("video VAE decoder").pp("vae"), &self.vae).map(drop),
        ];
        loads.into_iter().filter_map(Result::err).for_each(|error| source.note(error));
        source
    }

    /// Hidden states that the text projection takes. The file's configuration does not say; its width does.
    fn text_states(&self) -> usize {
        let weight = "text_embedding_projection.video_aggregate_embed.weight";
        let width = self.tensors.shape_of(weight).and_then(|shape| shape.get(1)).copied().unwrap_or(0);
        width / self.transformer.caption_channels
    }

    /// Refuses a text encoder of another width or depth.
    pub(crate) fn check_text_encoder(&self, config: &GemmaConfig) -> Result<()> {
        same("text encoder width", config.hidden_size, self.transformer.caption_channels)?;
        same("text encoder hidden states", config.states(), self.text_states())
    }
}

impl TextFolder {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("config.json");
        let config = GemmaConfig::from_json(&read_json(&file)?).map_err(config_of(&file))?;
        let tensors = Arc::new(TensorSet::open_folder(folder)?);
        let has_model = |prefix: &&str| tensors.has_prefix(&format!("{prefix}.layers."));
        let prefix = Gemma::PREFIXES.into_iter().find(has_model);
        let prefix = prefix.ok_or_else(|| PipelineError::NotATextEncoder { folder: folder.to_owned() })?;
        Ok(Self { tensors, config, prefix })
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
        let file = self.tensors.path().join("tokenizer.json");
        let bytes = fs::read(&file).map_err(|source| PipelineError::Read { file: file.clone(), source })?;
        PromptTokenizer::from_bytes(&bytes, self.config.bos_token_id)
            .map_err(|source| PipelineError::Tokenizer { file, source })
    }
}

impl UpscalerFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::from_tensors(TensorSet::open_file(path)?)
    }

    fn from_tensors(tensors: TensorSet) -> Result<Self> {
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
    /// The file or folder.
    pub path: PathBuf,
    /// What it is.
    pub kind: &'static str,
    /// The model's version, where the file states one.
    pub version: Option<String>,
    /// A line of its main sizes.
    pub sizes: String,
    /// Every key, accounted for.
    pub report: LoadReport,
}

/// Recognises a checkpoint, an upscaler or a Gemma-3 folder and accounts for its keys. The account may hold problems;
/// whether they are fatal is for the caller.
///
/// # Errors
/// The file cannot be read, is not of a known kind, or its configuration is not supported.
pub fn inspect(path: &Path) -> Result<Inspected> {
    if path.is_dir() {
        return Ok(inspect_text(path, &TextFolder::open(path)?));
    }
    let tensors = TensorSet::open_file(path)?;
    let version = tensors.metadata("model_version").map(str::to_owned);
    let path = path.to_owned();
    let config = tensors.config()?;
    if config.get("transformer").is_some() {
        let file = LtxFile::from_tensors(tensors)?;
        let (transformer, scale) = (&file.transformer, file.vae.scale());
        let sizes = format!(
            "{} layers × {} heads × {}, {} latent channels, {}×{}×{} pixels per latent element",
            transformer.num_layers,
            transformer.num_attention_heads,
            transformer.attention_head_dim,
            file.vae.latent_channels,
            scale.width,
            scale.height,
            scale.time
        );
        return Ok(Inspected { path, kind: "LTX-2.3 checkpoint", version, sizes, report: file.account().report() });
    }
    if config.get("_class_name").and_then(Value::as_str) == Some("LatentUpsampler") {
        let file = UpscalerFile::from_tensors(tensors)?;
        let sizes = format!("{} latent channels, {} inside", file.config.in_channels, file.config.mid_channels);
        return Ok(Inspected { path, kind: "×2 latent upscaler", version, sizes, report: file.account().report() });
    }
    Err(PipelineError::UnknownKind { file: path })
}

fn inspect_text(path: &Path, folder: &TextFolder) -> Inspected {
    let config = &folder.config;
    let sizes =
        format!("{} layers, width {}, {} tokens", config.num_hidden_layers, config.hidden_size, config.vocab_size);
    let (path, report) = (path.to_owned(), folder.account().report());
    Inspected { path, kind: "Gemma-3 text encoder", version: None, sizes, report }
}

/// Names the file in an error about its configuration.
fn config_of(file: &Path) -> impl FnOnce(NnError) -> PipelineError {
    |source| PipelineError::Config { file: file.to_owned(), source }
}

fn read_json(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).map_err(|source| PipelineError::Read { file: file.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| PipelineError::BadJson { file: file.to_owned(), source })
}
