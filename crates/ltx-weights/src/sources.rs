//! The two sources of weights over a set of files: the tensors themselves, and their shapes alone.
//!
//! Must not know which model loads from them.

use crate::{
    LoadReport, Loras, Result, TensorSet, WeightsError,
    report::{KeyProblem, Use},
    weight_file::{Entry, StoredType, WeightFile},
};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use ltx_nn::{
    Compute, NnError, Weights, in_one_piece,
    matrix::{self, Packed, StoredKind, unpack},
};
use ltx_types::Part;
use parking_lot::{Mutex, MutexGuard};
use rayon::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// Bytes that are read at once where values are converted on the way.
const PIECE: usize = 4 << 20;

/// Values that are handed over at once.
const AT_ONCE: usize = 4 << 20;

/// Reads tensors from the files, converted to the dtype asked for in one pass. The calling thread reads, so that nothing else
/// waits for the disk.
pub struct Stored(pub Arc<TensorSet>);

impl Weights for Stored {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        let (file, entry) = look_up(&self.0, key, shape)?;
        file.map.expect(&entry.range);
        if let (StoredType::Float(stored), DType::F32, false) = (entry.stored, compute.dtype, entry.plus_one) {
            let mut values = vec![0f32; entry.values()];
            read_widened(file, (key, entry), (stored, 0), &mut values)?;
            return Ok(Tensor::from_vec(values, shape, &compute.device)?);
        }
        convert(&whole(file, (key, entry))?, entry, shape, compute)
    }

    fn pieces(
        &self,
        key: &str,
        shape: &[usize],
        compute: &Compute,
        take: &mut dyn FnMut(usize, &[f32]),
    ) -> ltx_nn::Result<bool> {
        let (file, entry) = look_up(&self.0, key, shape)?;
        let (rows, row) = (shape.first().copied().unwrap_or(1), shape.iter().skip(1).product::<usize>());
        let stored = match entry.stored {
            StoredType::Float(stored) if !entry.plus_one && row > 0 => stored,
            _ => return in_one_piece(&self.tensor(key, shape, &compute.with_dtype(DType::F32))?, take),
        };
        file.map.expect(&entry.range);
        let at_once = (AT_ONCE / row).clamp(1, rows.max(1));
        let mut values = vec![0f32; at_once * row];
        for first in (0..rows).step_by(at_once) {
            let values = &mut values[..at_once.min(rows - first) * row];
            read_widened(file, (key, entry), (stored, first * row), values)?;
            take(first, values);
        }
        Ok(true)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<matrix::Stored> {
        let (file, entry) = look_up(&self.0, key, &shape)?;
        match entry.matrix_kind() {
            StoredKind::Packed(packing) if shape[1] > 0 => {
                file.map.expect(&entry.range);
                Ok(matrix::Stored::packed(Packed::new(whole(file, (key, entry))?, packing, shape)?))
            }
            StoredKind::Packed(_) | StoredKind::Floats(_) | StoredKind::ShapeAlone => {
                matrix::Stored::floats(self.tensor(key, &shape, compute)?)
            }
        }
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        let (file, entry) = look_up(&self.0, key, &shape)?;
        if let Some(&row) = rows.iter().find(|row| **row as usize >= shape[0]) {
            return Err(NnError::NoSuchRow { file: file.path.clone(), key: key.to_owned(), rows: shape[0], row });
        }
        if !entry.rows_are_apart() {
            // Rows that begin within a block cannot be cut out.
            let index = Tensor::from_vec(rows.to_vec(), rows.len(), &compute.device)?;
            return Ok(self.tensor(key, &shape, compute)?.index_select(&index, 0)?);
        }
        let mut gathered = Vec::new();
        for row in rows {
            gathered.extend(file.packed_rows((key, entry), *row as usize..*row as usize + 1)?);
        }
        convert(&gathered, entry, &[rows.len(), shape[1]], compute)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        look_up(&self.0, key, shape).map(|_| ())
    }
}

/// A tensor's bytes, as they are packed in memory.
fn whole(file: &WeightFile, (key, entry): (&str, &Entry)) -> ltx_nn::Result<Vec<u8>> {
    if entry.beside.is_some() {
        return file.packed_rows((key, entry), 0..entry.shape.first().copied().unwrap_or(0));
    }
    let mut bytes = vec![0; entry.range.len()];
    file.read((key, entry), 0, &mut bytes)?;
    Ok(bytes)
}

/// Values in f32 from the one numbered `first` on, as many as `values` takes. A piece is read, then converted, so that memory holds
/// the stored bytes of one piece alone.
fn read_widened(
    file: &WeightFile,
    (key, entry): (&str, &Entry),
    (stored, first): (DType, usize),
    values: &mut [f32],
) -> ltx_nn::Result<()> {
    let size = stored.size_in_bytes();
    let mut piece = vec![0u8; PIECE.min(values.len() * size)];
    for (i, values) in values.chunks_mut(PIECE / size).enumerate() {
        let piece = &mut piece[..values.len() * size];
        file.read((key, entry), first * size + i * PIECE, piece)?;
        widen(piece, stored, values);
    }
    Ok(())
}

/// Stored floating-point values to f32.
fn widen(bytes: &[u8], stored: DType, values: &mut [f32]) {
    const CHUNK: usize = 1 << 18;
    let pairs = |values: &mut [f32], widen: fn([u8; 2]) -> f32| {
        let pairs = bytes.as_chunks::<2>().0;
        values.par_chunks_mut(CHUNK).zip(pairs.par_chunks(CHUNK)).for_each(|(values, pairs)| {
            values.iter_mut().zip(pairs).for_each(|(value, pair)| *value = widen(*pair));
        });
    };
    match stored {
        DType::BF16 => pairs(values, |pair| bf16::from_le_bytes(pair).to_f32()),
        DType::F16 => pairs(values, |pair| f16::from_le_bytes(pair).to_f32()),
        _ => {
            values.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(value, four)| *value = f32::from_le_bytes(*four))
        }
    }
}

