//! Safetensors files by their format alone: a header, and one read, changed and written again.
//!
//! Must not know which keys a model has. Not by `ltx-weights`, whose reading is under test.

use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// A tensor with its bytes.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) key: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// A file in memory.
pub(crate) struct File {
    pub(crate) metadata: Map<String, Value>,
    pub(crate) tensors: Vec<Tensor>,
}

/// Where a tensor's description goes; `bytes` is the length of its data.
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    pub(crate) dtype: &'a str,
    pub(crate) shape: &'a [u64],
    pub(crate) bytes: u64,
}

/// Length and header of a file whose tensors' data follow each other in this order, and how long the data is.
pub(crate) fn header<'a>(
    metadata: &Map<String, Value>,
    entries: impl IntoIterator<Item = Entry<'a>>,
) -> (Vec<u8>, u64) {
    let mut described = Map::new();
    if !metadata.is_empty() {
        described.insert("__metadata__".into(), Value::Object(metadata.clone()));
    }
    let mut at = 0;
    for Entry { key, dtype, shape, bytes } in entries {
        described.insert(key.into(), json!({"dtype": dtype, "shape": shape, "data_offsets": [at, at + bytes]}));
        at += bytes;
    }
    let mut text = Value::Object(described).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    ([&(text.len() as u64).to_le_bytes()[..], &text].concat(), at)
}

impl File {
    /// A file, read whole.
    pub(crate) fn read(file: impl AsRef<Path>) -> Self {
        let blob = fs::read(file).expect("the file is there");
        let (length, rest) = blob.split_at(8);
        let length = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
        let mut described: Map<String, Value> = serde_json::from_slice(&rest[..length]).expect("a header");
        let metadata = described.remove("__metadata__").and_then(|metadata| metadata.as_object().cloned());
        let data = &rest[length..];
        let tensor = |(key, entry): (String, Value)| {
            let number = |value: &Value| value.as_u64().expect("a number");
            let [from, to] = [0, 1].map(|end| number(&entry["data_offsets"][end]) as usize);
            let shape = entry["shape"].as_array().expect("a shape").iter().map(number).collect();
            let dtype = entry["dtype"].as_str().expect("a dtype").to_owned();
            Tensor { key, dtype, shape, bytes: data[from..to].to_vec() }
        };
        Self { metadata: metadata.unwrap_or_default(), tensors: described.into_iter().map(tensor).collect() }
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let entries = self.tensors.iter().map(|Tensor { key, dtype, shape, bytes }| {
            let bytes = bytes.len() as u64;
            Entry { key, dtype, shape, bytes }
        });
        let (mut file, _) = header(&self.metadata, entries);
        self.tensors.iter().for_each(|tensor| file.extend_from_slice(&tensor.bytes));
        file
    }

    /// The tensor of a key.
    pub(crate) fn tensor(&mut self, key: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.key == key).unwrap_or_else(|| panic!("there is no {key}"))
    }
}
