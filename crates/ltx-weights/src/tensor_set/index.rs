//! The index of a model in several files (`model.safetensors.index.json`): which file holds which tensor, and what else it states.
//!
//! Must not know tensors.

use super::{files_in, read_json};
use crate::{
    Result, WeightsError,
    entries::{configures, says_nothing, shown, telling},
    weight_file::WeightFile,
};
use ltx_types::unknown_entry;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

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
            name => index.notes.push(unknown_entry(format_args!("{}: metadata.{name}", file.display()), shown(&text))),
        }
    }
    Ok(index)
}

impl Index {
    /// The files that it names, in its folder.
    pub(super) fn files(&self, folder: &Path) -> BTreeSet<PathBuf> {
        self.placed.values().map(|shard| folder.join(shard)).collect()
    }
}

/// What an index beside weights says whose tensors have other names than it has, such as those of diffusers.
#[derive(Debug)]
pub struct Indexed {
    /// The files that it names.
    pub files: BTreeSet<PathBuf>,
    /// What there is to say of its entries, of the bytes of all tensors, and of files that it does not name.
    pub notes: Vec<String>,
}

impl Indexed {
    /// Reads an index.
    ///
    /// # Errors
    /// As its entries ask for: one that is not known here; or a file that it names cannot be read.
    pub fn read(index: &Path) -> Result<Self> {
        let folder = index.parent().unwrap_or(index);
        let read = read(index)?;
        let files = read.files(folder);
        let sizes = files.iter().map(|file| {
            let file = WeightFile::open(file.clone())?;
            Ok((file.map.all().len(), file.header.length))
        });
        let size = size_note(index, read.size.as_ref(), sizes.collect::<Result<Vec<_>>>()?.into_iter());
        let others = files_in(folder, "safetensors")?.into_iter().filter(|file| !files.contains(file));
        let others: Vec<String> = others.map(|file| not_named(&file)).collect();
        Ok(Self { files, notes: read.notes.into_iter().chain(size).chain(others).collect() })
    }
}

/// A note, where the bytes of all tensors are not those that the index states; of each file its bytes, and those of its header.
pub(super) fn size_note(
    index: &Path,
    stated: Option<&Value>,
    files: impl Iterator<Item = (usize, usize)>,
) -> Option<String> {
    let stated = stated.filter(|stated| !stated.is_null())?;
    let bytes: usize = files.map(|(all, header)| all - header).sum();
    (stated.as_f64() != Some(bytes as f64)).then(|| {
        let stated = shown(&stated.to_string());
        format!("{}: metadata.{SIZE} is {stated}, and its files hold {bytes} bytes of tensors", index.display())
    })
}

/// A note on a file beside an index that does not name it.
pub(super) fn not_named(file: &Path) -> String {
    format!("{}: no tensor is placed in it by the index of its folder, so it is left alone", file.display())
}
