//! T5, opened: a text encoder's folder of diffusers with the tokenizer's beside it, a folder that holds both, or one file.
//!
//! Must not know requests.

use super::{
    account_alone,
    around::Around,
    beside::Beside,
    config_of,
    folder::within,
    named_tokens::NamedTokens,
    text::{another, differ},
    tokenizer,
    tokenizer_settings::Settings,
};
use crate::{PipelineError, Result};
use ltx_model::{
    part::Module,
    t5::{T5Config, T5Encoder, T5Shapes, T5Tokenizer, UnigramModel, differing},
    text_encoder::{Piece, PieceKind, PromptError},
};
use ltx_nn::NnError;
use ltx_types::json::joined;
use ltx_weights::{ShapeOnly, TensorSet};
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A T5's files.
pub(crate) struct T5Files {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: T5Config,
    /// Where its configuration and its tokenizer are, if they are.
    folder: PathBuf,
    /// What is said of what it states.
    pub(crate) notes: Vec<String>,
}

impl T5Files {
    /// Whether a path holds a T5: its `config.json` or its keys say so.
    pub(crate) fn is_at(path: &Path) -> bool {
        let path = within(path);
        let stated =
            fs::read(path.join("config.json")).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        match stated {
            Some(config) => T5Config::is_stated_by(&config),
            None => Self::tensors(&path).is_ok_and(|tensors| Self::is_among(&tensors)),
        }
    }

    /// Whether keys are a T5's.
    pub(crate) fn is_among(tensors: &TensorSet) -> bool {
        tensors.has_prefix("encoder.block.0.layer.0.SelfAttention.")
    }

    fn tensors(path: &Path) -> Result<TensorSet> {
        Ok(if path.is_file() { TensorSet::open_file(path)? } else { TensorSet::open_folder(path)? })
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = within(path);
        let tensors = Self::tensors(&path)?;
        let folder = if path.is_file() { path.parent().unwrap_or(&path).to_owned() } else { path.clone() };
        let mut notes = Vec::new();
        let config = configuration(&tensors, &folder, &mut notes)?;
        check_llama(&tensors, &config)?;
        notes.extend(tensors.check_entries()?);
        tensors.check_statements()?;
        let mut text = Self { tensors: Arc::new(tensors), config, folder, notes };
        text.notes.extend(text.check_settings()?);
        Ok(text)
    }