/// Stored bytes of `shape`, which may be rows of the entry, to the dtype asked for.
pub(crate) fn convert(bytes: &[u8], entry: &Entry, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
    let Compute { device, dtype, kernels, .. } = compute;
    let tensor = match (entry.stored, dtype) {
        (StoredType::Packed(packing), _) => {
            Tensor::from_vec(unpack(kernels.level, bytes, packing, shape.iter().product())?, shape, device)?
        }
        (StoredType::Float(stored), DType::F32) => {
            let mut values = vec![0f32; bytes.len() / stored.size_in_bytes()];
            widen(bytes, stored, &mut values);
            Tensor::from_vec(values, shape, device)?
        }
        (StoredType::Float(stored), _) => Tensor::from_raw_buffer(bytes, stored, shape, device)?,
        (StoredType::Other(name), _) => return Err(NnError::unsupported("a tensor's stored type", name, "F32")),
    };
    let tensor = if entry.plus_one { (tensor.to_dtype(DType::F32)? - 1.0)? } else { tensor };
    Ok(tensor.to_dtype(*dtype)?)
}

/// Finds a tensor and checks its shape and stored type.
pub(crate) fn look_up<'a>(
    set: &'a TensorSet,
    key: &str,
    shape: &[usize],
) -> ltx_nn::Result<(&'a WeightFile, &'a Entry)> {
    let Some((file, entry)) = set.entry(key) else {
        let (file, key) = (set.path().to_owned(), key.to_owned());
        return Err(NnError::MissingKey { file, key, expected: shape.to_vec() });
    };
    let path = || file.path.clone();
    if entry.shape != shape {
        let (expected, found) = (shape.to_vec(), entry.shape.clone());
        return Err(NnError::WrongShape { file: path(), key: key.to_owned(), expected, found });
    }
    match entry.stored {
        StoredType::Other(name) => {
            Err(NnError::WrongDType { file: path(), key: key.to_owned(), found: name.to_owned() })
        }
        _ => Ok((file, entry)),
    }
}

/// Hands out shapes without data (a scalar zero, broadcast: no memory) and writes down which keys were asked for, for
/// which part, and what was wrong with them. Running the models' `load()` on it accounts for a whole file in
/// milliseconds.
pub struct ShapeOnly {
    set: Arc<TensorSet>,
    loras: Arc<Loras>,
    seen: Mutex<Seen>,
}

/// Keys by part, and problems.
#[derive(Default)]
struct Seen {
    used: BTreeMap<String, Use>,
    problems: Vec<KeyProblem>,
}

impl ShapeOnly {
    /// Over the files of `set`.
    pub fn new(set: Arc<TensorSet>) -> Arc<Self> {
        Self::with_loras(set, Arc::default())
    }

    /// Over the files of `set`, with LoRA files that are meant for it in the account.
    pub fn with_loras(set: Arc<TensorSet>, loras: Arc<Loras>) -> Arc<Self> {
        Arc::new(Self { set, loras, seen: Mutex::default() })
    }

    /// The source for one part of the model; what it is asked for counts towards that part.
    pub fn part(self: &Arc<Self>, part: Part) -> Arc<dyn Weights> {
        Arc::new(OfPart { source: Arc::clone(self), part })
    }

    /// The account of every key, after the models were loaded from this source.
    pub fn report(&self) -> LoadReport {
        let seen = self.seen();
        LoadReport::new(&self.set, &self.loras, &seen.used, &seen.problems)
    }

    /// The account, refused unless every key is used or knowingly left on disk.
    ///
    /// # Errors
    /// A key is missing, unknown, misshapen or of a type that is not read.
    pub fn complete(&self) -> Result<LoadReport> {
        let report = self.report();
        if report.is_complete() {
            return Ok(report);
        }
        Err(WeightsError::Keys { file: self.set.path().to_owned(), report: Box::new(report) })
    }

    /// Adds a failure that is not about one key to the account.
    pub fn note(&self, error: NnError) {
        self.seen().problems.push(KeyProblem::from(error));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }

    /// Notes that `key` is asked for, as the matrix of a linear layer or otherwise.
    fn ask(&self, key: &str, shape: &[usize], part: Part, as_matrix: bool) {
        let mut seen = self.seen();
        if let Some((_, entry)) = self.set.entry(key) {
            seen.used.insert(
                key.to_owned(),
                Use { part, matrix: as_matrix, packed: as_matrix && entry.packing().is_some() },
            );
        }
        if let Err(error) = look_up(&self.set, key, shape) {
            seen.problems.push(KeyProblem::from(error));
        }
    }
}

/// A [`ShapeOnly`] that counts towards one part.
struct OfPart {
    source: Arc<ShapeOnly>,
    part: Part,
}

impl Weights for OfPart {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        self.source.ask(key, shape, self.part, false);
        Ok(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as(shape)?)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], _: &Compute) -> ltx_nn::Result<matrix::Stored> {
        self.source.ask(key, &shape, self.part, true);
        Ok(matrix::Stored::shape_alone(shape))
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        self.source.ask(key, &shape, self.part, false);
        Ok(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as((rows.len(), shape[1]))?)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        self.source.ask(key, shape, self.part, false);
        Ok(())
    }
}
