//! A text encoder, opened: a Gemma folder, or a file that says all that the folder would. LTX-2.5's file holds the text projection
//! of the checkpoint as well, which is no part of the language model.
//!
//! Where its configuration comes from, the first of these that is there: what the file itself states (an entry `config` or
//! `gemma_config`, or the keys of llama.cpp's), `config.json` beside it, the published size that its shapes show. Two of them that contradict each other
//! are refused; one that says more adds to the other.
//!
//! Must not know requests.

use super::{
    account_alone,
    beside::{self, Beside},
    config_of,
    folder::within,
    recognised::{foreign, refused},
};
use crate::{PipelineError, Result};
use ltx_model::text_encoder::{Gemma, GemmaConfig, GemmaShapes, LlamaKeys, UnstatedFactor};
use ltx_types::json::joined;
use ltx_weights::{ShapeOnly, TensorSet, WeightsError};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The metadata entry in which the file of a whole text encoder states what `config.json` would.
const GEMMA_CONFIG: &str = "gemma_config";
/// Where the keys of the text projection begin.
const PROJECTION: &str = "text_embedding_projection.";

/// A Gemma folder or file.
pub(crate) struct TextFolder {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: GemmaConfig,
    /// The file, where it holds the text projection as well.
    pub(crate) projection: Option<PathBuf>,
    /// Where the language model's keys begin.
    pub(crate) prefix: &'static str,
    /// Where `config.json` and `tokenizer.json` are, if they are.
    pub(crate) folder: PathBuf,
    /// What was taken from somewhere else than a reader would think, or left alone.
    pub(crate) notes: Vec<String>,
}

impl TextFolder {
    /// Where the keys of a language model begin, if files hold one.
    pub(crate) fn prefix_in(tensors: &TensorSet) -> Option<&'static str> {
        Gemma::PREFIXES.into_iter().find(|prefix| tensors.has_prefix(&format!("{prefix}.layers.")))
    }

    /// A folder of safetensors or GGUF files, or one such file; a folder that holds `text_encoder` stands for that.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = &within(path);
        let (tensors, folder) = if path.is_file() {
            (TensorSet::open_file(path)?, path.parent().unwrap_or(path).to_owned())
        } else {
            (TensorSet::open_folder(path)?, path.to_owned())
        };
        let has_projection = path.is_file() && tensors.has_prefix(PROJECTION);
        let projection = has_projection.then(|| path.to_owned());
        let tensors = tensors.keeping(|key| !(has_projection && key.starts_with(PROJECTION)));
        let mut notes: Vec<String> = tensors.vision_files().map(left_alone).collect();
        if let Some(found) = foreign(&tensors) {
            return Err(refused(path, found));
        }
        let Some(prefix) = Self::prefix_in(&tensors) else {
            return Err(match tensors.vision_files().next() {
                Some(file) => PipelineError::VisionAlone { file: file.to_owned() },
                None => PipelineError::NotATextEncoder { folder: path.to_owned() },
            });
        };
        let config = configuration(&tensors, prefix, &folder, path.is_dir(), &mut notes)?;
        notes.extend(tensors.check_entries()?);
        tensors.check_statements()?;
        notes.extend(Self::check_settings(&tensors, &folder, &config)?);
        notes.extend(beside::unknown_among(&tensors));
        Ok(Self { tensors: Arc::new(tensors), config, projection, prefix, folder, notes })
    }

    /// The text projection, where it lies in the language model's file.
    pub(crate) fn projection_tensors(&self) -> Result<Option<TensorSet>> {
        let open = |file: &PathBuf| TensorSet::open_file(file);
        let whole = self.projection.as_ref().map(open).transpose()?;
        // What the file says about itself is about the language model.
        Ok(whole.map(|whole| whole.keeping(|key| key.starts_with(PROJECTION)).without_metadata()))
    }

    /// Loads the language model from shapes alone.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        account_alone::<Gemma>(&self.tensors, self.prefix, &self.config)
    }

    /// The configuration as JSON that states every entry.
    pub(crate) fn config_json(&self) -> Value {
        self.config.to_json()
    }
}

/// A note on a file of what a language model sees images with.
pub(crate) fn left_alone(file: &Path) -> String {
    format!("{}: what the model sees images with, left alone", file.display())
}

