//! What the files of a model say about themselves: entries of their metadata, and the configuration that they state together.
//!
//! Must not know what an entry means.

use super::{Said, TensorSet};
use crate::{GgufFault, Result, WeightsError, entries::shown, weight_file::WeightFile};
use ltx_types::json::{Contradiction, joined};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

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

    /// The same, with a metadata entry that is said elsewhere than in a file: it counts for those files that do not state it. What was said
    /// first stays.
    #[must_use]
    pub fn saying(self, entry: &str, value: &str) -> Self {
        self.said_by(entry, value, None)
    }

    fn said_by(mut self, entry: &str, value: &str, by: Option<PathBuf>) -> Self {
        self.said.entry(entry.to_owned()).or_insert_with(|| Said { text: value.to_owned(), by });
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
                self = if value.is_null() { self } else { self.said_by(entry, &text, Some(file.clone())) };
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
        let headers = self.files.iter().filter_map(|file| Some((file.path.as_path(), file.metadata(entry)?)));
        for (first, text) in headers.chain(self.said_where(entry)) {
            let words = || Value::String(text.to_owned());
            let stated =
                if value.is_string() { words() } else { serde_json::from_str(text).unwrap_or_else(|_| words()) };
            let under = |value: Value| Value::Object([(entry.to_owned(), value)].into_iter().collect());
            joined(&mut under(stated), under(value.clone())).map_err(|contradiction| WeightsError::ConfigsDiffer {
                first: first.to_owned(),
                second: second.to_owned(),
                contradiction: Box::new(contradiction),
            })?;
        }
        Ok(())
    }

    fn said(&self, entry: &str) -> Option<&str> {
        self.said.get(entry).map(|said| said.text.as_str())
    }

    /// What is said elsewhere than in a header, and by which file; by the first of all where none says it.
    fn said_where(&self, entry: &str) -> Option<(&Path, &str)> {
        let said = self.said.get(entry)?;
        Some((said.by.as_deref().unwrap_or(&self.path), said.text.as_str()))
    }

    /// The file of configuration that says an entry for the files that do not state it.
    pub fn says(&self, entry: &str) -> Option<&Path> {
        self.said.get(entry)?.by.as_deref()
    }

    /// What each file states under an entry, in their order; what a language model sees images with does not speak for it.
    pub fn each_metadata<'a>(&'a self, entry: &'a str) -> impl Iterator<Item = (&'a Path, &'a str)> {
        self.speaking().filter_map(move |file| Some((file.path.as_path(), file.metadata(entry)?)))
    }

    /// The files that hold a tensor whose key begins so.
    pub fn files_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Path> {
        let holds = move |file: &&WeightFile| {
            let mut from = file.header.entries.range(prefix.to_owned()..);
            from.next().is_some_and(|(key, _)| key.starts_with(prefix))
        };
        self.files.iter().filter(holds).map(|file| file.path.as_path())
    }

    /// The files whose headers speak for the model.
    pub(crate) fn speaking(&self) -> impl Iterator<Item = &WeightFile> {
        self.files.iter().filter(|file| !file.is_vision())
    }

    /// A metadata entry that all files which have it state alike.
    ///
    /// # Errors
    /// Two files state it differently.
    pub fn agreed(&self, entry: &str) -> Result<Option<&str>> {
        let mut found: Option<(&WeightFile, &str)> = None;
        for (file, text) in self.speaking().filter_map(|file| Some((file, file.metadata(entry)?))) {
            match found {
                Some((first, known)) if !says_the_same(known, text) => {
                    return Err(differ((first, file), entry, [known, text].map(|text| Value::from(shown(text)))));
                }
                Some(_) => {}
                None => found = Some((file, text)),
            }
        }
        Ok(found.map(|(_, text)| text))
    }

    /// A metadata entry that holds JSON, joined of all files that have it: what only one of them states is stated; else as it was said of the files.
    ///
    /// # Errors
    /// It is not JSON, or two files state an entry of it differently.
    pub fn json(&self, entry: &'static str) -> Result<Option<Value>> {
        let mut stated: Vec<_> =
            self.speaking().filter_map(|file| Some((file.path.clone(), file.metadata(entry)?))).collect();
        if stated.is_empty() {
            stated.extend(self.said_where(entry).map(|(file, text)| (file.to_owned(), text)));
        }
        let parsed = stated.into_iter().map(|(file, text)| match ltx_types::json::read(text.as_bytes()) {
            Ok(value) => Ok((file, value)),
            Err(source) => Err(WeightsError::BadJson { file, what: entry, source }),
        });
        join_all(parsed)
    }

    /// Metadata entries that begin with `head`, the rest of each name with its value, of all files. Arrays are not among them.
    ///
    /// # Errors
    /// Two files state one differently.
    pub fn metadata_under<'a>(&'a self, head: &str) -> Result<Vec<(&'a str, &'a str)>> {
        let mut found: BTreeMap<&str, (&WeightFile, &str)> = BTreeMap::new();
        for file in self.speaking() {
            let names = file.header.values.keys().chain(file.header.texts.keys());
            for (name, text) in names.filter_map(|name| Some((name.strip_prefix(head)?, file.metadata(name)?))) {
                let (first, known) = *found.entry(name).or_insert((file, text));
                if !says_the_same(known, text) {
                    let values = [known, text].map(|text| Value::from(shown(text)));
                    return Err(differ((first, file), &format!("{head}{name}"), values));
                }
            }
        }
        Ok(found.into_iter().map(|(name, (_, text))| (name, text)).collect())
    }

    /// Names of arrays of the metadata that begin with `head`, in any file.
    pub fn arrays_under(&self, head: &str) -> BTreeSet<&str> {
        let names = self.speaking().flat_map(|file| file.header.arrays.keys());
        names.filter(|name| name.starts_with(head)).map(String::as_str).collect()
    }

    /// An array of texts in the metadata of a GGUF file.
    ///
    /// # Errors
    /// Two files state it differently, the entry is no array of texts, or one of them is not UTF-8.
    pub fn texts(&self, entry: &str) -> Result<Option<Vec<&str>>> {
        let Some((file, array)) = self.array(entry)? else { return Ok(None) };
        let texts = array.texts(file.map.all());
        let texts = texts.ok_or_else(|| bad_array(file, GgufFault::Value, entry, "no array of texts"))?;
        let all: Option<Vec<&str>> = texts.into_iter().collect();
        all.map(Some).ok_or_else(|| bad_array(file, GgufFault::Text, entry, "bytes that are not UTF-8"))
    }

    /// An array of numbers in the metadata of a GGUF file; truths are 0 and 1.
    ///
    /// # Errors
    /// Two files state it differently, or the entry is no array of numbers.
    pub fn numbers(&self, entry: &str) -> Result<Option<Vec<f64>>> {
        let Some((file, array)) = self.array(entry)? else { return Ok(None) };
        let numbers = array.numbers(file.map.all());
        numbers.map(Some).ok_or_else(|| bad_array(file, GgufFault::Value, entry, "no array of numbers"))
    }

    /// An array that all files which have it state alike.
    fn array(&self, entry: &str) -> Result<Option<(&WeightFile, &crate::gguf::Array)>> {
        let mut all = self.speaking().filter_map(|file| Some((file, file.header.arrays.get(entry)?)));
        let Some((first, array)) = all.next() else { return Ok(None) };
        match all.find(|(file, other)| !array.is_as(first.map.all(), (other, file.map.all()))) {
            None => Ok(Some((first, array))),
            Some((file, other)) => {
                let values = [array, other].map(|array| Value::from(format!("a list of {}", array.count())));
                Err(differ((first, file), entry, values))
            }
        }
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
        let parsed = stated.map(|(file, text)| match ltx_types::json::read(text.as_bytes()) {
            Ok(value) => Ok((file, value)),
            Err(source) => Err(WeightsError::BadJson { file, what: "the metadata entry config", source }),
        });
        let found = join_all(parsed.chain(self.configs.iter().cloned().map(Ok)))?;
        let missing = || WeightsError::MissingMetadata { file: self.path.clone(), entry: CONFIG };
        found.ok_or_else(missing)
    }

    /// Files that hold what a language model sees images with, and nothing else.
    pub fn vision_files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.is_vision()).map(|file| file.path.as_path())
    }
}

