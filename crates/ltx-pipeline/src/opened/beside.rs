//! What is said beside a tokenizer, as JSON under the names that transformers gives it: in a folder, or packed into the file that
//! holds the tokenizer.
//!
//! Must not know what is said.

use crate::{PipelineError, Result};
use ltx_nn::NnError;
use ltx_weights::TensorSet;
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Before the names of files that are packed as tensors.
const PACKED: &str = "hf_asset__";

/// Of those: what is read, and what changes no token and no weight.
const KNOWN: [&str; 11] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",
];

/// What is said of packed files that nobody here knows.
pub(super) fn unknown_among(tensors: &TensorSet) -> Vec<String> {
    let packed = tensors.keys().filter_map(|key| key.strip_prefix(PACKED));
    let unknown = packed.filter(|name| !KNOWN.contains(name));
    unknown
        .map(|name| format!("{}: {PACKED}{name}: not known here, and left alone", tensors.path().display()))
        .collect()
}

/// Where it lies.
pub(super) enum Beside<'a> {
    /// As files of a folder.
    Folder(&'a Path),
    /// As tensors of bytes.
    Packed(&'a TensorSet),
}

impl Beside<'_> {
    /// What a file of that name says, with the path by which errors name it; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is no JSON.
    pub(super) fn json(&self, name: &str) -> Result<Option<(PathBuf, Value)>> {
        let (file, bytes) = match self {
            Self::Folder(folder) => {
                let file = folder.join(name);
                match fs::read(&file) {
                    Ok(bytes) => (file, bytes),
                    Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(source) => return Err(PipelineError::Read { file, source }),
                }
            }
            Self::Packed(tensors) => {
                let key = format!("{PACKED}{name}");
                let Some(bytes) = tensors.packed_file(&key)? else { return Ok(None) };
                (tensors.path().join(key), bytes)
            }
        };
        match ltx_types::json::read(&bytes) {
            Ok(value) if value.is_object() => Ok(Some((file, value))),
            Ok(value) => {
                let source = NnError::unsupported(name, &value, "an object");
                Err(PipelineError::Config { file, source })
            }
            Err(source) => Err(PipelineError::BadJson { file, source }),
        }
    }
}
