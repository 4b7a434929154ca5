//! The files of a model, opened: what each is, and the account of its keys, for which the models' real `load()` runs on
//! shapes alone.
//!
//! Must not know requests, or what an account is printed on.

use crate::{PipelineError, Result};
use ltx_model::{
    architecture::{Architecture, Components, Keys},
    part::{CHECKPOINT, Module},
    text_encoder::{Gemma, GemmaConfig, PromptTokenizer},
    upsampler::{Upsampler, UpsamplerConfig},
};
use ltx_nn::{Compute, NnError, Vb};
use ltx_types::{LoraChoice, Part};
use ltx_weights::{Loras, ShapeOnly, TensorSet};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The official single file, or its components.
pub(crate) struct LtxFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) architecture: Architecture,
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

/// The parts of a checkpoint that files hold, and those that they do not.
pub(crate) struct Held {
    pub(crate) here: Vec<Part>,
    pub(crate) absent: Vec<Part>,
}

impl Held {
    pub(crate) fn by(tensors: &TensorSet) -> Self {
        let (here, absent): (Vec<_>, Vec<_>) = CHECKPOINT.iter().partition(|marked| tensors.has_prefix(marked.mark));
        let parts = |marked: Vec<&ltx_model::part::Marked>| marked.into_iter().map(|marked| marked.part).collect();
        Self { here: parts(here), absent: parts(absent) }
    }
}

/// The keys of files, for what a configuration leaves to them.
struct KeysOf<'a>(&'a TensorSet);

impl Keys for KeysOf<'_> {
    fn shape_of(&self, key: &str) -> Option<&[usize]> {
        self.0.shape_of(key)
    }
}

impl LtxFile {
    /// The official single file, or the component files of one model; and LoRA files over it.
    pub(crate) fn open(files: &[PathBuf], loras: &[LoraChoice]) -> Result<Self> {
        let tensors = TensorSet::open_files(files)?;
        let Held { here, absent } = Held::by(&tensors);
        if !here.is_empty() && !absent.is_empty() {
            let parts = absent.into_iter().map(Part::name).collect();
            return Err(PipelineError::MissingParts { file: tensors.path().to_owned(), parts });
        }
        let config = tensors.config()?;
        let architecture = Architecture::from_config(&config, &KeysOf(&tensors)).map_err(config_of(tensors.path()))?;
        same("latent channels", architecture.vae.latent_channels, architecture.transformer.in_channels)?;
        let loras = Arc::new(Loras::open(loras, &tensors)?);
        Ok(Self { tensors: Arc::new(tensors), architecture, loras })
    }

    /// Loads every part from shapes alone. What is wrong with a key is in the account, so loading itself cannot fail.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        let source = ShapeOnly::with_loras(Arc::clone(&self.tensors), Arc::clone(&self.loras));
        account(source, &self.architecture.clone().into(), &CHECKPOINT.map(|marked| marked.part))
    }

    /// Refuses a text encoder of another width or depth.
    pub(crate) fn check_text_encoder(&self, config: &GemmaConfig) -> Result<()> {
        let projection = self.architecture.text.projection;
        same("text encoder width", config.hidden_size, projection.hidden)?;
        same("text encoder hidden states", config.states(), projection.states)
    }
}

/// The configurations of those parts of a checkpoint that files hold.
pub(crate) fn components(tensors: &TensorSet, config: &Value, parts: &[Part]) -> Result<Components> {
    let components = Components::from_config(config, &KeysOf(tensors), parts).map_err(config_of(tensors.path()))?;
    if let (Some(transformer), Some(vae)) = (&components.transformer, &components.vae) {
        same("latent channels", vae.latent_channels, transformer.in_channels)?;
    }
    Ok(components)
}

/// Loads `parts` from shapes alone.
pub(crate) fn account(source: Arc<ShapeOnly>, components: &Components, parts: &[Part]) -> Arc<ShapeOnly> {
    for part in parts {
        if let Err(error) = components.load(*part, &Vb::new(source.part(*part), Compute::cpu_f32())) {
            source.note(error);
        }
    }
    source
}

/// Loads a part that has a file of its own from shapes alone; its keys begin at `prefix`.
fn account_alone<M: Module>(tensors: &Arc<TensorSet>, prefix: &str, config: &M::Config) -> Arc<ShapeOnly> {
    let source = ShapeOnly::new(Arc::clone(tensors));
    if let Err(error) = M::load(&Vb::new(source.part(M::PART), Compute::cpu_f32()).pp(prefix), config) {
        source.note(error);
    }
    source
}

impl TextFolder {
    /// Where the keys of a language model begin, if files hold one.
    pub(crate) fn prefix_in(tensors: &TensorSet) -> Option<&'static str> {
        Gemma::PREFIXES.into_iter().find(|prefix| tensors.has_prefix(&format!("{prefix}.layers.")))
    }

    /// A folder of safetensors or GGUF files, or one such file. The configuration is in the file's metadata, or in
    /// `config.json` beside it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (tensors, folder) = if path.is_file() {
            (TensorSet::open_file(path)?, path.parent().unwrap_or(path).to_owned())
        } else {
            (TensorSet::open_folder(path)?, path.to_owned())
        };
        let prefix = Self::prefix_in(&tensors);
        let prefix = prefix.ok_or_else(|| PipelineError::NotATextEncoder { folder: path.to_owned() })?;
        let config = gemma_config(&tensors, &folder)?;
        Ok(Self { tensors: Arc::new(tensors), config, prefix, folder })
    }

    /// Loads the language model from shapes alone.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        account_alone::<Gemma>(&self.tensors, self.prefix, &self.config)
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

    /// Loads the upscaler from shapes alone.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        account_alone::<Upsampler>(&self.tensors, "", &self.config)
    }
}

/// Names the file in an error about its configuration.
pub(crate) fn config_of(file: &Path) -> impl FnOnce(NnError) -> PipelineError {
    |source| PipelineError::Config { file: file.to_owned(), source }
}

fn read_json(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).map_err(|source| PipelineError::Read { file: file.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| PipelineError::BadJson { file: file.to_owned(), source })
}

/// Refuses parts that come from models of different widths.
pub(crate) fn same(part: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(PipelineError::PartsDiffer { part, found, expected }) }
}