    /// Loads the encoder from shapes alone.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        account_alone::<T5Encoder>(&self.tensors, "", &self.config)
    }

    /// The tokenizer: of a GGUF that holds a whole one, beside the weights, or in the folder `tokenizer` beside theirs.
    pub(crate) fn tokenizer(&self) -> Result<T5Tokenizer> {
        let (bytes, file) = self.tokenizer_json()?;
        let unusable = |source: PromptError| PipelineError::Tokenizer { file, source };
        T5Tokenizer::from_bytes(&bytes, self.config.special()).map_err(unusable)
    }

    /// What is said of settings where the tokenizer comes from, and of what it puts around a prompt.
    fn check_settings(&self) -> Result<Vec<String>> {
        let around = Around::T5(self.config.eos_token_id);
        let (mut notes, said) = match self.tokenizer_folder()? {
            Some(folder) => {
                let file = folder.join("tokenizer.json");
                let bytes = fs::read(&file).unwrap_or_default();
                (Settings::T5.check(&Beside::Folder(&folder))?, around.check(&bytes, &file, false)?)
            }
            None => {
                let bytes = tokenizer::whole(&self.tensors)?.unwrap_or_default();
                (Settings::T5.check(&Beside::Packed(&self.tensors))?, around.check(&bytes, self.tensors.path(), true)?)
            }
        };
        notes.extend(said);
        Ok(notes)
    }

    /// The folder that the tokenizer comes from; `None` where it comes from the file itself, or nowhere.
    fn tokenizer_folder(&self) -> Result<Option<PathBuf>> {
        let own = tokenizer::has_whole(&self.tensors)?
            || self.tensors.shape_of(PIECES).is_some()
            || self.tensors.texts(&format!("{GGML}tokens"))?.is_some();
        let has_one =
            |folder: &PathBuf| ["tokenizer.json", "spiece.model"].iter().any(|name| folder.join(name).is_file());
        Ok(self.tokenizer_folders().into_iter().find(has_one).filter(|_| !own))
    }

    /// Where a tokenizer may lie, in the order in which it is looked for.
    fn tokenizer_folders(&self) -> [PathBuf; 3] {
        let beside = self.folder.parent().unwrap_or(&self.folder).join("tokenizer");
        [self.folder.clone(), self.folder.join("tokenizer"), beside]
    }

    /// It as a `tokenizer.json`, and the file that it comes from.
    pub(crate) fn tokenizer_json(&self) -> Result<(Vec<u8>, PathBuf)> {
        let (found, beside) = match self.tokenizer_folder()? {
            Some(folder) => {
                let mut all = in_folder(&folder)?;
                // A pipeline of diffusers has one for the encoder in this folder.
                if folder == self.folder && self.folder.ends_with("text_encoder") {
                    all.extend(in_folder(&self.tokenizer_folders()[2])?);
                }
                (all, NamedTokens::default().read(&Beside::Folder(&folder))?)
            }
            None => (in_file(&self.tensors)?, NamedTokens::default().read(&Beside::Packed(&self.tensors))?),
        };
        let mut found = found.into_iter();
        let Some((bytes, file)) = found.next() else {
            let file = self.tokenizer_folders()[2].join("tokenizer.json");
            return Err(PipelineError::Read { file, source: io::ErrorKind::NotFound.into() });
        };
        // All that are there are one vocabulary.
        for (other, other_file) in found {
            let unusable = |source| PipelineError::Tokenizer { file: file.clone(), source };
            if let Some((id, own, other)) = differing(&bytes, &other).map_err(unusable)? {
                let of = other_file.display();
                let reason = format!("its token {id} is {own}, and that of {of} is {other}; take one of them away");
                return Err(unusable(PromptError::BadPieces { reason }));
            }
        }
        Ok((beside.given_to(bytes)?, file))
    }
}

/// The tensor of bytes that holds a sentencepiece model.
const PIECES: &str = "spiece_model";

/// All tokenizers that a file holds, each as a `tokenizer.json` with the path by which errors name it; the first counts.
fn in_file(tensors: &TensorSet) -> Result<Vec<(Vec<u8>, PathBuf)>> {
    let file = tensors.path();
    let unusable = |source| PipelineError::Tokenizer { file: file.to_owned(), source };
    let mut found: Vec<_> = tokenizer::whole(tensors)?.map(|bytes| (bytes, file.to_owned())).into_iter().collect();
    if let Some(model) = unigram_of_gguf(tensors)? {
        found.push((model.to_tokenizer_json().map_err(unusable)?, file.join("tokenizer.ggml.tokens")));
    }
    if let Some(bytes) = tensors.packed_file(PIECES)? {
        found.push((ltx_model::t5::tokenizer_json(&bytes).map_err(unusable)?, file.join(PIECES)));
    }
    Ok(found)
}

/// The same of a folder.
fn in_folder(folder: &Path) -> Result<Vec<(Vec<u8>, PathBuf)>> {
    let mut found = Vec::new();
    for name in ["tokenizer.json", "spiece.model"] {
        let file = folder.join(name);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(PipelineError::Read { file, source }),
        };
        let json = if name == "spiece.model" { ltx_model::t5::tokenizer_json(&bytes) } else { Ok(bytes) };
        found.push((json.map_err(|source| PipelineError::Tokenizer { file: file.clone(), source })?, file));
    }
    Ok(found)
}

