//! What the files of a model say about themselves: entries of their metadata, and the configuration that they state together.
//!
//! Must not know what an entry means.

use super::TensorSet;
use crate::{GgufFault, Result, WeightsError, weight_file::WeightFile};
use ltx_types::json::joined;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The entry that holds a checkpoint's configuration.
const CONFIG: &str = "config";

impl TensorSet {
    /// A metadata entry of the first file that has it; else as it was said of the files.
    pub fn metadata(&self, entry: &str) -> Option<&str> {
        self.files.iter().find_map(|file| file.metadata(entry)).or_else(|| self.said(entry))
    }

    /// A metadata entry of the file that holds the first key that begins so; else as it was said of the files.
    pub fn metadata_beside(&self, prefix: &str, entry: &str) -> Option<&str> {
        let (key, file) = self.by_key.range(prefix.to_owned()..).next()?;
        let file = self.files.get(*file).filter(|_| key.starts_with(prefix))?;
        file.metadata(entry).or_else(|| self.said(entry))
    }

    /// The same, with a metadata entry that is said elsewhere than in a header: it counts for those files that do not state it. What
    /// was said first stays.
    #[must_use]
    pub fn saying(mut self, entry: &str, value: &str) -> Self {
        self.said.entry(entry.to_owned()).or_insert_with(|| value.to_owned());
        self
    }

    /// The same, where a file of configuration states metadata entries of these names beside its sections: they are no part of the
    /// configuration, and count for those files that do not state them.
    ///
    /// # Errors
    /// It states one otherwise than a header does, or another such file.
    pub fn with_entries_of_configs(mut self, entries: &[&str]) -> Result<Self> {
        let mut left = Vec::new();
        for (file, mut config) in std::mem::take(&mut self.configs) {
            let mut out = 0;
            for entry in entries {
                let Some(value) = config.as_object_mut().and_then(|sections| sections.remove(*entry)) else { continue };
                out += 1;
                self.agrees(entry, &value, &file)?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self = if value.is_null() { self } else { self.saying(entry, &text) };
            }
            // One that states nothing else is no configuration.
            if out == 0 || config.as_object().is_some_and(|sections| !sections.is_empty()) {
                left.push((file, config));
            }
        }
        Ok(Self { configs: left, ..self })
    }

    /// Refuses a value of an entry, stated in `second`, that a header, or what was said before, contradicts.
    fn agrees(&self, entry: &str, value: &Value, second: &Path) -> Result<()> {
        let headers = self.files.iter().filter_map(|file| Some((&file.path, file.metadata(entry)?)));
        for (first, text) in headers.chain(self.said(entry).map(|text| (&self.path, text))) {
            let words = || Value::String(text.to_owned());
            let stated =
                if value.is_string() { words() } else { serde_json::from_str(text).unwrap_or_else(|_| words()) };
            let under = |value: Value| Value::Object([(entry.to_owned(), value)].into_iter().collect());
            joined(&mut under(stated), under(value.clone())).map_err(|contradiction| WeightsError::ConfigsDiffer {
                first: first.clone(),
                second: second.to_owned(),
                contradiction: Box::new(contradiction),
            })?;
        }
        Ok(())
    }

    fn said(&self, entry: &str) -> Option<&str> {
        self.said.get(entry).map(String::as_str)
    }

