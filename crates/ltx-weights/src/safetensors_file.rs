//! The header of a safetensors file, the scales of fp8 weights included.
//!
//! Must not know what its tensors mean.

use crate::{
    Result, WeightsError,
    weight_file::{Entry, Header, StoredType},
};
use candle_core::DType;
use half::{bf16, f16};
use ltx_nn::Packing;
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorInfo};
use std::{collections::HashMap, path::Path};

/// Bytes of the header's length field.
const LENGTH_FIELD: usize = 8;

/// How published fp8 files name the scale of `….weight`: behind the key, or in place of its last word.
const SCALES: [&str; 2] = ["weight_scale", "scale_weight"];
/// What else stands beside an fp8 weight; activations are not rounded here, so it is not needed.
const BESIDE: [&str; 3] = ["input_scale", "scale_input", "comfy_quant"];
/// A tensor whose presence says that every fp8 weight has a scale.
const MARK: &str = "scaled_fp8";

/// Reads the header; no tensor is touched but the scales.
pub(crate) fn read(path: &Path, map: &[u8]) -> Result<Header> {
    let (length, parsed) = SafeTensors::read_metadata(map).map_err(|source| match source {
        SafeTensorError::MetadataIncompleteBuffer => wrong_length(path, map),
        source => WeightsError::NotSafetensors { file: path.to_owned(), source },
    })?;
    let length = LENGTH_FIELD + length;
    let mut header = Header { length, format: "safetensors", ..Header::default() };
    header.values = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
    for (key, info) in parsed.tensors() {
        header.entries.insert(key, entry(info, length));
    }
    attach_scales(path, map, &mut header)?;
    Ok(header)
}

fn entry(info: &TensorInfo, data: usize) -> Entry {
    let (start, end) = info.data_offsets;
    let stored = match info.dtype {
        Dtype::F32 => StoredType::Float(DType::F32),
        Dtype::F16 => StoredType::Float(DType::F16),
        Dtype::BF16 => StoredType::Float(DType::BF16),
        Dtype::F8_E4M3 => StoredType::Packed(Packing::Fp8 { scale: 1.0 }),
        Dtype::F8_E5M2 => StoredType::Other("F8_E5M2"),
        Dtype::F64 => StoredType::Other("F64"),
        Dtype::I64 => StoredType::Other("I64"),
        Dtype::I32 => StoredType::Other("I32"),
        Dtype::I8 => StoredType::Other("I8"),
        Dtype::U8 => StoredType::Other("U8"),
        _ => StoredType::Other("a type of no weights"),
    };
    Entry { shape: info.shape.clone(), stored, range: data + start..data + end, plus_one: false }
}

/// Moves the scales from the entries into the weights they belong to. A scale without an fp8 weight stays a tensor like any
/// other, which nothing will ask for.
fn attach_scales(path: &Path, map: &[u8], header: &mut Header) -> Result<()> {
    let is_fp8 = |entry: &Entry| matches!(entry.stored, StoredType::Packed(Packing::Fp8 { .. }));
    let weights: Vec<String> =
        header.entries.iter().filter(|(_, entry)| is_fp8(entry)).map(|(key, _)| key.clone()).collect();
    let last = |key: &str| key.rsplit('.').next().is_some_and(|word| word == MARK);
    let marks: Vec<String> = header.entries.keys().filter(|key| last(key)).cloned().collect();
    let mut scaled = !marks.is_empty();
    for mark in &marks {
        accompany(header, mark);
    }
    let mut without = None;
    for key in weights {
        let Some(stem) = key.strip_suffix("weight") else { continue };
        let found = SCALES.iter().map(|name| format!("{stem}{name}")).find(|name| header.entries.contains_key(name));
        let matrix = header.entries.get(&key).is_some_and(|entry| entry.shape.len() == 2);
        match found {
            Some(name) => {
                let scale = header.entries.get(&name).map(|entry| read_scale(path, map, &name, entry)).transpose()?;
                if let (Some(entry), Some(scale)) = (header.entries.get_mut(&key), scale) {
                    entry.stored = StoredType::Packed(Packing::Fp8 { scale });
                }
                accompany(header, &name);
                scaled = true;
            }
            None if matrix => without = without.or_else(|| Some(key.clone())),
            None => {}
        }
        for name in BESIDE {
            accompany(header, &format!("{stem}{name}"));
        }
    }
    match without {
        Some(key) if scaled => Err(WeightsError::MissingScale { file: path.to_owned(), key }),
        _ => Ok(()),
    }
}

fn accompany(header: &mut Header, key: &str) {
    if let Some(entry) = header.entries.remove(key) {
        header.companions.insert(key.to_owned(), (entry.values() as u64, entry.range.len() as u64));
    }
}

/// A scale is one finite number.
fn read_scale(path: &Path, map: &[u8], key: &str, entry: &Entry) -> Result<f32> {
    let bytes = map.get(entry.range.clone()).unwrap_or_default();
    let value = match (entry.stored, bytes) {
        (StoredType::Float(DType::F32), &[a, b, c, d]) => Some(f32::from_le_bytes([a, b, c, d])),
        (StoredType::Float(DType::BF16), &[a, b]) => Some(bf16::from_le_bytes([a, b]).to_f32()),
        (StoredType::Float(DType::F16), &[a, b]) => Some(f16::from_le_bytes([a, b]).to_f32()),
        _ => None,
    };
    let found = || match value {
        Some(value) => value.to_string(),
        None => format!("{} of shape {:?}", entry.stored.name(), entry.shape),
    };
    value.filter(|value| value.is_finite()).ok_or_else(|| WeightsError::BadScale {
        file: path.to_owned(),
        key: key.to_owned(),
        found: found(),
    })
}

fn wrong_length(path: &Path, map: &[u8]) -> WeightsError {
    let header_length = map.first_chunk::<LENGTH_FIELD>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let end = LENGTH_FIELD.saturating_add(header_length as usize);
    let header = map.get(LENGTH_FIELD..end).unwrap_or_default();
    let entries: HashMap<String, serde_json::Value> = serde_json::from_slice(header).unwrap_or_default();
    let ends = entries.values().filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64());
    let expected = (LENGTH_FIELD as u64).saturating_add(header_length).saturating_add(ends.max().unwrap_or(0));
    WeightsError::WrongLength { file: path.to_owned(), expected, found: map.len() as u64 }
}