/// Configurations of one model joined, each with the file that states it.
fn join_all(all: impl Iterator<Item = Result<(PathBuf, Value)>>) -> Result<Option<Value>> {
    let mut found: Option<Value> = None;
    let mut before: Vec<(PathBuf, Value)> = Vec::new();
    for config in all {
        let (file, config) = config?;
        let so_far = found.get_or_insert(Value::Null);
        joined(so_far, config.clone()).map_err(|contradiction| {
            let stating = before.iter().find(|(_, earlier)| states(earlier, &contradiction.entry));
            let first = stating.or(before.first()).map_or(&file, |(first, _)| first).clone();
            WeightsError::ConfigsDiffer { first, second: file.clone(), contradiction: Box::new(contradiction) }
        })?;
        before.push((file, config));
    }
    Ok(found)
}

/// Whether a configuration states an entry: its name, sections before it, dots between them.
fn states(config: &Value, entry: &str) -> bool {
    let stated = |value: &Value| !value.is_null();
    config.get(entry).is_some_and(stated)
        || entry
            .match_indices('.')
            .any(|(at, _)| config.get(&entry[..at]).is_some_and(|section| states(section, &entry[at + 1..])))
}

/// Whether two texts of one entry are the same text, or the same number.
fn says_the_same(first: &str, second: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    first == second || number(first).is_some_and(|first| number(second) == Some(first))
}

fn differ((first, second): (&WeightFile, &WeightFile), entry: &str, [one, other]: [Value; 2]) -> WeightsError {
    let contradiction = Contradiction { entry: entry.to_owned(), first: one.into(), second: other.into() };
    let (first, second) = (first.path.clone(), second.path.clone());
    WeightsError::ConfigsDiffer { first, second, contradiction: Box::new(contradiction) }
}

fn bad_array(file: &WeightFile, fault: GgufFault, entry: &str, found: &str) -> WeightsError {
    let expected = "one of whole items, as its key asks for".to_owned();
    WeightsError::Gguf { file: file.path.clone(), fault, place: entry.to_owned(), found: found.to_owned(), expected }
}