    /// A metadata entry that holds JSON, of the first file that has it.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn json(&self, entry: &'static str) -> Result<Option<Value>> {
        let stated = self.files.iter().find_map(|file| Some((&file.path, file.metadata(entry)?)));
        let Some((file, text)) = stated.or_else(|| Some((&self.path, self.said(entry)?))) else { return Ok(None) };
        let parsed = serde_json::from_str(text);
        parsed.map(Some).map_err(|source| WeightsError::BadJson { file: file.clone(), what: entry, source })
    }

    /// Metadata entries that begin with `head`, the rest of each name with its value, of the first file that has any. Arrays are
    /// not among them.
    pub fn metadata_under<'a>(&'a self, head: &str) -> Vec<(&'a str, &'a str)> {
        let under = |file: &'a WeightFile| -> Vec<(&'a str, &'a str)> {
            let names = file.header.values.keys().chain(file.header.texts.keys());
            names.filter_map(|name| Some((name.strip_prefix(head)?, file.metadata(name)?))).collect()
        };
        self.files.iter().map(under).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// Names of arrays of the metadata that begin with `head`, in any file.
    pub fn arrays_under(&self, head: &str) -> Vec<&str> {
        let names = self.files.iter().flat_map(|file| file.header.arrays.keys());
        names.filter(|name| name.starts_with(head)).map(String::as_str).collect()
    }

    /// An array of texts in the metadata of a GGUF file.
    ///
    /// # Errors
    /// The entry is no array of texts, or one of them is not UTF-8.
    pub fn texts(&self, entry: &str) -> Result<Option<Vec<&str>>> {
        let Some((file, array)) = self.array(entry) else { return Ok(None) };
        let texts = array.texts(file.map.all());
        let texts = texts.ok_or_else(|| bad_array(file, GgufFault::Value, entry, "no array of texts"))?;
        let all: Option<Vec<&str>> = texts.into_iter().collect();
        all.map(Some).ok_or_else(|| bad_array(file, GgufFault::Text, entry, "bytes that are not UTF-8"))
    }

    /// An array of numbers in the metadata of a GGUF file; truths are 0 and 1.
    ///
    /// # Errors
    /// The entry is no array of numbers.
    pub fn numbers(&self, entry: &str) -> Result<Option<Vec<f64>>> {
        let Some((file, array)) = self.array(entry) else { return Ok(None) };
        let numbers = array.numbers(file.map.all());
        numbers.map(Some).ok_or_else(|| bad_array(file, GgufFault::Value, entry, "no array of numbers"))
    }

    fn array(&self, entry: &str) -> Option<(&WeightFile, &crate::gguf::Array)> {
        self.files.iter().find_map(|file| Some((file, file.header.arrays.get(entry)?)))
    }

    /// The bytes of a tensor that holds no numbers but a file of its own, stored as `U8`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn packed_file(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some((file, entry)) = self.entry(key).filter(|(_, entry)| entry.stored.name() == "U8") else {
            return Ok(None);
        };
        let mut bytes = vec![0; entry.range.len()];
        file.read((key, entry), 0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Whether any file states a configuration.
    pub fn states_config(&self) -> bool {
        !self.configs.is_empty() || self.metadata(CONFIG).is_some()
    }

    /// The model's configuration: JSON in the metadata entry `config` of its files, and files of configuration, joined. What only
    /// one of them states is stated.
    ///
    /// # Errors
    /// None states any, one is not JSON, or two state an entry differently.
    pub fn config(&self) -> Result<Value> {
        let stated = self.files.iter().filter_map(|file| Some((file.path.clone(), file.metadata(CONFIG)?)));
        let parsed = stated.map(|(file, text)| match serde_json::from_str(text) {
            Ok(value) => Ok((file, value)),
            Err(source) => Err(WeightsError::BadJson { file, what: "the metadata entry config", source }),
        });
        let mut found: Option<(PathBuf, Value)> = None;
        for config in parsed.chain(self.configs.iter().cloned().map(Ok)) {
            let (file, config) = config?;
            let Some((first, so_far)) = &mut found else {
                found = Some((file, config));
                continue;
            };
            joined(so_far, config).map_err(|contradiction| WeightsError::ConfigsDiffer {
                first: first.clone(),
                second: file,
                contradiction: Box::new(contradiction),
            })?;
        }
        let missing = || WeightsError::MissingMetadata { file: self.path.clone(), entry: CONFIG };
        found.map(|(_, config)| config).ok_or_else(missing)
    }

    /// Files that hold what a language model sees images with, and nothing else.
    pub fn vision_files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.is_vision()).map(|file| file.path.as_path())
    }
}

fn bad_array(file: &WeightFile, fault: GgufFault, entry: &str, found: &str) -> WeightsError {
    let expected = "one of whole items, as its key asks for".to_owned();
    WeightsError::Gguf { file: file.path.clone(), fault, place: entry.to_owned(), found: found.to_owned(), expected }
}
