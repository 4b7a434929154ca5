//! Where the tokenizer of a text encoder comes from: a whole `tokenizer.json` in the file; else `tokenizer.json` beside it; else the
//! pieces that the file holds, of a GGUF's own keys or of a packed sentencepiece model. Where there are pieces, neither may contradict
//! them. Tokens that settings beside it name are given to it.
//!
//! Must not know how text is cut.

use super::{TextFolder, around::Around, beside::Beside, named_tokens::NamedTokens, tokenizer_settings::Settings};
use crate::{PipelineError, Result};
use ltx_model::text_encoder::{
    GemmaConfig, Generation, Piece, PieceKind, PromptError, PromptTokenizer, SentencePieces,
};
use ltx_nn::NnError;
use ltx_weights::TensorSet;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The metadata entry that GGUF names for a whole `tokenizer.json`.
pub(crate) const TOKENIZER: &str = "tokenizer.huggingface.json";
/// The tensors of bytes that may hold one.
const PACKED: [&str; 2] = ["tokenizer_json", "hf_asset__tokenizer.json"];
/// Before the keys of a tokenizer in a GGUF file.
const HEAD: &str = "tokenizer.ggml.";

/// Keys of a Gemma's tokenizer that are supported with one value.
const FIXED: [(&str, &str); 7] = [
    ("model", "llama"),
    ("pre", "default"),
    ("add_bos_token", "true"),
    ("add_eos_token", "false"),
    ("add_sep_token", "false"),
    ("add_space_prefix", "false"),
    ("remove_extra_whitespaces", "false"),
];

/// Keys that change no token of a prompt.
const IDLE: [&str; 4] = ["add_mask_token", "add_padding_token", "add_unknown_token", "token_type_count"];

impl TextFolder {
    pub(crate) fn tokenizer(&self) -> Result<PromptTokenizer> {
        let (bytes, file) = self.stated_tokenizer()?;
        PromptTokenizer::from_bytes(&bytes, self.config.bos_token_id).map_err(unusable(&file))
    }

    /// The tokenizer as a `tokenizer.json`.
    pub(crate) fn tokenizer_json(&self) -> Result<Vec<u8>> {
        Ok(self.stated_tokenizer()?.0)
    }

    /// The same, and the file that it comes from.
    fn stated_tokenizer(&self) -> Result<(Vec<u8>, PathBuf)> {
        let named = NamedTokens::default().read(&Beside::Packed(&self.tensors))?;
        let (own, pieces) = (self.tensors.path(), self.pieces()?);
        if let Some(bytes) = whole(&self.tensors)? {
            if let Some(pieces) = pieces {
                agree(&pieces, &bytes, own, own)?;
            }
            return Ok((named.given_to(bytes)?, own.to_owned()));
        }
        // Beside pieces of the file's own, a folder's words may be another encoder's.
        let folder = folder_of(&self.folder);
        let named = if is_there(&folder) { named.read(&Beside::Folder(&folder))? } else { named };
        let (bytes, file) = self.tokenizer_beside(pieces)?;
        Ok((named.given_to(bytes)?, file))
    }

    /// The tokenizer of a file that holds none but perhaps pieces of one.
    fn tokenizer_beside(&self, pieces: Option<SentencePieces>) -> Result<(Vec<u8>, PathBuf)> {
        let own = self.tensors.path();
        let file = folder_of(&self.folder).join("tokenizer.json");
        let beside = match fs::read(&file) {
            Ok(bytes) => Some(bytes),
            Err(source) if source.kind() == io::ErrorKind::NotFound && pieces.is_some() => None,
            Err(source) => return Err(PipelineError::Read { file, source }),
        };
        match (pieces, beside) {
            (Some(pieces), None) => Ok((pieces.to_tokenizer_json().map_err(unusable(own))?, own.to_owned())),
            (pieces, beside) => {
                let bytes = beside.unwrap_or_default();
                if let Some(pieces) = pieces {
                    // Before the tokenizer itself is read, which says less of pieces that are another's.
                    agree(&pieces, &bytes, own, &file)?;
                }
                Ok((bytes, file))
            }
        }
    }

    /// What is said of settings in the file itself, and of those beside it where the tokenizer is not whole in it; and of what the
    /// tokenizer puts around a prompt.
    ///
    /// # Errors
    /// A setting by which a prompt would get other tokens, or a tokenizer that puts others around it.
    pub(super) fn check_settings(tensors: &TensorSet, folder: &Path, config: &GemmaConfig) -> Result<Vec<String>> {
        let mut notes = Settings::Gemma.check(&Beside::Packed(tensors))?;
        let around = Around::Gemma(config.bos_token_id);
        if let Some(bytes) = whole(tensors)? {
            // Gemma 4's is published without anything around a text.
            let said = around.check(&bytes, tensors.path(), true)?;
            notes.extend(said.filter(|_| config.generation == Generation::Three));
            return Ok(notes);
        }
        let folder = folder_of(folder);
        notes.extend(Settings::Gemma.check(&Beside::Folder(&folder))?);
        let file = folder.join("tokenizer.json");
        if let Ok(bytes) = fs::read(&file) {
            notes.extend(around.check(&bytes, &file, false)?);
        }
        Ok(notes)
    }

    /// The pieces that the file itself holds.
    fn pieces(&self) -> Result<Option<SentencePieces>> {
        let bos = self.config.bos_token_id as usize;
        if let Some(bytes) = self.tensors.packed_file("spiece_model")? {
            return SentencePieces::from_protobuf(&bytes, bos).map(Some).map_err(unusable(self.tensors.path()));
        }
        let Some(pieces) = pieces_of_gguf(&self.tensors)? else { return Ok(None) };
        SentencePieces::new(pieces, bos).map(Some).map_err(unusable(self.tensors.path()))
    }
}

