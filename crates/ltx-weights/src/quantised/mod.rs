//! Matrices of safetensors files that are stored in 8 or 4 bits: which tensor is whose scale, what a file states about it, and so
//! how each weight is packed in memory. Formats are recognised by what is stated ([`statement`]), by the names of scales, or by
//! the type alone.
//!
//! Must not know which model the weights are of, or how they are decoded.

mod assemble;
mod refused;
mod remarks;
mod resolve;
mod scales;
mod spread;
mod statement;

pub(crate) use assemble::assemble;
pub(crate) use scales::Order;
pub(crate) use statement::Statement;

use crate::{
    Result, WeightsError,
    weight_file::{Header, StoredType},
};
use candle_core::DType;
use half::{bf16, f16};
use remarks::Remarks;
use resolve::{Layer, Resolver};
use statement::Collected;
use std::{collections::BTreeMap, ops::Range, path::Path};

/// A tensor whose presence says that every fp8 weight has a scale.
const MARK: &str = "scaled_fp8";
/// What else stands beside a weight; where activations are rounded here, it is by scales of their own, so it is not needed.
const IDLE: [&str; 3] = ["input_scale", "scale_input", "output_scale"];

/// The scales of an entry's groups, in a tensor beside it, and how its values lie in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Beside {
    /// The key of the scales, and where they lie.
    pub(crate) key: String,
    pub(crate) range: Range<usize>,
    /// What one of them is.
    pub(crate) kind: ScaleType,
    pub(crate) order: Order,
    /// Whether the first of two 4-bit values is in a byte's upper bits.
    pub(crate) upper_first: bool,
}

/// What a scale is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleType {
    F32,
    Bf16,
    F16,
    /// A byte that is kept as it is.
    Byte,
}

impl ScaleType {
    /// The float of this type, if it is one that is read.
    pub(crate) fn float(stored: StoredType) -> Option<Self> {
        match stored {
            StoredType::Float(DType::F32) => Some(Self::F32),
            StoredType::Float(DType::BF16) => Some(Self::Bf16),
            StoredType::Float(DType::F16) => Some(Self::F16),
            StoredType::Float(_) | StoredType::Packed(_) | StoredType::Other(_) => None,
        }
    }

    /// Bytes of one.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::Byte => 1,
        }
    }

    /// The float that its bytes are; `None` of a byte, and of other than its number of bytes.
    pub(crate) fn float_of(self, bytes: &[u8]) -> Option<f32> {
        match (self, bytes) {
            (Self::F32, &[a, b, c, d]) => Some(f32::from_le_bytes([a, b, c, d])),
            (Self::Bf16, &[a, b]) => Some(bf16::from_le_bytes([a, b]).to_f32()),
            (Self::F16, &[a, b]) => Some(f16::from_le_bytes([a, b]).to_f32()),
            _ => None,
        }
    }
}

/// Whether a tensor that accompanies another is not needed for anything.
pub(crate) fn is_idle(key: &str) -> bool {
    key.rsplit('.').next().is_some_and(|word| IDLE.contains(&word))
}

/// Moves scales and statements from the entries into the weights they belong to. A scale without such a weight stays a tensor like
/// any other, which nothing will ask for.
///
/// # Errors
/// A format that is not read, by its name; a scale that is missing, of another shape or type, or not finite; a statement that
/// contradicts the tensors.
pub(crate) fn attach(path: &Path, map: &[u8], header: &mut Header) -> Result<()> {
    refused::by_keys(path, header)?;
    let Collected { by_stem: mut statements, elsewhere, tensors } = statement::collect(path, map, header)?;
    header.stated_elsewhere = elsewhere;
    header.stated = statements.iter().map(|(stem, stated)| (format!("{stem}weight"), stated.clone())).collect();
    tensors.iter().for_each(|key| accompany(header, key));
    let last = |key: &str| key.rsplit('.').next().is_some_and(|word| word == MARK);
    let marks: Vec<String> = header.entries.keys().filter(|key| last(key)).cloned().collect();
    check_marks(path, header, &marks, &statements)?;
    let scaled = !marks.is_empty();
    let mut resolver = Resolver { path, map, scaled, without: None, remarks: Remarks::default() };
    for mark in &marks {
        accompany(header, mark);
    }
    let stems: Vec<String> =
        header.entries.keys().filter_map(|key| Some(key.strip_suffix("weight")?.to_owned())).collect();
    let mut micro = Vec::new();
    for stem in stems {
        let stated = statements.remove(&stem);
        let Some(layer) = Layer::of(header, stem, stated) else { continue };
        match resolver.resolve(header, layer)? {
            resolve::Found::Done => {}
            resolve::Found::Micro(layer) => micro.push(*layer),
        }
    }
    resolver.resolve_micro(header, micro)?;
    header.remarks = std::mem::take(&mut resolver.remarks).said();
    refused::by_scales(path, header)?;
    match resolver.without {
        Some(key) if resolver.scaled => {
            let found = header.entries.get(&key).map_or("F8_E4M3", |entry| entry.stored.name());
            Err(WeightsError::MissingScale { file: path.to_owned(), key, found, scale: "weight_scale" })
        }
        _ => Ok(()),
    }
}

/// Refuses a mark whose type is another 8-bit float than that of a matrix under it about which nothing else is stated: tools write it
/// in the type of the weights. Of several marks over a matrix the nearest counts.
fn check_marks(path: &Path, header: &Header, marks: &[String], statements: &BTreeMap<String, Statement>) -> Result<()> {
    let narrow = |key: &str| match header.entries.get(key)?.stored {
        StoredType::Packed(packing) => Some(packing.name()),
        StoredType::Float(_) | StoredType::Other(_) => None,
    };
    if !marks.iter().any(|mark| narrow(mark).is_some()) {
        return Ok(());
    }
    for (key, _) in header.entries.iter().filter(|(_, entry)| entry.shape.len() == 2) {
        let Some(stem) = key.strip_suffix("weight").filter(|stem| !statements.contains_key(*stem)) else { continue };
        let over = marks.iter().filter(|mark| stem.starts_with(mark.strip_suffix(MARK).unwrap_or(mark)));
        let Some(mark) = over.max_by_key(|mark| mark.len()) else { continue };
        if let (Some(found), Some(weight)) = (narrow(mark), narrow(key))
            && found != weight
        {
            let expected = format!("{weight}, the type of {key}");
            let (file, key, found) = (path.to_owned(), mark.clone(), format!("the mark is {found}"));
            return Err(WeightsError::Quantisation { file, key, found, expected });
        }
    }
    Ok(())
}

/// Moves a tensor to those that accompany others.
fn accompany(header: &mut Header, key: &str) {
    if let Some(entry) = header.entries.remove(key) {
        header.companions.insert(key.to_owned(), (entry.values() as u64, entry.range.len() as u64));
    }
}

/// Sets how a weight is packed, and moves what stands beside it.
fn settle(header: &mut Header, stem: &str, stored: StoredType, beside: Option<Box<Beside>>, scales: &[String]) {
    if let Some(entry) = header.entries.get_mut(&format!("{stem}weight")) {
        (entry.stored, entry.beside) = (stored, beside);
    }
    scales.iter().for_each(|key| accompany(header, key));
    for name in IDLE {
        accompany(header, &format!("{stem}{name}"));
    }
}
