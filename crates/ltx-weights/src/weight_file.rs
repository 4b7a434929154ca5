//! One file of weights: its bytes, and where each tensor lies in them, whatever the format.
//!
//! Must not know which model its tensors belong to.

use crate::{
    Result, gguf,
    mapped::Mapped,
    names,
    quantised::{self, Beside, Statement},
    safetensors_file,
};
use candle_core::DType;
use ltx_nn::{NnError, Packing, matrix::StoredKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

/// What a tensor's values are stored as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StoredType {
    /// F32, F16 or BF16.
    Float(DType),
    /// 8-bit floats, quantised blocks and groups.
    Packed(Packing),
    /// A type that is recognised and not read.
    Other(&'static str),
}

impl StoredType {
    /// The name that the formats use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float(DType::F32) => "F32",
            Self::Float(DType::F16) => "F16",
            Self::Float(_) => "BF16",
            Self::Packed(packing) => packing.name(),
            Self::Other(name) => name,
        }
    }
}

/// A tensor's place. The range lies inside the file and has the length that shape and type ask for.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) shape: Vec<usize>,
    pub(crate) stored: StoredType,
    pub(crate) range: Range<usize>,
    /// Its values are by one larger than the official ones (Gemma's norms in llama.cpp's files).
    pub(crate) plus_one: bool,
    /// The scales of its groups, which lie elsewhere in the file.
    pub(crate) beside: Option<Box<Beside>>,
}

impl Entry {
    /// Values in it.
    pub(crate) fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// What a source hands its values out as, if it is the matrix of a linear layer: bytes if its rows are whole blocks, floats
    /// of 32 bits as they are, and whatever has to be converted in f32.
    pub(crate) fn matrix_kind(&self) -> StoredKind {
        let halves = match self.stored {
            StoredType::Float(DType::BF16) if !self.plus_one => Some(Packing::Bf16),
            StoredType::Float(DType::F16) if !self.plus_one => Some(Packing::F16),
            StoredType::Float(_) | StoredType::Packed(_) | StoredType::Other(_) => None,
        };
        halves.or_else(|| self.packing()).map_or(StoredKind::Floats(DType::F32), StoredKind::Packed)
    }

    /// Whether its rows can be told apart in its bytes: no block crosses from one into the next.
    pub(crate) fn rows_are_apart(&self) -> bool {
        !matches!(self.stored, StoredType::Packed(_)) || self.packing().is_some()
    }

    /// How its values are packed, if a linear layer keeps them so: they are no plain floats, and rows are whole blocks.
    pub(crate) fn packing(&self) -> Option<Packing> {
        let StoredType::Packed(packing) = self.stored else { return None };
        let row = self.shape.last().copied().unwrap_or(0);
        (!self.plus_one && packing.bytes(row).is_some()).then_some(packing)
    }
}

/// What a file's header says.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// By official key.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Text of the metadata.
    pub(crate) texts: BTreeMap<String, Range<usize>>,
    /// Metadata that lies elsewhere than in the file as it is, such as JSON with escapes, and numbers.
    pub(crate) values: BTreeMap<String, String>,
    /// Arrays of the metadata.
    pub(crate) arrays: BTreeMap<String, gguf::Array>,
    /// Tensors that only accompany others (scales of quantised weights): values and bytes.
    pub(crate) companions: BTreeMap<String, (u64, u64)>,
    /// What is stated about the quantisation of its tensors, by the keys of their entries.
    pub(crate) stated: BTreeMap<String, Statement>,
    /// Layers whose quantisation is stated and that are not in the file.
    pub(crate) stated_elsewhere: Vec<(String, Statement)>,
    /// Entries that state the shape of a tensor that is not in the file.
    pub(crate) shapes_of_none: BTreeSet<String>,
    /// What is said of scales that were taken as their shape says alone.
    pub(crate) remarks: Vec<String>,
    /// Where the header ends.
    pub(crate) length: usize,
    pub(crate) format: &'static str,
}

/// A mapped file and its header.
pub(crate) struct WeightFile {
    pub(crate) path: PathBuf,
    pub(crate) map: Mapped,
    pub(crate) header: Header,
}

impl WeightFile {
    /// Maps the file and reads its header; no weight is touched, but for scales and statements beside some. A file that begins like GGUF, or is named so, is read as
    /// GGUF, any other as safetensors.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let mut file = Self::open_as_named(path)?;
        names::make_official(&file.path, &mut file.header, file.map.all())?;
        Ok(file)
    }

    /// The same with the tensors' own names.
    pub(crate) fn open_as_named(path: PathBuf) -> Result<Self> {
        let map = Mapped::open(&path)?;
        let named_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        let header = if named_gguf || map.all().starts_with(gguf::MAGIC) {
            gguf::read(&path, map.all())?
        } else {
            safetensors_file::read(&path, map.all())?
        };
        Ok(Self { path, map, header })
    }

    /// A metadata entry, as text.
    pub(crate) fn metadata(&self, entry: &str) -> Option<&str> {
        let stated = || std::str::from_utf8(self.map.bytes(self.header.texts.get(entry)?)).ok();
        self.header.values.get(entry).map(String::as_str).or_else(stated)
    }

    /// Whether it holds what a language model sees images with, and nothing else.
    pub(crate) fn is_vision(&self) -> bool {
        self.metadata("general.architecture") == Some("clip")
    }

    pub(crate) fn bytes(&self, entry: &Entry) -> &[u8] {
        self.map.bytes(&entry.range)
    }

    /// Some of a tensor's bytes, read out of the file: those from `start` on, as many as `buffer` takes.
    pub(crate) fn read(&self, (key, entry): (&str, &Entry), start: usize, buffer: &mut [u8]) -> ltx_nn::Result<()> {
        self.read_at((key, entry.range.start + start), buffer)
    }

    /// Bytes from a place in the file on, as many as `buffer` takes; the key is for errors.
    pub(crate) fn read_at(&self, (key, start): (&str, usize), buffer: &mut [u8]) -> ltx_nn::Result<()> {
        self.map.read(start, buffer).map_err(|source| NnError::Unreadable {
            file: self.path.clone(),
            key: key.to_owned(),
            source,
        })
    }

    /// Some rows of a tensor, along its first side, as they are packed in memory; they are apart ([`Entry::rows_are_apart`]).
    pub(crate) fn packed_rows(&self, (key, entry): (&str, &Entry), rows: Range<usize>) -> ltx_nn::Result<Vec<u8>> {
        if let Some(beside) = &entry.beside {
            return quantised::assemble(self, (key, entry), beside, rows);
        }
        let row_bytes = entry.range.len() / entry.shape.first().copied().unwrap_or(1).max(1);
        let mut bytes = vec![0; rows.len() * row_bytes];
        self.read((key, entry), rows.start * row_bytes, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn release(&self, entry: &Entry) {
        self.map.release(&entry.range);
    }
}

/// Bytes of a file's header: everything before the first tensor's data.
///
/// # Errors
/// The file cannot be read, or is none of weights.
pub fn header_bytes(path: &Path) -> Result<u64> {
    Ok(WeightFile::open(path.to_owned())?.header.length as u64)
}