/// The configuration, by the rule at the head of this file.
fn configuration(
    tensors: &TensorSet,
    prefix: &str,
    folder: &Path,
    is_folder: bool,
    notes: &mut Vec<String>,
) -> Result<GemmaConfig> {
    let vocabulary =
        tensors.shape_of(&format!("{prefix}.embed_tokens.weight")).and_then(|shape| shape.first().copied());
    let llama = (tensors.agreed("general.architecture")? == Some("gemma3"))
        .then(|| llama_keys(tensors, vocabulary.unwrap_or(0), layers_in(tensors, prefix)))
        .transpose()?;
    let stated = own_configuration(tensors, notes)?;
    if let (Some(llama), Some(config)) = (&llama, &stated) {
        agree(llama, config, tensors.path(), tensors.path())?;
    }
    let file = folder.join("config.json");
    let beside = match beside(&file, is_folder || (stated.is_none() && llama.is_none()), notes)? {
        Some(config) => Some(GemmaConfig::from_json(&config).map_err(config_of(&file))?),
        None => None,
    };
    match (stated, llama, beside) {
        (Some(config), _, None) => Ok(config),
        (Some(config), _, Some(beside)) => {
            joined(&mut config.to_json(), beside.to_json()).map_err(differ(tensors.path(), &file))?;
            Ok(config)
        }
        (None, Some(llama), Some(mut beside)) => {
            agree(&llama, &beside, tensors.path(), &file)?;
            // Converters leave out rows of the embedding that no token has.
            beside.vocab_size = llama.vocabulary.max(1);
            Ok(beside)
        }
        (None, Some(llama), None) => {
            let named = |error| config_of(tensors.path())(error);
            notes.extend(llama.unstated_factor().map_err(named)?.map(|factor| unstated(tensors.path(), factor)));
            GemmaConfig::from_llama(&llama).map_err(named)
        }
        (None, None, Some(beside)) => Ok(beside),
        (None, None, None) => {
            let (config, name) = match shapes(tensors, prefix).map(|shapes| GemmaConfig::from_shapes(&shapes)) {
                Some(Ok(known)) => known,
                Some(Err(error)) if !is_folder => return Err(config_of(tensors.path())(error)),
                // A folder has its own place for it.
                _ => return Err(PipelineError::Read { file, source: std::io::ErrorKind::NotFound.into() }),
            };
            notes.push(format!(
                "{}: states no configuration; that of Gemma-3 {name}, whose shapes it has",
                tensors.path().display()
            ));
            Ok(config)
        }
    }
}

/// A note on what positions of global layers are divided by in a file that does not say it.
fn unstated(file: &Path, UnstatedFactor { factor, size }: UnstatedFactor) -> String {
    let whose = match size {
        Some(size) => format!("as Gemma-3 {size} has it, whose sizes these are"),
        None => "as no published Gemma-3 has these sizes; its config.json beside the file would say it".to_owned(),
    };
    format!("{}: states no gemma3.rope.scaling.factor; taken as {factor}, {whose}", file.display())
}

/// What the files themselves state: both entries, which agree where both are a Gemma's, and a `config.json` that is packed in them.
fn own_configuration(tensors: &TensorSet, notes: &mut Vec<String>) -> Result<Option<GemmaConfig>> {
    let stated = entries_configuration(tensors, notes)?;
    let Some((file, packed)) = Beside::Packed(tensors).json("config.json")? else { return Ok(stated) };
    let packed = match (GemmaConfig::from_json(&packed), &stated) {
        (Ok(packed), _) => packed,
        (Err(error), None) => return Err(config_of(&file)(error)),
        (Err(error), Some(_)) => {
            let error = ltx_types::sentence(&config_of(&file)(error));
            notes.push(format!("{error}; left alone beside what the header states"));
            return Ok(stated);
        }
    };
    if let Some(stated) = &stated {
        joined(&mut stated.to_json(), packed.to_json()).map_err(differ(tensors.path(), &file))?;
    }
    Ok(stated.or(Some(packed)))
}