/// What the file itself states, `config.json` beside it, or what its shapes say; the first two agree where both are there.
fn configuration(tensors: &TensorSet, folder: &Path, notes: &mut Vec<String>) -> Result<T5Config> {
    let stated = match tensors.states_config() {
        true => Some(T5Config::from_json(&tensors.config()?).map_err(config_of(tensors.path()))?),
        false => None,
    };
    let file = folder.join("config.json");
    let beside = match fs::read(&file) {
        Ok(bytes) => {
            let config = ltx_types::json::read(&bytes);
            let config = match config {
                Ok(config) => config,
                // Beside a file that says itself what it is, one of something else is nobody's concern.
                Err(_) if stated.is_some() => Value::Null,
                Err(source) => return Err(PipelineError::BadJson { file, source }),
            };
            let is_its = T5Config::is_stated_by(&config);
            notes.extend((!is_its).then(|| another(&file, &config, "T5")));
            is_its.then(|| T5Config::from_json(&config).map_err(config_of(&file))).transpose()?
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(PipelineError::Read { file, source }),
    };
    match (stated, beside) {
        (Some(config), Some(beside)) => {
            joined(&mut config.to_json(), beside.to_json()).map_err(differ(tensors.path(), &file))?;
            return Ok(config);
        }
        (Some(config), None) | (None, Some(config)) => return Ok(config),
        (None, None) => {}
    }
    let missing = || NnError::unsupported("T5 configuration", "absent", "config.json beside the weights");
    let shapes = shapes(tensors).ok_or_else(missing).and_then(|shapes| T5Config::from_shapes(&shapes));
    let mut config = shapes.map_err(config_of(tensors.path()))?;
    let stated = |key: &str| tensors.metadata(&format!("{GGML}{key}")).and_then(|id| id.parse().ok());
    config.eos_token_id = stated(EOS).unwrap_or(config.eos_token_id);
    config.pad_token_id = stated(PAD).unwrap_or(config.pad_token_id);
    notes.push(taken(tensors, &config));
    Ok(config)
}

/// A note on what is taken for a file that states no configuration: what its shapes do not show, and its own keys do not say.
fn taken(tensors: &TensorSet, config: &T5Config) -> String {
    let says = |key: &str| tensors.metadata(key).is_some();
    let [end, pad] = [EOS, PAD].map(|key| says(&format!("{GGML}{key}")));
    let epsilon = ["t5encoder.", "t5."].iter().any(|head| EPSILONS.iter().any(|key| says(&format!("{head}{key}"))));
    let taken = [
        (false, "relative_attention_max_distance", config.relative_attention_max_distance.to_string()),
        (epsilon, "layer_norm_epsilon", config.layer_norm_epsilon.to_string()),
        (end, "eos_token_id", config.eos_token_id.to_string()),
        (pad, "pad_token_id", config.pad_token_id.to_string()),
    ];
    let taken = taken.iter().filter(|(stated, ..)| !stated).map(|(_, entry, value)| format!("{entry} {value}"));
    format!(
        "{}: states no configuration; that of T5 v1.1, with the sizes of its tensors: {}",
        tensors.path().display(),
        taken.collect::<Vec<_>>().join(", ")
    )
}

/// How llama.cpp's keys of a tokenizer begin, and those of the tokens that the encoder needs.
const GGML: &str = "tokenizer.ggml.";
const EOS: &str = "eos_token_id";
const PAD: &str = "padding_token_id";
/// And behind the architecture's name, those of the epsilon of norms.
const EPSILONS: [&str; 2] = ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"];

/// Refuses keys of llama.cpp's that say otherwise than the shapes or the configuration beside them, or that nobody here knows.
fn check_llama(tensors: &TensorSet, config: &T5Config) -> Result<()> {
    const IDLE: [&str; 3] = ["context_length", "decoder_start_token_id", "decoder_block_count"];
    let known = [
        ("block_count", config.num_layers as f64),
        ("embedding_length", config.d_model as f64),
        ("feed_forward_length", config.d_ff as f64),
        ("vocab_size", config.vocab_size as f64),
        ("attention.head_count", config.num_heads as f64),
        ("attention.key_length", config.d_kv as f64),
        ("attention.value_length", config.d_kv as f64),
        ("attention.relative_buckets_count", config.relative_attention_num_buckets as f64),
        (EPSILONS[0], config.layer_norm_epsilon),
        (EPSILONS[1], config.layer_norm_epsilon),
    ];
    for (key, expected) in [(EOS, config.eos_token_id), (PAD, config.pad_token_id)] {
        let key = format!("{GGML}{key}");
        if let Some(stated) = tensors.agreed(&key)?.filter(|stated| stated.parse() != Ok(expected)) {
            let source = NnError::unsupported(key, stated, format!("{expected}, as its configuration says"));
            return Err(config_of(tensors.path())(source));
        }
    }
    for head in ["t5encoder.", "t5."] {
        if let Some(list) = tensors.arrays_under(head).into_iter().next() {
            return Err(config_of(tensors.path())(NnError::unsupported(list, "a list", "one value")));
        }
        for (key, stated) in tensors.metadata_under(head)? {
            let Some((_, expected)) = known.iter().find(|(known, _)| *known == key) else {
                if IDLE.contains(&key) {
                    continue;
                }
                let source = NnError::unsupported(format!("{head}{key}"), stated, "no entry of this name");
                return Err(config_of(tensors.path())(source));
            };
            let same = stated.parse::<f64>().is_ok_and(|stated| (stated - expected).abs() <= 1e-6 * expected.abs());
            if !same {
                let source =
                    NnError::unsupported(format!("{head}{key}"), stated, format!("{expected}, as its tensors show"));
                return Err(config_of(tensors.path())(source));
            }
        }
    }
    Ok(())
}

fn shapes(tensors: &TensorSet) -> Option<T5Shapes> {
    let pair = |key: &str| <[usize; 2]>::try_from(tensors.shape_of(key)?).ok();
    let block = |rest: &str| pair(&format!("encoder.block.0.layer.{rest}.weight"));
    Some(T5Shapes {
        embedding: pair(T5Encoder::EMBEDDING)?,
        bias: block("0.SelfAttention.relative_attention_bias")?,
        queries: block("0.SelfAttention.q")?[0],
        inner: block("1.DenseReluDense.wi_0")?[0],
        layers: (0..).take_while(|layer| tensors.has_prefix(&format!("{}{layer}.", T5Encoder::MARK))).count(),
    })
}

/// The vocabulary of a GGUF file, where it has one.
fn unigram_of_gguf(tensors: &TensorSet) -> Result<Option<UnigramModel>> {
    let refused = |key: &str, found: String, supported: &str| {
        config_of(tensors.path())(NnError::unsupported(format!("{GGML}{key}"), found, supported))
    };
    const FIXED: [(&str, &str); 7] = [
        ("model", "t5"),
        ("pre", "default"),
        ("add_bos_token", "false"),
        ("add_eos_token", "true"),
        ("add_sep_token", "false"),
        ("add_space_prefix", "true"),
        ("remove_extra_whitespaces", "true"),
    ];
    tokenizer::check_keys(tensors, &FIXED, &["tokens", "scores", "token_type", "precompiled_charsmap"])?;
    let Some(texts) = tensors.texts(&format!("{GGML}tokens"))? else { return Ok(None) };
    let list = |key: &str| -> Result<Vec<f64>> {
        let list = tensors.numbers(&format!("{GGML}{key}"))?.unwrap_or_default();
        let short = || refused(key, format!("of {} items", list.len()), "one for each token");
        if list.len() == texts.len() { Ok(list) } else { Err(short()) }
    };
    let (scores, kinds) = (list("scores")?, list("token_type")?);
    let piece = |(text, (score, kind)): (&&str, (&f64, &f64))| {
        let kind = PieceKind::from_number(*kind);
        let kind = kind.map_err(|source| PipelineError::Tokenizer { file: tensors.path().to_owned(), source })?;
        Ok::<_, PipelineError>(Piece { text: (*text).to_owned(), score: *score as f32, kind })
    };
    let pieces: Vec<Piece> = texts.iter().zip(scores.iter().zip(&kinds)).map(piece).collect::<Result<_>>()?;
    let unknown = pieces.iter().position(|piece| piece.kind == PieceKind::Unknown);
    if let Some(stated) = tensors.metadata(&format!("{GGML}unknown_token_id"))
        && unknown.is_none_or(|unknown| stated.parse() != Ok(unknown))
    {
        let supported = unknown.map_or_else(|| "none".to_owned(), |unknown| unknown.to_string());
        return Err(refused("unknown_token_id", stated.to_owned(), &format!("{supported}, as its token types say")));
    }
    // Bytes, whichever sign the file gives them.
    let charsmap = tensors.numbers(&format!("{GGML}precompiled_charsmap"))?;
    let charsmap = charsmap.map(|map| map.into_iter().map(|byte| (byte as i64 & 0xff) as u8).collect());
    Ok(Some(UnigramModel { pieces, charsmap }))
}
