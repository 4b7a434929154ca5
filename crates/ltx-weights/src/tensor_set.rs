//! The tensors of one model, in one file or in many.
//!
//! Must not know what they are used for.

use crate::{
    Result, WeightsError, vocabulary,
    weight_file::{Entry, WeightFile},
};
use ltx_nn::matrix::StoredKind;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

/// What the memory of a tensor depends on.
#[derive(Debug, Clone, Copy)]
pub struct Footprint<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Bytes on disk.
    pub stored: u64,
    /// What its values are handed out as, if it may be the matrix of a linear layer: it has two dimensions.
    pub matrix: Option<StoredKind>,
}

impl Footprint<'_> {
    /// Whether it is the matrix of a linear layer, by shape and name.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2 && self.key.ends_with(".weight")
    }
}

/// Memory-mapped tensors by official key.
pub struct TensorSet {
    path: PathBuf,
    files: Vec<WeightFile>,
    by_key: BTreeMap<String, usize>,
    /// Configurations that were named as files of their own, in order.
    configs: Vec<Value>,
}

impl TensorSet {
    /// One safetensors or GGUF file.
    ///
    /// # Errors
    /// The file cannot be read, is of neither format, or is truncated.
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::join(path.to_owned(), vec![WeightFile::open(path.to_owned())?])
    }

    /// One file whose tensors keep their own names.
    pub(crate) fn open_as_named(path: &Path) -> Result<Self> {
        Self::join(path.to_owned(), vec![WeightFile::open_as_named(path.to_owned())?])
    }

    /// The component files of one model; the first gives the set its name. A `*.json` among them is a configuration and
    /// nothing else.
    ///
    /// # Errors
    /// As [`Self::open_file`]; or two files hold the same key, or there is none.
    pub fn open_files(paths: &[PathBuf]) -> Result<Self> {
        let Some(first) = paths.first() else {
            return Err(WeightsError::EmptyFolder { folder: PathBuf::new() });
        };
        let is_config = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let files = paths.iter().filter(|path| !is_config(path)).cloned().map(WeightFile::open);
        let configs = paths.iter().filter(is_config).map(|path| read_json(path, "the configuration"));
        let configs = configs.collect::<Result<_>>()?;
        Ok(Self { configs, ..Self::join(first.clone(), files.collect::<Result<_>>()?)? })
    }

    /// A folder: the files its `model.safetensors.index.json` names, or every `*.safetensors` in it, or else every `*.gguf`.
    ///
    /// # Errors
    /// No file, an unreadable or corrupt one, an index that does not match, or a key held twice.
    pub fn open_folder(folder: &Path) -> Result<Self> {
        let index = folder.join("model.safetensors.index.json");
        if !index.exists() {
            let mut files = files_in(folder, "safetensors")?;
            if files.is_empty() {
                files = files_in(folder, "gguf")?;
            }
            if files.is_empty() {
                return Err(WeightsError::EmptyFolder { folder: folder.to_owned() });
            }
            return Self::join(folder.to_owned(), files.into_iter().map(WeightFile::open).collect::<Result<_>>()?);
        }
        let placed = read_index(&index)?;
        let shards: BTreeSet<&String> = placed.values().collect();
        let files = shards.into_iter().map(|shard| WeightFile::open(folder.join(shard)));
        let set = Self::join(folder.to_owned(), files.collect::<Result<_>>()?)?;
        for (key, shard) in placed {
            let beside =
                |file: &WeightFile| file.header.companions.contains_key(&key) && file.path == folder.join(&shard);
            let there = set.file_of(&key).is_some_and(|file| file.path == folder.join(&shard));
            if !there && !set.files.iter().any(beside) {
                return Err(WeightsError::IndexMismatch { index, key, shard });
            }
        }
        Ok(set)
    }

    fn join(path: PathBuf, files: Vec<WeightFile>) -> Result<Self> {
        let mut by_key = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for key in file.header.entries.keys() {
                if let Some(first) = by_key.insert(key.clone(), number) {
                    let (first, second) = (files[first].path.clone(), file.path.clone());
                    return Err(WeightsError::DuplicateKey { key: key.clone(), first, second });
                }
            }
        }
        Ok(Self { path, files, by_key, configs: Vec::new() })
    }

    /// The file or folder it was opened from; of several files, the first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The formats of its files, such as `GGUF`, each once.
    pub fn formats(&self) -> BTreeSet<&'static str> {
        self.files.iter().map(|file| file.header.format).collect()
    }

    /// Every key, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }

    /// Whether any key starts with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.by_key.range(prefix.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// A metadata entry of the first file that has it.
    pub fn metadata(&self, entry: &str) -> Option<&str> {
        self.files.iter().find_map(|file| file.metadata(entry))
    }

    /// The text entries of the first file's metadata.
    pub(crate) fn first_metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.files.iter().take(1).flat_map(|file| &file.header.values);
        values.map(|(entry, text)| (entry.as_str(), text.as_str()))
    }

    /// The model's configuration: JSON in the metadata entry `config` of its files, and files of configuration. Where several
    /// state a section, the first one counts.
    ///
    /// # Errors
    /// None states any, or one is not JSON.
    pub fn config(&self) -> Result<Value> {
        let mut found: Option<Value> = None;
        let stated = self.files.iter().filter_map(|file| Some((file, file.metadata("config")?)));
        let parsed = stated.map(|(file, text)| {
            serde_json::from_str(text).map_err(|source| WeightsError::BadJson {
                file: file.path.clone(),
                what: "the metadata entry config",
                source,
            })
        });
        for config in parsed.chain(self.configs.iter().cloned().map(Ok)) {
            found = Some(match (found, config?) {
                (None, config) => config,
                (Some(Value::Object(mut first)), Value::Object(second)) => {
                    for (section, value) in second {
                        first.entry(section).or_insert(value);
                    }
                    Value::Object(first)
                }
                (Some(first), _) => first,
            });
        }
        found.ok_or_else(|| WeightsError::MissingMetadata { file: self.path.clone(), entry: "config" })
    }

    /// A tensor's shape.
    pub fn shape_of(&self, key: &str) -> Option<&[usize]> {
        self.entry(key).map(|(_, entry)| entry.shape.as_slice())
    }

    /// What a tensor's values are stored as, such as `BF16` or `Q4_K`.
    pub fn stored_as(&self, key: &str) -> Option<&'static str> {
        self.entry(key).map(|(_, entry)| entry.stored.name())
    }

    /// Values in a tensor, and bytes on disk.
    pub fn size_of(&self, key: &str) -> (u64, u64) {
        self.entry(key).map_or((0, 0), |(_, entry)| (entry.values() as u64, entry.range.len() as u64))
    }

    /// Bytes in memory of the tensors whose keys start with `prefix`: all of them, and the largest. `bytes` says what one
    /// takes. The audio stream is left out, as it is never loaded.
    pub fn memory_bytes(&self, prefix: &str, bytes: impl Fn(Footprint<'_>) -> u64) -> (u64, u64) {
        let keys = self.by_key.range(prefix.to_owned()..).map(|(key, _)| key).take_while(|key| key.starts_with(prefix));
        let keys = keys.filter(|key| !vocabulary::is_audio(key));
        let each = keys.filter_map(|key| {
            let (_, entry) = self.entry(key)?;
            let matrix = (entry.shape.len() == 2).then(|| entry.matrix_kind());
            Some(bytes(Footprint { key, shape: &entry.shape, stored: entry.range.len() as u64, matrix }))
        });
        each.fold((0, 0), |(sum, most), bytes| (sum + bytes, most.max(bytes)))
    }

    /// Values and bytes of what accompanies fp8 weights.
    pub(crate) fn companions(&self) -> impl Iterator<Item = (u64, u64)> {
        self.files.iter().flat_map(|file| file.header.companions.values().copied())
    }

    pub(crate) fn entry(&self, key: &str) -> Option<(&WeightFile, &Entry)> {
        let file = self.file_of(key)?;
        Some((file, file.header.entries.get(key)?))
    }

    fn file_of(&self, key: &str) -> Option<&WeightFile> {
        self.files.get(*self.by_key.get(key)?)
    }
}

fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let read_error = |source| WeightsError::Read { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_index(index: &Path) -> Result<HashMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let parsed: Index = read_json(index, "the index")?;
    Ok(parsed.weight_map)
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path, what: &'static str) -> Result<T> {
    let text = fs::read(file).map_err(|source| WeightsError::Read { file: file.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| WeightsError::BadJson { file: file.to_owned(), what, source })
}
