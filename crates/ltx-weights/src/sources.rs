//! The two sources of weights over a set of files: the tensors themselves, and their shapes alone.
//!
//! Must not know which model loads from them.

use crate::{LoadReport, Result, TensorSet, WeightsError, report::KeyProblem, safetensors_file::SafetensorsFile};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use ltx_nn::{Compute, NnError, Weights};
use rayon::prelude::*;
use safetensors::{Dtype, tensor::TensorInfo};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Reads tensors from the mapped files, converted to the dtype asked for in one pass.
pub struct Stored(pub Arc<TensorSet>);

impl Weights for Stored {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        let (file, info) = look_up(&self.0, key, shape)?;
        let tensor = convert(file.bytes(info), info.dtype, shape, compute)?;
        file.release(info);
        Ok(tensor)
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        let (file, info) = look_up(&self.0, key, &shape)?;
        let bytes = file.bytes(info);
        let row_bytes = bytes.len() / shape[0].max(1);
        let mut gathered = Vec::with_capacity(rows.len() * row_bytes);
        for &row in rows {
            let start = row as usize * row_bytes;
            let Some(bytes) = bytes.get(start..start + row_bytes) else {
                return Err(NnError::NoSuchRow { file: file.path.clone(), key: key.to_owned(), rows: shape[0], row });
            };
            gathered.extend_from_slice(bytes);
        }
        convert(&gathered, info.dtype, &[rows.len(), shape[1]], compute)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        look_up(&self.0, key, shape).map(|_| ())
    }
}

fn convert(bytes: &[u8], stored: Dtype, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
    let Compute { device, dtype } = compute;
    let tensor = match (stored, dtype) {
        (Dtype::BF16, DType::F32) => from_pairs(bytes, shape, |pair| bf16::from_le_bytes(pair).to_f32(), device)?,
        (Dtype::F16, DType::F32) => from_pairs(bytes, shape, |pair| f16::from_le_bytes(pair).to_f32(), device)?,
        (Dtype::BF16, _) => Tensor::from_raw_buffer(bytes, DType::BF16, shape, device)?,
        (Dtype::F16, _) => Tensor::from_raw_buffer(bytes, DType::F16, shape, device)?,
        (_, _) => Tensor::from_raw_buffer(bytes, DType::F32, shape, device)?,
    };
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
fn look_up<'a>(
    set: &'a TensorSet,
    key: &str,
    shape: &[usize],
) -> ltx_nn::Result<(&'a SafetensorsFile, &'a TensorInfo)> {
    let Some((file, info)) = set.info(key) else {
        let (file, key) = (set.path().to_owned(), key.to_owned());
        return Err(NnError::MissingKey { file, key, expected: shape.to_vec() });
    };
    let path = || file.path.clone();
    if info.shape != shape {
        let (expected, found) = (shape.to_vec(), info.shape.clone());
        return Err(NnError::WrongShape { file: path(), key: key.to_owned(), expected, found });
    }
    match info.dtype {
        Dtype::BF16 | Dtype::F16 | Dtype::F32 => Ok((file, info)),
        other => Err(NnError::WrongDType { file: path(), key: key.to_owned(), found: format!("{other:?}") }),
    }
}

/// Hands out shapes without data (a scalar zero, broadcast: no memory) and writes down which keys were asked for, for
/// which part, and what was wrong with them. Running the models' `load()` on it accounts for a whole file in
/// milliseconds.
pub struct ShapeOnly {
    set: Arc<TensorSet>,
    seen: Mutex<Seen>,
}

/// Keys by part, and problems.
#[derive(Default)]
struct Seen {
    used: BTreeMap<String, &'static str>,
    problems: Vec<KeyProblem>,
}

impl ShapeOnly {
    /// Over the files of `set`.
    pub fn new(set: Arc<TensorSet>) -> Arc<Self> {
        Arc::new(Self { set, seen: Mutex::default() })
    }

    /// The source for one part of the model; what it is asked for counts towards that part.
    pub fn part(self: &Arc<Self>, name: &'static str) -> Arc<dyn Weights> {
        Arc::new(Part { source: Arc::clone(self), name })
    }

    /// The account of every key, after the models were loaded from this source.
    pub fn report(&self) -> LoadReport {
        let seen = self.seen();
        LoadReport::new(&self.set, &seen.used, &seen.problems)
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

    fn ask(&self, key: &str, shape: &[usize], part: &'static str) {
        let mut seen = self.seen();
        if self.set.info(key).is_some() {
            seen.used.insert(key.to_owned(), part);
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
        self.source.ask(key, shape, self.name);
        Ok(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as(shape)?)
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        self.source.ask(key, &shape, self.name);
        Ok(Tensor::zeros((), compute.dtype, &Device::Cpu)?.broadcast_as((rows.len(), shape[1]))?)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        self.source.ask(key, shape, self.name);
        Ok(())
    }
}
