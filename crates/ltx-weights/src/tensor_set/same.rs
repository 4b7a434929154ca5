//! Whether two files hold the same tensor: component files of one model overlap, as connectors lie in a GGUF and beside it.
//!
//! The same bytes are the same tensor. Floats of two widths are, where no value differs by more than rounding; a quantised tensor
//! is the other one, where their distance is not above what its bits cost. Tensors of the audio stream are never read and only
//! their shapes are compared.
//!
//! Must not know which of the two is used.

use super::Overlap;
use crate::{
    Result, WeightsError,
    sources::convert,
    vocabulary,
    weight_file::{Entry, StoredType, WeightFile},
};
use ltx_nn::{Compute, Packing};
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Values, or bytes, that are compared at a time.
const PIECE: usize = 1 << 20;
/// The part of a value that a float of 16 bits loses at most, and what it loses near 0.
const ROUNDING: (f32, f32) = (1.0 / 256.0, 1e-7);
/// By how much a tensor in fp8 differs from what it was, at most, relative to its norm.
const FP8: f64 = 0.06;
/// The same of blocks, before the bits of a value are counted.
const BLOCKS: f64 = 4.0;

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
/// The first key, by name, of which two files hold different tensors.
pub(super) fn check(files: &[WeightFile], again: Vec<(String, usize, usize)>, overlap: Overlap) -> Result<Vec<Twice>> {
    let compare = |(key, first, second): &(String, usize, usize)| {
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
    let mut all: Vec<Result<()>> = again.par_iter().map(compare).collect();
    if let Some(error) = all.iter().position(Result::is_err) {
        all.swap_remove(error)?;
    }
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

fn same_weights(key: &str, a: (&WeightFile, &Entry), b: (&WeightFile, &Entry)) -> Result<bool> {
    let values = a.1.values();
    let row = a.1.shape.last().copied().unwrap_or(1).max(1);
    // Rows that begin within a block cannot be read alone.
    let whole =
        [a.1, b.1].iter().any(|entry| matches!(entry.stored, StoredType::Packed(_)) && entry.packing().is_none());
    let piece = if whole { values } else { (PIECE / row).max(1) * row };
    let (mut distance, mut norm, mut rounded) = (0f64, 0f64, true);
    for start in (0..values).step_by(piece.max(1)) {
        let count = piece.min(values - start);
        let [x, y] = [widened(key, a, start..start + count)?, widened(key, b, start..start + count)?];
        for (x, y) in x.iter().zip(&y) {
            rounded &= (x - y).abs() <= x.abs() * ROUNDING.0 + ROUNDING.1;
            distance += f64::from(x - y).powi(2);
            norm += f64::from(*x).powi(2).max(f64::from(*y).powi(2));
        }
    }
    let cost = cost(a.1) + cost(b.1);
    Ok(if cost == 0.0 { rounded } else { distance.sqrt() <= cost * norm.sqrt() })
}

/// By how much a stored tensor may differ from what it was, relative to its norm; 0 for floats.
fn cost(entry: &Entry) -> f64 {
    match entry.stored {
        StoredType::Packed(Packing::Fp8 { .. }) => FP8,
        StoredType::Packed(_) => {
            let bits = entry.range.len() as f64 * 8.0 / entry.values().max(1) as f64;
            BLOCKS * (-bits).exp2()
        }
        StoredType::Float(_) | StoredType::Other(_) => 0.0,
    }
}

/// Some values of a tensor in f32; their range is of whole rows, or the whole tensor.
fn widened(key: &str, (file, entry): (&WeightFile, &Entry), values: std::ops::Range<usize>) -> Result<Vec<f32>> {
    let at = |value: usize| (value as u128 * entry.range.len() as u128 / entry.values().max(1) as u128) as usize;
    let mut bytes = vec![0; at(values.end) - at(values.start)];
    file.read((key, entry), at(values.start), &mut bytes)?;
    let tensor = convert(&bytes, entry, &[values.len()], &Compute::cpu_f32())?;
    Ok(tensor.to_vec1::<f32>().map_err(ltx_nn::NnError::from)?)
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
