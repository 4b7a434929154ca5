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
    version: &'static str,
    tensors: Vec<(String, Vec<u64>)>,
}

fn read(file: &str) -> String {
    fs::read_to_string(repository(file)).expect("a file of the repository")
}

impl Sparse {
    /// A file with these keys and shapes, and this configuration in its metadata.
    pub(crate) fn new(config: &Value, tensors: Vec<(String, Vec<u64>)>) -> Self {
        Self { config: config.to_string(), version: "2.3.0", tensors }
    }

    /// The official LTX-2.3 22B checkpoint.
    pub(crate) fn ltx() -> Self {
        Self::published("ltx-2.3-22b", "ltx-2.3-22b", "2.3.0")
    }

    /// A published file by the list of its keys in `models/facts`, `{48}` in one standing for each number below 48; the
    /// configuration is that of its model. The few tensors in F32 are in BF16 here.
    pub(crate) fn published(keys: &str, model: &str, version: &'static str) -> Self {
        let keys: Map<String, Value> =
            serde_json::from_str(&read(&format!("models/facts/{keys}.manifest.json"))).expect("facts");
        let mut tensors = Vec::new();
        for (key, entry) in keys {
            assert!(entry[0] == "BF16" || entry[0] == "F32", "{key}");
            let shape = entry[1].as_array().expect("a shape").iter().map(|side| side.as_u64().expect("a side"));
            let shape: Vec<u64> = shape.collect();
            match key.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?))) {
                Some((head, (count, tail))) => {
                    let count: usize = count.parse().expect("a count");
                    tensors.extend((0..count).map(|i| (format!("{head}{i}{tail}"), shape.clone())));
                }
                None => tensors.push((key, shape)),
            }
        }
        let config =
            serde_json::from_str(&read(&format!("models/facts/{model}.config.json"))).expect("a configuration");
        Self { version, ..Self::new(&config, tensors) }
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
        let metadata = json!({"config": self.config, "format": "pt", "model_version": self.version});
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
