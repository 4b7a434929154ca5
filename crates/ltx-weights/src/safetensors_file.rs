//! One memory-mapped safetensors file.
//!
//! Must not know what its tensors mean. The only home of `mmap`.
#![allow(unsafe_code)]

use crate::{Result, WeightsError};
use memmap2::{Mmap, UncheckedAdvice};
use safetensors::{
    SafeTensorError, SafeTensors,
    tensor::{Metadata, TensorInfo},
};
use std::{collections::HashMap, fs::File, path::PathBuf};

/// Bytes of the header's length field.
const LENGTH_FIELD: usize = 8;

/// Ranges below this many bytes are not given back: they share pages with their neighbours.
const WORTH_RELEASING: usize = 1 << 20;

/// A mapped file and its parsed header.
pub(crate) struct SafetensorsFile {
    pub(crate) path: PathBuf,
    map: Mmap,
    data_start: usize,
    header: Metadata,
}

impl SafetensorsFile {
    /// Maps the file and reads its header; no tensor is touched.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let read_error = |source| WeightsError::Read { file: path.clone(), source };
        let file = File::open(&path).map_err(read_error)?;
        // SAFETY: the map is read-only and private to this process. A checkpoint that another process truncates while
        // it is mapped would fault; operators replace checkpoints by renaming, and the README says so.
        let map = unsafe { Mmap::map(&file) }.map_err(read_error)?;
        let (header_length, header) = SafeTensors::read_metadata(&map).map_err(|source| match source {
            SafeTensorError::MetadataIncompleteBuffer => wrong_length(&path, &map),
            source => WeightsError::NotSafetensors { file: path.clone(), source },
        })?;
        Ok(Self { path, map, data_start: LENGTH_FIELD + header_length, header })
    }

    /// Keys with their dtype, shape and place.
    pub(crate) fn tensors(&self) -> HashMap<String, &TensorInfo> {
        self.header.tensors()
    }

    pub(crate) fn info(&self, key: &str) -> Option<&TensorInfo> {
        self.header.info(key)
    }

    /// The `__metadata__` entries.
    pub(crate) fn metadata(&self, entry: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(entry).map(String::as_str)
    }

    /// A tensor's bytes, little-endian. The header was validated against the file's length.
    pub(crate) fn bytes(&self, info: &TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        self.map.get(self.data_start + start..self.data_start + end).unwrap_or_default()
    }

    /// Lets go of a tensor's pages once it was copied out, so that they do not count as this process' memory. Only
    /// advice: a later read maps them again.
    pub(crate) fn release(&self, info: &TensorInfo) {
        let (start, end) = info.data_offsets;
        if end - start >= WORTH_RELEASING {
            // SAFETY: the map is read-only and backed by the file, so a dropped page comes back with the same bytes.
            let _ = unsafe {
                self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, self.data_start + start, end - start)
            };
        }
    }
}

fn wrong_length(path: &std::path::Path, map: &[u8]) -> WeightsError {
    let header_length = map.first_chunk::<LENGTH_FIELD>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let header = map.get(LENGTH_FIELD..LENGTH_FIELD + header_length as usize).unwrap_or_default();
    let entries: HashMap<String, serde_json::Value> = serde_json::from_slice(header).unwrap_or_default();
    let ends = entries.values().filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64());
    let expected = LENGTH_FIELD as u64 + header_length + ends.max().unwrap_or(0);
    WeightsError::WrongLength { file: path.to_owned(), expected, found: map.len() as u64 }
}
