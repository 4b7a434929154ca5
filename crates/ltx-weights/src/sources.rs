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
use ltx_nn::{Compute, Matrix, NnError, Packed, Weights, unpack};
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Reads tensors from the mapped files, converted to the dtype asked for in one pass.
pub struct Stored(pub Arc<TensorSet>);

impl Weights for Stored {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        let (file, entry) = look_up(&self.0, key, shape)?;
        let tensor = convert(file.bytes(entry), entry, shape, compute)?;
        file.release(entry);
        Ok(tensor)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<Matrix> {
        let (file, entry) = look_up(&self.0, key, &shape)?;
        let Some(packing) = entry.packing() else { return Ok(Matrix::Dense(self.tensor(key, &shape, compute)?)) };
        let packed = Packed::new(file.bytes(entry), packing, shape)?;
        file.release(entry);
        Ok(Matrix::Packed(packed))
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        let (file, entry) = look_up(&self.0, key, &shape)?;
        let bytes = file.bytes(entry);
        if let Some(&row) = rows.iter().find(|row| **row as usize >= shape[0]) {
            return Err(NnError::NoSuchRow { file: file.path.clone(), key: key.to_owned(), rows: shape[0], row });
        }
        if matches!(entry.stored, StoredType::Packed(_)) && entry.packing().is_none() {
            // Rows that begin within a block cannot be cut out.
            let index = Tensor::from_vec(rows.to_vec(), rows.len(), &compute.device)?;
            return Ok(convert(bytes, entry, &shape, compute)?.index_select(&index, 0)?);
        }
        let row_bytes = bytes.len() / shape[0].max(1);
        let mut gathered = Vec::with_capacity(rows.len() * row_bytes);
        for &row in rows {
            let start = row as usize * row_bytes;
            gathered.extend_from_slice(bytes.get(start..start + row_bytes).unwrap_or_default());
        }
        convert(&gathered, entry, &[rows.len(), shape[1]], compute)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        look_up(&self.0, key, shape).map(|_| ())
    }
}

/// Stored bytes of `shape`, which may be rows of the entry, to the dtype asked for.
pub(crate) fn convert(bytes: &[u8], entry: &Entry, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
    let Compute { device, dtype, .. } = compute;
    let tensor = match (entry.stored, dtype) {
        (StoredType::Packed(packing), _) => {
            Tensor::from_vec(unpack(bytes, packing, shape.iter().product())?, shape, device)?
        }
        (StoredType::Float(DType::BF16), DType::F32) => {
            from_pairs(bytes, shape, |pair| bf16::from_le_bytes(pair).to_f32(), device)?
        }
        (StoredType::Float(DType::F16), DType::F32) => {
            from_pairs(bytes, shape, |pair| f16::from_le_bytes(pair).to_f32(), device)?
        }
        (StoredType::Float(stored), _) => Tensor::from_raw_buffer(bytes, stored, shape, device)?,
        (StoredType::Other(name), _) => return Err(NnError::unsupported("a tensor's stored type", name, "F32")),
    };
    let tensor = if entry.plus_one { (tensor.to_dtype(DType::F32)? - 1.0)? } else { tensor };
    Ok(tensor.to_dtype(*dtype)?)
}

fn from_pairs(
    bytes: &[u8],
    shape: &[usize],
    widen: impl Fn([u8; 2]) -> f32 + Sync,
    device: &Device,
) -> candle_core::Result<Tensor> {
    const CHUNK: usize = 1 << 18;
    let pairs = bytes.as_chunks::<2>().0;
    let mut values = vec![0f32; pairs.len()];
    values.par_chunks_mut(CHUNK).zip(pairs.par_chunks(CHUNK)).for_each(|(values, pairs)| {
        for (value, pair) in values.iter_mut().zip(pairs) {
            *value = widen(*pair);
        }
    });
    Tensor::from_vec(values, shape, device)
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
    pub fn part(self: &Arc<Self>, name: &'static str) -> Arc<dyn Weights> {
        Arc::new(Part { source: Arc::clone(self), name })
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
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `key` is asked for, as the matrix of a linear layer or otherwise.
    fn ask(&self, key: &str, shape: &[usize], part: &'static str, as_matrix: bool) {
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
struct Part {
    source: Arc<ShapeOnly>,
    name: &'static str,
}

impl Weights for Part {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        self.source.ask(key, shape, self.name, false);
        Ok(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as(shape)?)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<Matrix> {
        self.source.ask(key, &shape, self.name, true);
        Ok(Matrix::Dense(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as(&shape)?))
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        self.source.ask(key, &shape, self.name, false);
        Ok(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as((rows.len(), shape[1]))?)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        self.source.ask(key, shape, self.name, false);
        Ok(())
    }
}
