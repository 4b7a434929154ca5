//! What is said beside a tokenizer, as JSON under the names that transformers gives it: in a folder, or packed into the file that
//! holds the tokenizer.
//!
//! Must not know what is said.

use crate::{PipelineError, Result};
use ltx_weights::TensorSet;
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Before the names of files that are packed as tensors.
const PACKED: &str = "hf_asset__";

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
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some((file, value))),
            Err(source) => Err(PipelineError::BadJson { file, source }),
        }
    }
}
