//! The index of a model in several files (`model.safetensors.index.json`): which file holds which tensor, and what else it states.
//!
//! Must not know tensors.

use super::read_json;
use crate::{
    Result, WeightsError,
    entries::{configures, says_nothing, shown, telling},
    weight_file::WeightFile,
};
use serde_json::{Map, Value};
use std::{collections::HashMap, path::Path};

/// The entry of its metadata that states the bytes of all tensors.
const SIZE: &str = "total_size";
/// Entries of its metadata that change nothing: how many values there are, and which framework wrote them.
const IDLE: [&str; 2] = ["total_parameters", "format"];

/// An index as it is written.
#[derive(serde::Deserialize)]
struct Written {
    weight_map: HashMap<String, String>,
    metadata: Option<Map<String, Value>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What an index states.
pub(super) struct Index {
    /// The file of every key.
    pub(super) placed: HashMap<String, String>,
    /// The bytes of all tensors.
    pub(super) size: Option<Value>,
    /// What is said of other entries.
    pub(super) notes: Vec<String>,
}

/// Reads an index.
///
/// # Errors
/// It cannot be read, or states something that is not known here: an entry beside `weight_map` and `metadata`, or one of the metadata
/// whose name says that it counts.
pub(super) fn read(file: &Path) -> Result<Index> {
    let Written { weight_map, metadata, others } = read_json(file, "the index")?;
    let refused = |entry: &str, value: &Value| {
        let (index, entry, found) = (file.to_owned(), entry.to_owned(), shown(&value.to_string()));
        Err(WeightsError::IndexEntry { index, entry, found })
    };
    if let Some((name, value)) = others.iter().find(|(_, value)| !value.is_null()) {
        return refused(name, value);
    }
    let mut index = Index { placed: weight_map, size: None, notes: Vec::new() };
    for (name, value) in metadata.unwrap_or_default() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match name.as_str() {
            SIZE => index.size = Some(value),
            name if IDLE.contains(&name) || value.is_null() => {}
            name if (telling(name).is_some() || configures(name)) && !says_nothing(name, &text) => {
                return refused(&format!("metadata.{name}"), &value);
            }
            name => index.notes.push(format!(
                "{}: metadata.{name} is {}: not known here, and left alone",
                file.display(),
                shown(&text)
            )),
        }
    }
    Ok(index)
}

/// A note, where the bytes of all tensors are not those that the index states.
pub(super) fn size_note(index: &Path, stated: Option<&Value>, files: &[WeightFile]) -> Option<String> {
    let stated = stated.filter(|stated| !stated.is_null())?;
    let bytes: usize = files.iter().map(|file| file.map.all().len() - file.header.length).sum();
    (stated.as_f64() != Some(bytes as f64)).then(|| {
        let stated = shown(&stated.to_string());
        format!("{}: metadata.{SIZE} is {stated}, and its files hold {bytes} bytes of tensors", index.display())
    })
}

/// A note on a file beside an index that does not name it.
pub(super) fn not_named(file: &Path) -> String {
    format!("{}: no tensor is placed in it by the index of its folder, so it is left alone", file.display())
}
