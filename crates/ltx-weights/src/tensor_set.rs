//! The tensors of one model, in one file or in many.
//!
//! Must not know what they are used for.

mod index;
mod metadata;
mod same;

pub use index::Indexed;
pub use same::Twice;

use crate::{
    Result, WeightsError,
    mapped::check_regular,
    vocabulary,
    weight_file::{Entry, WeightFile},
};
use ltx_nn::matrix::StoredKind;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
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
    configs: Vec<(PathBuf, Value)>,
    /// Keys that several files hold, by pairs of files.
    twice: Vec<Twice>,
    /// Metadata entries that are said elsewhere than in a header; they count for files that do not say them.
    said: BTreeMap<String, Said>,
    /// What there is to say of the index that places its tensors, and of files beside them.
    remarks: Vec<String>,
}

/// What is said of files elsewhere than in a header.
#[derive(Debug, Clone)]
struct Said {
    text: String,
    /// The file that says it, if one does.
    by: Option<PathBuf>,
}

impl TensorSet {
    /// One safetensors or GGUF file.
    ///
    /// # Errors
    /// The file cannot be read, is of neither format, or is truncated.
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::join(path.to_owned(), vec![WeightFile::open(path.to_owned())?], Overlap::None)
    }

    /// One file whose tensors keep their own names.
    pub(crate) fn open_as_named(path: &Path) -> Result<Self> {
        Self::join(path.to_owned(), vec![WeightFile::open_as_named(path.to_owned())?], Overlap::None)
    }

    /// The component files of one model; the first gives the set its name. A `*.json` among them is a configuration and
    /// nothing else. Where two files hold the same tensor, also at another precision, the first file's counts.
    ///
    /// # Errors
    /// As [`Self::open_file`]; or two files hold a key with different values, or there is none.
    pub fn open_files(paths: &[PathBuf]) -> Result<Self> {
        let each = paths.iter().filter(|path| !is_config(path)).map(|path| Self::open_file(path));
        Self::together(paths, each.collect::<Result<_>>()?)
    }

    /// The same of files that are open: `each` of `paths` that is no configuration, in their order.
    ///
    /// # Errors
    /// As [`Self::open_files`].
    pub fn together(paths: &[PathBuf], each: Vec<Self>) -> Result<Self> {
        let Some(first) = paths.first() else {
            return Err(WeightsError::EmptyFolder { folder: PathBuf::new() });
        };
        let configs = paths.iter().filter(|path| is_config(path));
        let configs = configs.map(|path| Ok((path.clone(), read_json(path, "the configuration")?)));
        let configs = configs.collect::<Result<_>>()?;
        let files = each.into_iter().flat_map(|set| set.files).collect();
        Ok(Self { configs, ..Self::join(first.clone(), files, Overlap::SameWeights)? })
    }

    /// The same with every configuration that was named as a file of its own in another form.
    ///
    /// # Errors
    /// As `translate`, which is told the file.
    pub fn with_configs<E>(mut self, translate: impl Fn(&Path, Value) -> Result<Value, E>) -> Result<Self, E> {
        for (file, config) in &mut self.configs {
            *config = translate(file, config.take())?;
        }
        Ok(self)
    }

    /// A folder: the files its `model.safetensors.index.json` names, or every `*.safetensors` in it, or else every `*.gguf`.
    ///
    /// # Errors
    /// No file, an unreadable or corrupt one, an index that does not match, or a key held twice: by files of an index, or by
    /// others with different bytes.
    pub fn open_folder(folder: &Path) -> Result<Self> {
        let index = folder.join("model.safetensors.index.json");
        if !index.exists() {
            let (mut files, mut others) = (files_in(folder, "safetensors")?, files_in(folder, "gguf")?);
            if files.is_empty() {
                files = std::mem::take(&mut others);
            }
            if files.is_empty() {
                return Err(WeightsError::EmptyFolder { folder: folder.to_owned() });
            }
            let files = files.into_iter().map(WeightFile::open).collect::<Result<_>>()?;
            let remarks = others.iter().map(|file| not_read(file)).collect();
            return Ok(Self { remarks, ..Self::join(folder.to_owned(), files, Overlap::SameBytes)? });
        }
        let read = index::read(&index)?;
        let shards = read.files(folder);
        let others = files_in(folder, "safetensors")?.into_iter().filter(|file| !shards.contains(file));
        let others = others.map(|file| index::not_named(&file));
        let others: Vec<String> = others.chain(files_in(folder, "gguf")?.iter().map(|file| not_read(file))).collect();
        let files = shards.into_iter().map(WeightFile::open);
        let mut set = Self::join(folder.to_owned(), files.collect::<Result<_>>()?, Overlap::None)?;
        let files = set.files.iter().map(|file| (file.map.all().len(), file.header.length));
        let size = index::size_note(&index, read.size.as_ref(), files);
        set.remarks = read.notes.into_iter().chain(size).chain(others).collect();
        for (key, shard) in read.placed {
            let beside =
                |file: &WeightFile| file.header.companions.contains_key(&key) && file.path == folder.join(&shard);
            let there = set.file_of(&key).is_some_and(|file| file.path == folder.join(&shard));
            if !there && !set.files.iter().any(beside) {
                return Err(WeightsError::IndexMismatch { index, key, shard });
            }
        }
        Ok(set)
    }

    /// Those of its tensors, and of what accompanies them, whose keys are wanted.
    #[must_use]
    pub fn keeping(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        for file in &mut self.files {
            file.header.entries.retain(|key, _| wanted(key));
            file.header.companions.retain(|key, _| wanted(key));
        }
        self.by_key.retain(|key, _| wanted(key));
        self
    }

    /// Its tensors alone: what its files say about themselves is left out.
    #[must_use]
    pub fn without_metadata(mut self) -> Self {
        for file in &mut self.files {
            file.header.values.clear();
            file.header.texts.clear();
            file.header.arrays.clear();
            file.header.stated_elsewhere.clear();
            file.header.remarks.clear();
        }
        Self { configs: Vec::new(), said: BTreeMap::new(), remarks: Vec::new(), ..self }
    }

    /// With the tensors of further files of the same model; their metadata comes last.
    ///
    /// # Errors
    /// Two files hold a key with different values.
    pub fn and(mut self, others: Self) -> Result<Self> {
        self.files.extend(others.files);
        let joined = Self::join(self.path, self.files, Overlap::SameWeights)?;
        let configs = self.configs.into_iter().chain(others.configs).collect();
        let remarks = self.remarks.into_iter().chain(others.remarks).collect();
        Ok(Self { configs, said: self.said, remarks, ..joined })
    }

    fn join(path: PathBuf, mut files: Vec<WeightFile>, overlap: Overlap) -> Result<Self> {
        // What lies beside a language model for images must not speak for it.
        files.sort_by_key(WeightFile::is_vision);
        let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
        let mut again = Vec::new();
        for (number, file) in files.iter().enumerate() {
            for key in file.header.entries.keys() {
                match by_key.get(key) {
                    Some(first) => again.push((key.clone(), *first, number)),
                    None => drop(by_key.insert(key.clone(), number)),
                }
            }
        }
        let twice = same::check(&files, again, overlap)?;
        Ok(Self { path, files, by_key, configs: Vec::new(), twice, said: BTreeMap::new(), remarks: Vec::new() })
    }

    /// The file or folder it was opened from; of several files, the first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is said of scales of its files that were taken as their shape says alone.
    pub(crate) fn remarks_on_scales(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| &file.header.remarks).map(String::as_str)
    }

    /// What there is to say of the index that places its tensors, and of files beside them.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
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
        self.footprints(prefix).map(bytes).fold((0, 0), |(sum, most), bytes| (sum + bytes, most.max(bytes)))
    }

    /// The tensors whose keys start with `prefix`, in the order of their keys, without the audio stream, which is never loaded.
    pub fn footprints<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Footprint<'a>> + 'a {
        let keys =
            self.by_key.range(prefix.to_owned()..).map(|(key, _)| key).take_while(move |key| key.starts_with(prefix));
        keys.filter(|key| !vocabulary::is_audio(key)).filter_map(|key| {
            let (_, entry) = self.entry(key)?;
            let matrix = (entry.shape.len() == 2).then(|| entry.matrix_kind());
            Some(Footprint { key, shape: &entry.shape, stored: entry.range.len() as u64, matrix })
        })
    }

    /// The largest of its files.
    pub fn largest_file(&self) -> Option<&Path> {
        let bytes = |file: &&WeightFile| file.header.entries.values().map(|entry| entry.range.len()).sum::<usize>();
        self.files.iter().max_by_key(bytes).map(|file| file.path.as_path())
    }

    /// What accompanies quantised weights: keys, values and bytes.
    pub(crate) fn companions(&self) -> impl Iterator<Item = (&str, (u64, u64))> {
        self.files.iter().flat_map(|file| file.header.companions.iter().map(|(key, size)| (key.as_str(), *size)))
    }

    /// Bytes in memory of a tensor that stays packed.
    pub(crate) fn packed_bytes(&self, key: &str) -> u64 {
        let bytes = |entry: &Entry| entry.packing().and_then(|packing| packing.bytes(entry.values()));
        self.entry(key).and_then(|(_, entry)| bytes(entry)).unwrap_or(0) as u64
    }

    pub(crate) fn entry(&self, key: &str) -> Option<(&WeightFile, &Entry)> {
        let file = self.file_of(key)?;
        Some((file, file.header.entries.get(key)?))
    }

    fn file_of(&self, key: &str) -> Option<&WeightFile> {
        self.files.get(*self.by_key.get(key)?)
    }
}

/// What it means that several files hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// It may not be.
    None,
    /// They must hold the same bytes.
    SameBytes,
    /// They must hold the same weights, at whatever precision.
    SameWeights,
}

fn is_config(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// A note on a GGUF file in a folder whose safetensors files are read.
fn not_read(file: &Path) -> String {
    format!("{}: beside safetensors files, which are read; it is left alone", file.display())
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

fn read_json<T: serde::de::DeserializeOwned>(file: &Path, what: &'static str) -> Result<T> {
    check_regular(file)?;
    let text = fs::read(file).map_err(|source| WeightsError::Read { file: file.to_owned(), source })?;
    let parsed = ltx_types::json::read(&text).and_then(serde_json::from_value);
    parsed.map_err(|source| WeightsError::BadJson { file: file.to_owned(), what, source })
}
