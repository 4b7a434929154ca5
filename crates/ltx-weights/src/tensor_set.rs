//! The tensors of one model, in one file or in many.
//!
//! Must not know what they are used for.

use crate::{Result, WeightsError, safetensors_file::SafetensorsFile};
use safetensors::tensor::TensorInfo;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

/// Memory-mapped tensors by key.
pub struct TensorSet {
    path: PathBuf,
    files: Vec<SafetensorsFile>,
    by_key: BTreeMap<String, usize>,
}

impl TensorSet {
    /// One safetensors file.
    ///
    /// # Errors
    /// The file cannot be read, is not safetensors, or is truncated.
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::join(path.to_owned(), vec![SafetensorsFile::open(path.to_owned())?])
    }

    /// A folder: the files its `model.safetensors.index.json` names, or every `*.safetensors` in it.
    ///
    /// # Errors
    /// No file, an unreadable or corrupt one, an index that does not match, or a key held twice.
    pub fn open_folder(folder: &Path) -> Result<Self> {
        let index = folder.join("model.safetensors.index.json");
        if !index.exists() {
            let files = safetensors_in(folder)?.into_iter().map(SafetensorsFile::open).collect::<Result<_>>()?;
            return Self::join(folder.to_owned(), files);
        }
        let placed = read_index(&index)?;
        let shards: BTreeSet<&String> = placed.values().collect();
        let files = shards.into_iter().map(|shard| SafetensorsFile::open(folder.join(shard)));
        let set = Self::join(folder.to_owned(), files.collect::<Result<_>>()?)?;
        for (key, shard) in placed {
            if set.file_of(&key).is_none_or(|file| file.path != folder.join(&shard)) {
                return Err(WeightsError::IndexMismatch { index, key, shard });
            }
        }
        Ok(set)
    }

    fn join(path: PathBuf, files: Vec<SafetensorsFile>) -> Result<Self> {
        let mut by_key = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for key in file.tensors().into_keys() {
                if let Some(first) = by_key.insert(key.clone(), number) {
                    let (first, second) = (files[first].path.clone(), file.path.clone());
                    return Err(WeightsError::DuplicateKey { key, first, second });
                }
            }
        }
        Ok(Self { path, files, by_key })
    }

    /// The file or folder it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every key, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }

    /// Whether any key starts with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.by_key.range(prefix.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// A `__metadata__` entry of the first file that has it.
    pub fn metadata(&self, entry: &str) -> Option<&str> {
        self.files.iter().find_map(|file| file.metadata(entry))
    }

    /// The model's configuration, JSON in the metadata entry `config`.
    ///
    /// # Errors
    /// The entry is missing or is not JSON.
    pub fn config(&self) -> Result<serde_json::Value> {
        let Some(text) = self.metadata("config") else {
            return Err(WeightsError::MissingMetadata { file: self.path.clone(), entry: "config" });
        };
        serde_json::from_str(text).map_err(|source| WeightsError::BadJson {
            file: self.path.clone(),
            what: "the metadata entry config",
            source,
        })
    }

    /// A tensor's shape.
    pub fn shape_of(&self, key: &str) -> Option<&[usize]> {
        self.info(key).map(|(_, info)| info.shape.as_slice())
    }

    /// Values in a tensor, and bytes on disk.
    pub fn size_of(&self, key: &str) -> (u64, u64) {
        let size = |info: &TensorInfo| {
            let (start, end) = info.data_offsets;
            (info.shape.iter().map(|d| *d as u64).product(), (end - start) as u64)
        };
        self.info(key).map_or((0, 0), |(_, info)| size(info))
    }

    pub(crate) fn info(&self, key: &str) -> Option<(&SafetensorsFile, &TensorInfo)> {
        let file = self.file_of(key)?;
        Some((file, file.info(key)?))
    }

    fn file_of(&self, key: &str) -> Option<&SafetensorsFile> {
        self.files.get(*self.by_key.get(key)?)
    }
}

fn safetensors_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let read_error = |source| WeightsError::Read { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(WeightsError::EmptyFolder { folder: folder.to_owned() });
    }
    Ok(files)
}

fn read_index(index: &Path) -> Result<HashMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = fs::read(index).map_err(|source| WeightsError::Read { file: index.to_owned(), source })?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|source| WeightsError::BadJson {
        file: index.to_owned(),
        what: "the index",
        source,
    })?;
    Ok(parsed.weight_map)
}
