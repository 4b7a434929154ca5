//! The header of a safetensors file, with the scales of quantised weights in its entries.
//!
//! Must not know what its tensors mean.

use crate::{
    Result, WeightsError, quantised,
    weight_file::{Entry, Header, StoredType},
};
use candle_core::DType;
use ltx_nn::{Element, Groups, Packing};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorInfo};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{fmt, path::Path};

/// Bytes of the header's length field.
const LENGTH_FIELD: usize = 8;
/// The fields by which a header describes a tensor.
const FIELDS: [&str; 3] = ["dtype", "shape", "data_offsets"];

/// Reads the header; no tensor is touched but the scales.
pub(crate) fn read(path: &Path, map: &[u8]) -> Result<Header> {
    let (length, parsed) = SafeTensors::read_metadata(map).map_err(|source| match source {
        SafeTensorError::MetadataIncompleteBuffer => wrong_length(path, map),
        source => WeightsError::NotSafetensors { file: path.to_owned(), source },
    })?;
    let length = LENGTH_FIELD + length;
    check_fields(path, map.get(LENGTH_FIELD..length).unwrap_or_default())?;
    let mut header = Header { length, format: "safetensors", ..Header::default() };
    header.values = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
    for (key, info) in parsed.tensors() {
        header.entries.insert(key, entry(info, length));
    }
    quantised::attach(path, map, &mut header)?;
    Ok(header)
}

fn entry(info: &TensorInfo, data: usize) -> Entry {
    let (start, end) = info.data_offsets;
    let stored = match info.dtype {
        Dtype::F32 => StoredType::Float(DType::F32),
        Dtype::F16 => StoredType::Float(DType::F16),
        Dtype::BF16 => StoredType::Float(DType::BF16),
        Dtype::F8_E4M3 => StoredType::Packed(Packing::Fp8 { scale: 1.0 }),
        Dtype::F8_E5M2 => StoredType::Packed(Packing::Groups(Groups::of_one(Element::E5m2, 1.0))),
        Dtype::F8_E8M0 => StoredType::Other("F8_E8M0"),
        Dtype::F64 => StoredType::Other("F64"),
        Dtype::I64 => StoredType::Other("I64"),
        Dtype::I32 => StoredType::Other("I32"),
        Dtype::I8 => StoredType::Other("I8"),
        Dtype::U8 => StoredType::Other("U8"),
        Dtype::I16 => StoredType::Other("I16"),
        Dtype::U16 => StoredType::Other("U16"),
        Dtype::U32 => StoredType::Other("U32"),
        Dtype::U64 => StoredType::Other("U64"),
        Dtype::BOOL => StoredType::Other("BOOL"),
        _ => StoredType::Other("a type of no weights"),
    };
    Entry { shape: info.shape.clone(), stored, range: data + start..data + end, plus_one: false, beside: None }
}

/// Refuses a header that states an entry twice, and a tensor that is described by more than its type, its shape and its place: the parser
/// passes over both.
fn check_fields(path: &Path, header: &[u8]) -> Result<()> {
    let described = ltx_types::json::read(header);
    let described =
        described.map_err(|source| WeightsError::BadJson { file: path.to_owned(), what: "the header", source })?;
    let tensors = described.as_object().into_iter().flatten().filter(|(key, _)| *key != "__metadata__");
    for (key, fields) in tensors {
        let mut names = fields.as_object().into_iter().flat_map(serde_json::Map::keys);
        if let Some(field) = names.find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(WeightsError::TensorField { file: path.to_owned(), key: key.clone(), field: field.clone() });
        }
    }
    Ok(())
}

fn wrong_length(path: &Path, map: &[u8]) -> WeightsError {
    let header_length = map.first_chunk::<LENGTH_FIELD>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let end = LENGTH_FIELD.saturating_add(header_length as usize);
    let header = map.get(LENGTH_FIELD..end).unwrap_or_default();
    let End(end) = serde_json::from_slice(header).unwrap_or_default();
    let expected = (LENGTH_FIELD as u64).saturating_add(header_length).saturating_add(end);
    WeightsError::WrongLength { file: path.to_owned(), expected, found: map.len() as u64 }
}

/// Where the last tensor of a header ends. Nothing else of the header is kept while it is read.
#[derive(Default)]
struct End(u64);

/// A tensor's place, as the header describes it.
#[derive(Deserialize)]
struct Place {
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(Self(0))
    }
}

impl<'de> Visitor<'de> for End {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Self, A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            if key == "__metadata__" {
                entries.next_value::<IgnoredAny>()?;
            } else {
                let Place { data_offsets: (_, end) } = entries.next_value()?;
                self.0 = self.0.max(end);
            }
        }
        Ok(self)
    }
}