fn is_there(folder: &Path) -> bool {
    folder.join("tokenizer.json").is_file()
}

/// Where the tokenizer beside a language model lies: in its folder, else in `tokenizer` beside that, as diffusers has it.
fn folder_of(folder: &Path) -> PathBuf {
    let beside = folder.parent().unwrap_or(folder).join("tokenizer");
    if !is_there(folder) && is_there(&beside) { beside } else { folder.to_owned() }
}

/// The whole `tokenizer.json` that files hold, as an entry of their metadata or as a tensor of bytes.
///
/// # Errors
/// The two differ.
pub(super) fn whole(tensors: &TensorSet) -> Result<Option<Vec<u8>>> {
    let mut found = tensors.agreed(TOKENIZER)?.map(|text| (TOKENIZER, text.as_bytes().to_vec()));
    for key in PACKED {
        let Some(packed) = tensors.packed_file(key)? else { continue };
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
        match &found {
            Some((first, bytes)) if *bytes != packed && value(bytes) != value(&packed) => {
                return Err(refused(tensors, key, "another tokenizer", &format!("the one that {first} holds")));
            }
            Some(_) => {}
            None => found = Some((key, packed)),
        }
    }
    Ok(found.map(|(_, bytes)| bytes))
}

/// Whether files hold one.
///
/// # Errors
/// Two files state it differently.
pub(super) fn has_whole(tensors: &TensorSet) -> Result<bool> {
    Ok(tensors.agreed(TOKENIZER)?.is_some() || PACKED.iter().any(|key| tensors.shape_of(key).is_some()))
}

/// Names the file in an error about its tokenizer.
fn unusable(file: &Path) -> impl Fn(PromptError) -> PipelineError {
    move |source| PipelineError::Tokenizer { file: file.to_owned(), source }
}

/// Refuses a `tokenizer.json` whose pieces are not those of the file it lies beside.
fn agree(pieces: &SentencePieces, bytes: &[u8], file: &Path, beside: &Path) -> Result<()> {
    let unusable = unusable(beside);
    match pieces.differs_from(bytes).map_err(&unusable)? {
        None => Ok(()),
        Some((id, own, other)) => {
            let reason =
                format!("its token {id} is {other:?}, and {} says {own:?}; take one of them away", file.display());
            Err(unusable(PromptError::BadPieces { reason }))
        }
    }
}

/// An id that a GGUF file states of its tokenizer.
pub(super) fn token_id(tensors: &TensorSet, name: &str) -> Result<Option<u32>> {
    let key = format!("{HEAD}{name}_token_id");
    let Some(text) = tensors.agreed(&key)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| refused(tensors, &key, text, "a token's id"))
}

/// Refuses what a GGUF file states of its tokenizer beside keys with these values and lists of these names.
pub(super) fn check_keys(tensors: &TensorSet, fixed: &[(&str, &str)], lists: &[&str]) -> Result<()> {
    for (key, found) in tensors.metadata_under(HEAD)? {
        match fixed.iter().find(|(fixed, _)| *fixed == key) {
            Some((_, supported)) if found != *supported => {
                return Err(refused(tensors, &format!("{HEAD}{key}"), found, supported));
            }
            Some(_) => {}
            // Ids of tokens that never stand in a prompt, or are held against the configuration.
            None if key.ends_with("_token_id") || IDLE.contains(&key) => {}
            None => return Err(refused(tensors, &format!("{HEAD}{key}"), found, "no entry of this name")),
        }
    }
    match tensors.arrays_under(HEAD).into_iter().find(|name| !lists.contains(&&name[HEAD.len()..])) {
        Some(name) => Err(refused(tensors, name, "a list", "no list of this name")),
        None => Ok(()),
    }
}

/// The vocabulary of a GGUF file, where it has one.
fn pieces_of_gguf(tensors: &TensorSet) -> Result<Option<Vec<Piece>>> {
    check_keys(tensors, &FIXED, &["tokens", "scores", "token_type", "merges", "eot_token_ids", "eos_token_ids"])?;
    let key = |name: &str| format!("{HEAD}{name}");
    let Some(texts) = tensors.texts(&key("tokens"))? else { return Ok(None) };
    let [scores, kinds] = [tensors.numbers(&key("scores"))?, tensors.numbers(&key("token_type"))?];
    let mut lists = Vec::with_capacity(2);
    for (name, list) in [("scores", scores), ("token_type", kinds)] {
        let list = list.ok_or_else(|| refused(tensors, &key(name), "absent", "one for each token"))?;
        if list.len() != texts.len() {
            let found = format!("of {} items", list.len());
            return Err(refused(tensors, &key(name), &found, &format!("{}, one for each token", texts.len())));
        }
        lists.push(list);
    }
    let unusable = unusable(tensors.path());
    let pieces = texts.into_iter().zip(lists[0].iter().zip(&lists[1]));
    let piece = |(text, (score, kind)): (&str, (&f64, &f64))| {
        Ok(Piece {
            text: text.to_owned(),
            score: *score as f32,
            kind: PieceKind::from_number(*kind).map_err(&unusable)?,
        })
    };
    pieces.map(piece).collect::<Result<_>>().map(Some)
}

fn refused(tensors: &TensorSet, key: &str, found: &str, supported: &str) -> PipelineError {
    PipelineError::Config { file: tensors.path().to_owned(), source: NnError::unsupported(key, found, supported) }
}
