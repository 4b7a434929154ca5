//! Whether two files hold the same tensor: component files of one model overlap, as connectors lie in a GGUF and beside it.
//!
//! The same bytes, of scales beside them as well, are the same tensor. Floats of two widths are, where no value differs by more than
//! rounding; a quantised tensor is the other one, where their distance is not above what its rounding costs. Every value is looked
//! at. Tensors of the audio stream are never read and only their shapes are compared.
//!
//! Must not know which of the two is used.

use super::Overlap;
use crate::{
    Result, WeightsError,
    sources::convert,
    vocabulary,
    weight_file::{Entry, StoredType, WeightFile},
};
use ltx_nn::{Compute, Element, Groups, Packing, matrix::unpack};
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

/// Values, or bytes, that are compared at a time.
const PIECE: usize = 1 << 20;
/// The part of a value that a float of 16 bits loses at most, and what it loses near 0.
const ROUNDING: (f32, f32) = (1.0 / 256.0, 1e-7);
/// By how much a tensor in blocks differs from what it was, at most, relative to its norm, before the bits of a value are counted.
const BLOCKS: f64 = 4.0;
/// The distance that is never the same tensor's, relative to the norm: two that have nothing to do with each other are at least 1
/// apart.
const APART: f64 = 0.8;

/// Two files that hold the same tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twice {
    /// The file whose tensors count.
    pub first: PathBuf,
    /// The file whose tensors are left alone.
    pub second: PathBuf,
    /// How many there are.
    pub tensors: usize,
}

/// Compares every key that comes again with where it came first.
///
/// # Errors
/// The first key, in the order of the files and of their keys, of which two files hold different tensors.
pub(super) fn check(files: &[WeightFile], again: Vec<(String, usize, usize)>, overlap: Overlap) -> Result<Vec<Twice>> {
    let compare = |(key, first, second): &(String, usize, usize)| -> Result<()> {
        let [a, b] = [*first, *second].map(|number| &files[number]);
        let differs = match overlap {
            Overlap::None => Some("two files of an index hold it".to_owned()),
            _ => differs(key, a, b, overlap)?,
        };
        match differs {
            None => Ok(()),
            Some(how) => {
                let (first, second) = (a.path.clone(), b.path.clone());
                Err(WeightsError::DuplicateKey { key: key.clone(), first, second, how })
            }
        }
    };
    again.par_iter().map(compare).find_first(Result::is_err).unwrap_or(Ok(()))?;
    let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (_, first, second) in &again {
        *pairs.entry((*first, *second)).or_default() += 1;
    }
    let path = |number: usize| files[number].path.clone();
    let twice = |((first, second), tensors)| Twice { first: path(first), second: path(second), tensors };
    Ok(pairs.into_iter().map(twice).collect())
}

/// How two tensors differ; nothing where they are the same.
fn differs(key: &str, a: &WeightFile, b: &WeightFile, overlap: Overlap) -> Result<Option<String>> {
    let (Some(x), Some(y)) = (a.header.entries.get(key), b.header.entries.get(key)) else { return Ok(None) };
    if x.shape != y.shape {
        return Ok(Some(format!("shapes {:?} and {:?}", x.shape, y.shape)));
    }
    if overlap == Overlap::SameWeights && vocabulary::is_audio(key) {
        return Ok(None);
    }
    let names = || format!("{} and {}", x.stored.name(), y.stored.name());
    if x.stored == y.stored && x.plus_one == y.plus_one {
        return Ok((!same_bytes(key, (a, x), (b, y))?).then(|| "other bytes".to_owned()));
    }
    let unread = |entry: &Entry| matches!(entry.stored, StoredType::Other(_));
    if overlap == Overlap::SameBytes || unread(x) || unread(y) {
        return Ok(Some(names()));
    }
    Ok((!same_weights(key, (a, x), (b, y))?).then(|| format!("other values, as {}", names())))
}