fn entries_configuration(tensors: &TensorSet, notes: &mut Vec<String>) -> Result<Option<GemmaConfig>> {
    let read = |config: &Value| GemmaConfig::from_json(config).map_err(config_of(tensors.path()));
    let own = tensors.json(GEMMA_CONFIG)?.as_ref().map(read).transpose()?;
    let whole = if tensors.states_config() { Some(tensors.config()?) } else { None };
    match (own, whole) {
        (Some(own), Some(whole)) if GemmaConfig::is_stated_by(&whole) => {
            let file = tensors.path();
            joined(&mut own.to_json(), read(&whole)?.to_json()).map_err(differ(file, file))?;
            Ok(Some(own))
        }
        (Some(own), Some(_)) => {
            let file = tensors.path().display();
            notes.push(format!("{file}: its entry config is no Gemma's beside gemma_config, and left alone"));
            Ok(Some(own))
        }
        (Some(own), None) => Ok(Some(own)),
        (None, whole) => whole.as_ref().map(read).transpose(),
    }
}

/// `config.json` beside the weights. Beside a file that says itself what it is, one of something else is left alone, which is said.
fn beside(file: &Path, asked_for: bool, notes: &mut Vec<String>) -> Result<Option<Value>> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PipelineError::Read { file: file.to_owned(), source }),
    };
    match ltx_types::json::read(&bytes) {
        Ok(config) if asked_for || GemmaConfig::is_stated_by(&config) => Ok(Some(config)),
        Err(source) if asked_for => Err(PipelineError::BadJson { file: file.to_owned(), source }),
        other => {
            notes.push(another(file, &other.unwrap_or_default(), "Gemma"));
            Ok(None)
        }
    }
}

/// A note on a `config.json` beside a text encoder that is none of its kind.
pub(super) fn another(file: &Path, config: &Value, kind: &str) -> String {
    let of = ["model_type", "_class_name"].into_iter().find_map(|entry| config.get(entry)?.as_str());
    let what = of.map_or_else(String::new, |of| format!(" ({of})"));
    format!("{}: no configuration of a {kind}{what}, and left alone", file.display())
}

fn agree(llama: &LlamaKeys, config: &GemmaConfig, first: &Path, second: &Path) -> Result<()> {
    llama.agrees_with(config).map_err(config_of(first))?.map_err(differ(first, second))
}

pub(super) fn differ<'a>(
    first: &'a Path,
    second: &'a Path,
) -> impl Fn(ltx_types::json::Contradiction) -> PipelineError + 'a {
    |contradiction| {
        let (first, second, contradiction) = (first.to_owned(), second.to_owned(), Box::new(contradiction));
        WeightsError::ConfigsDiffer { first, second, contradiction }.into()
    }
}

/// What llama.cpp's keys state.
fn llama_keys(tensors: &TensorSet, vocabulary: usize, layers: usize) -> Result<LlamaKeys> {
    const HEAD: &str = "gemma3.";
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let mut keys = LlamaKeys {
        values: tensors.metadata_under(HEAD)?.into_iter().map(owned).collect(),
        vocabulary,
        layers,
        bos: super::tokenizer::token_id(tensors, "bos")?,
        pad: super::tokenizer::token_id(tensors, "padding")?,
        ..LlamaKeys::default()
    };
    for name in tensors.arrays_under(HEAD) {
        let key = name.strip_prefix(HEAD).unwrap_or(name).to_owned();
        keys.lists.insert(key, tensors.numbers(name)?.unwrap_or_default());
    }
    Ok(keys)
}

/// Layers of a language model: one more than the last that has a tensor.
fn layers_in(tensors: &TensorSet, prefix: &str) -> usize {
    let head = format!("{prefix}.layers.");
    let number = |key: &str| key.strip_prefix(&head)?.split('.').next()?.parse::<u16>().ok();
    tensors.keys().filter_map(number).max().map_or(0, |last| usize::from(last) + 1)
}

/// What the shapes of a language model say, where all of them are there.
fn shapes(tensors: &TensorSet, prefix: &str) -> Option<GemmaShapes> {
    let shape = |key: &str| tensors.shape_of(&format!("{prefix}.{key}"));
    let rows = |key: &str| shape(&format!("layers.0.{key}.weight"))?.first().copied();
    let embedding = shape("embed_tokens.weight").filter(|shape| shape.len() == 2)?;
    Some(GemmaShapes {
        vocabulary: embedding[0],
        hidden: embedding[1],
        inner: rows("mlp.up_proj")?,
        layers: layers_in(tensors, prefix),
        queries: rows("self_attn.q_proj")?,
        keys: rows("self_attn.k_proj")?,
        head: rows("self_attn.q_norm")?,
    })
}
