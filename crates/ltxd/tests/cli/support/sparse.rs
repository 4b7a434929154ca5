//! Files of the real size without their weights: a real header, then a hole. They claim up to 46 GB and take a megabyte.
//!
//! Must not know what is asked of them; nothing can be generated from zeros.

use super::{
    files::repository,
    safetensors::{Entry, header},
};
use serde_json::{Map, Value, json};
use std::{fs, io::Write, path::Path};

/// Keys, shapes and configuration of a file, all of it in BF16.
pub(crate) struct Sparse {
    config: String,
    tensors: Vec<(String, Vec<u64>)>,
}

fn read(file: &str) -> String {
    fs::read_to_string(repository(file)).expect("a file of the repository")
}

impl Sparse {
    /// A file with these keys and shapes, and this configuration in its metadata.
    pub(crate) fn new(config: &Value, tensors: Vec<(String, Vec<u64>)>) -> Self {
        Self { config: config.to_string(), tensors }
    }

    /// The official LTX-2.3 22B checkpoint.
    pub(crate) fn ltx() -> Self {
        let keys: Map<String, Value> =
            serde_json::from_str(&read("models/facts/ltx-2.3-22b.manifest.json")).expect("facts");
        let tensors = keys.into_iter().map(|(key, entry)| {
            assert_eq!(entry[0], "BF16", "{key}");
            let shape = entry[1].as_array().expect("a shape").iter().map(|side| side.as_u64().expect("a side"));
            (key, shape.collect())
        });
        let config = serde_json::from_str(&read("models/facts/ltx-2.3-22b.config.json")).expect("a configuration");
        Self::new(&config, tensors.collect())
    }

    /// How many keys it has.
    pub(crate) fn keys(&self) -> usize {
        self.tensors.len()
    }

    /// Only the keys that `keep` keeps.
    pub(crate) fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.tensors.retain(|(key, _)| keep(key));
        self
    }

    /// One key under another name.
    pub(crate) fn rename(mut self, key: &str, name: &str) -> Self {
        self.entry(key).0 = name.to_owned();
        self
    }

    /// One tensor with another shape.
    pub(crate) fn reshape(mut self, key: &str, shape: &[u64]) -> Self {
        self.entry(key).1 = shape.to_vec();
        self
    }

    fn entry(&mut self, key: &str) -> &mut (String, Vec<u64>) {
        self.tensors.iter_mut().find(|(name, _)| name == key).unwrap_or_else(|| panic!("there is no {key}"))
    }

    /// Writes it, `missing` bytes shorter than it says.
    pub(crate) fn write(&self, file: &Path, missing: u64) {
        let metadata = json!({"config": self.config, "format": "pt", "model_version": "2.3.0"});
        let entries = self.tensors.iter().map(|(key, shape)| {
            let bytes = 2 * shape.iter().product::<u64>();
            Entry { key, dtype: "BF16", shape, bytes }
        });
        let (header, data) = header(metadata.as_object().expect("an object"), entries);
        let mut written = fs::File::create(file).expect("a new file");
        written.write_all(&header).expect("room for a header");
        written.set_len(header.len() as u64 + data - missing).expect("a file system that has holes");
    }
}