fn same_bytes(key: &str, (a, x): (&WeightFile, &Entry), (b, y): (&WeightFile, &Entry)) -> Result<bool> {
    if x.beside.is_some() || y.beside.is_some() {
        return same_rows(key, (a, x), (b, y));
    }
    let mut buffers = [vec![0; PIECE.min(x.range.len())], vec![0; PIECE.min(x.range.len())]];
    for start in (0..x.range.len()).step_by(PIECE) {
        let length = PIECE.min(x.range.len() - start);
        let [left, right] = buffers.each_mut().map(|buffer| &mut buffer[..length]);
        a.read((key, x), start, left)?;
        b.read((key, y), start, right)?;
        if left != right {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The same with scales that lie elsewhere, in whatever order: rows are compared as they are laid together.
fn same_rows(key: &str, (a, x): (&WeightFile, &Entry), (b, y): (&WeightFile, &Entry)) -> Result<bool> {
    let rows = x.shape.first().copied().unwrap_or(0);
    let at_once = (PIECE / row_of(x)).max(1);
    for start in (0..rows).step_by(at_once) {
        let some = start..rows.min(start + at_once);
        if a.packed_rows((key, x), some.clone())? != b.packed_rows((key, y), some)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Values of a row.
fn row_of(entry: &Entry) -> usize {
    entry.shape.last().copied().unwrap_or(1).max(1)
}

fn same_weights(key: &str, a: (&WeightFile, &Entry), b: (&WeightFile, &Entry)) -> Result<bool> {
    let values = a.1.values();
    let row = row_of(a.1);
    // Rows that begin within a block cannot be read alone.
    let apart = [a.1, b.1].into_iter().all(Entry::rows_are_apart);
    let piece = if apart { (PIECE / row).max(1) * row } else { values };
    let (mut distance, mut norm, mut slack, mut rounded) = (0f64, 0f64, [0f64; 2], true);
    for start in (0..values).step_by(piece.max(1)) {
        let count = piece.min(values - start);
        let [x, y] = [widened(key, a, start..start + count)?, widened(key, b, start..start + count)?];
        for (x, y) in x.values.iter().zip(&y.values) {
            rounded &= (x - y).abs() <= x.abs() * ROUNDING.0 + ROUNDING.1;
            distance += f64::from(x - y).powi(2);
            norm += f64::from(*x).powi(2).max(f64::from(*y).powi(2));
        }
        slack = [slack[0] + x.slack, slack[1] + y.slack];
    }
    let is_float = |entry: &Entry| matches!(entry.stored, StoredType::Float(_));
    if is_float(a.1) && is_float(b.1) {
        return Ok(rounded);
    }
    let norm = norm.sqrt();
    let cost = slack[0].sqrt() + slack[1].sqrt() + (cost_of_blocks(a.1) + cost_of_blocks(b.1)) * norm;
    Ok(distance.sqrt() <= cost.min(APART * norm))
}

/// By how much a tensor in blocks may differ from what it was, relative to its norm; 0 for others.
fn cost_of_blocks(entry: &Entry) -> f64 {
    match entry.stored {
        StoredType::Packed(Packing::Blocks(_)) => {
            let bits = entry.range.len() as f64 * 8.0 / entry.values().max(1) as f64;
            BLOCKS * (-bits).exp2()
        }
        StoredType::Packed(_) | StoredType::Float(_) | StoredType::Other(_) => 0.0,
    }
}

/// Some values of a tensor in f32.
struct Widened {
    values: Vec<f32>,
    /// The squares of how far each of them may lie from what it was rounded from, summed; 0 for floats and blocks.
    slack: f64,
}

/// Reads values whose range is of whole rows, or the whole tensor.
fn widened(key: &str, (file, entry): (&WeightFile, &Entry), range: Range<usize>) -> Result<Widened> {
    let bytes = if entry.beside.is_some() {
        let row = row_of(entry);
        file.packed_rows((key, entry), range.start / row..range.end / row)?
    } else {
        let at = |value: usize| (value as u128 * entry.range.len() as u128 / entry.values().max(1) as u128) as usize;
        let mut bytes = vec![0; at(range.end) - at(range.start)];
        file.read((key, entry), at(range.start), &mut bytes)?;
        bytes
    };
    let tensor = convert(&bytes, entry, &[range.len()], &Compute::cpu_f32())?;
    let values = tensor.to_vec1::<f32>().map_err(ltx_nn::NnError::from)?;
    let slack = match entry.stored {
        StoredType::Packed(packing) => slack(packing, &bytes, &values)?,
        StoredType::Float(_) | StoredType::Other(_) => 0.0,
    };
    Ok(Widened { values, slack })
}

fn slack(packing: Packing, bytes: &[u8], values: &[f32]) -> Result<f64> {
    let (element, scales) = match packing {
        Packing::Fp8 { scale } => (Element::E4m3, vec![scale; values.len()]),
        Packing::Groups(groups) => (groups.element, scales(groups, bytes, values.len())?),
        Packing::Blocks(_) | Packing::Bf16 | Packing::F16 => return Ok(0.0),
    };
    // Half a step: a part of the value, and where values are smallest, a part of the scale.
    let (part, least) = match element {
        Element::E4m3 => (2f32.powi(-4), 2f32.powi(-10)),
        Element::E5m2 => (2f32.powi(-3), 2f32.powi(-17)),
        // Of rotated ones the norm of all is that of what was rounded.
        Element::Int8 => (0.0, 0.5),
        Element::E2m1 => (0.25, 0.25),
    };
    let square = |(value, scale): (&f32, &f32)| f64::from((value.abs() * part).max(scale.abs() * least)).powi(2);
    Ok(values.iter().zip(&scales).map(square).sum())
}

/// The scale of each value of groups: what a stored 1 is decoded to in its place.
fn scales(groups: Groups, bytes: &[u8], count: usize) -> Result<Vec<f32>> {
    let one = match groups.element {
        Element::E4m3 => 0x38,
        Element::E5m2 => 0x3c,
        Element::Int8 => 1,
        Element::E2m1 => 0x22,
    };
    let mut ones = bytes.to_vec();
    for group in ones.chunks_exact_mut(groups.bytes().max(1)) {
        let values = group.len() - groups.scale_bytes();
        group[..values].fill(one);
    }
    let level = Compute::cpu_f32().kernels.level;
    Ok(unpack(level, &ones, Packing::Groups(Groups { rotation: 1, ..groups }), count)?)
}

impl super::TensorSet {
    /// Tensors that several of its files hold.
    pub fn twice(&self) -> &[Twice] {
        &self.twice
    }

    /// The files it was opened from, files of configuration aside.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }
}
