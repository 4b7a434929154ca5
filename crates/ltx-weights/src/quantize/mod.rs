//! Any readable file of weights to GGUF, tensor by tensor. Memory holds a few million values for each thread at a time, or a whole
//! tensor where its rows cannot be told apart.
//!
//! Must not know which models there are; the caller brings what the metadata says.

mod rules;
mod writer;

pub use rules::QuantizeType;
pub use writer::MetaValue;

use crate::{
    Result, TensorSet, WeightsError,
    ggml_types::name_of,
    names,
    sources::convert,
    weight_file::{Entry, StoredType, WeightFile},
};
use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use half::{bf16, f16};
use ltx_nn::Compute;
use ltx_types::CancelToken;
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;
use writer::{GgufWriter, Planned};

/// Values that one thread converts at a time.
const CHUNK: usize = 1 << 20;

/// What the tensors are called in the file that is written.
#[derive(Debug, Clone)]
pub enum Naming {
    /// As in the official file.
    Official,
    /// As llama.cpp calls Gemma-3's; the language model's keys begin with `prefix` and a dot, others are left out.
    Gemma {
        /// Where the language model's keys begin.
        prefix: &'static str,
    },
    /// As llama.cpp calls those of T5's encoder; others are left out.
    T5,
}

/// How a file is to be written.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What matrices become.
    pub kind: QuantizeType,
    /// Keys that keep their precision besides those that always do: a part of the key, or with `*` in it the whole key.
    pub keep: Vec<String>,
    /// What tensors are called.
    pub naming: Naming,
    /// What the file says about itself: architecture, configuration, version.
    pub metadata: Vec<(String, MetaValue)>,
}

/// What became of one tensor.
#[derive(Debug, Clone, Serialize)]
pub struct TensorReport {
    /// The official key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type it had.
    pub from: &'static str,
    /// The type it has.
    pub to: &'static str,
    /// Why it was not quantised.
    pub kept: Option<&'static str>,
    /// Whether its rows do not fit the type asked for, so that it got another.
    pub fallback: bool,
    /// `‖written − read‖ / ‖read‖`.
    pub relative_error: f64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// What became of a file.
#[derive(Debug, Clone, Serialize)]
pub struct QuantizeReport {
    /// Every tensor that was written.
    pub tensors: Vec<TensorReport>,
    /// Keys that were left out.
    pub left_out: Vec<String>,
    /// Bytes of the tensors read.
    pub bytes_in: u64,
    /// Bytes of the file written.
    pub bytes_out: u64,
}

/// One tensor's way.
struct Job<'a> {
    key: &'a str,
    file: &'a WeightFile,
    entry: &'a Entry,
    kind: GgmlDType,
    kept: Option<&'static str>,
    /// Added to every value, as llama.cpp's norms have it.
    plus: f64,
}

/// Writes `set` to `out`, which appears when it is whole. `progress` is told bytes read and bytes in all.
///
/// # Errors
/// A tensor cannot be read or is not finite, `out` cannot be written, or `cancel` was asked for; then nothing is left of it.
pub fn quantize(
    set: &TensorSet,
    out: &Path,
    recipe: &Recipe,
    cancel: &CancelToken,
    mut progress: impl FnMut(u64, u64),
) -> Result<QuantizeReport> {
    let (mut jobs, mut planned, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for key in set.keys() {
        let Some((file, entry)) = set.entry(key) else { continue };
        let named = written_as(key, &recipe.naming);
        let Some(name) = named.filter(|_| !matches!(entry.stored, StoredType::Other(_)) && entry.values() > 0) else {
            left_out.push(key.to_owned());
            continue;
        };
        let job = Job::new(key, (file, entry), recipe);
        planned.push(Planned { name, shape: &entry.shape, kind: job.kind });
        jobs.push(job);
    }
    let mut metadata = recipe.metadata.clone();
    metadata.push(("general.quantization_version".into(), MetaValue::Whole(2)));
    metadata.push(("general.file_type".into(), MetaValue::Whole(recipe.kind.file_type())));
    let mut writer = GgufWriter::create(out, &metadata, &planned)?;
    let bytes_in = jobs.iter().map(|job| job.entry.range.len() as u64).sum();
    let mut done = 0;
    let mut tensors = Vec::with_capacity(jobs.len());
    for (job, planned) in jobs.iter().zip(&planned) {
        let relative_error = job.run(&mut writer, cancel, |bytes| progress(done + bytes, bytes_in))?;
        writer.pad()?;
        job.file.release(job.entry);
        done += job.entry.range.len() as u64;
        progress(done, bytes_in);
        tensors.push(TensorReport {
            key: job.key.to_owned(),
            shape: job.entry.shape.clone(),
            from: job.entry.stored.name(),
            to: name_of(job.kind),
            kept: job.kept,
            fallback: job.kept.is_none() && name_of(job.kind) != recipe.kind.name(),
            relative_error,
            bytes_in: job.entry.range.len() as u64,
            bytes_out: planned.bytes(),
        });
    }
    cancel.check()?;
    Ok(QuantizeReport { tensors, left_out, bytes_in, bytes_out: writer.finish()? })
}

fn written_as(key: &str, naming: &Naming) -> Option<String> {
    match naming {
        Naming::Official => Some(key.to_owned()),
        Naming::Gemma { prefix } => names::llama_name(key.strip_prefix(prefix)?.strip_prefix('.')?),
        Naming::T5 => names::llama_t5_name(key),
    }
}

impl<'a> Job<'a> {
    fn new(key: &'a str, (file, entry): (&'a WeightFile, &'a Entry), recipe: &Recipe) -> Self {
        let kept = rules::kept(key, &entry.shape, &recipe.keep);
        let is_norm = matches!(recipe.naming, Naming::Gemma { .. }) && key.ends_with("norm.weight");
        let kind = match (kept, entry.stored) {
            (None, _) => recipe.kind.fitting(entry.shape.last().copied().unwrap_or(0)),
            (Some(_), _) if is_norm => GgmlDType::F32,
            (Some(_), StoredType::Float(DType::F32)) => GgmlDType::F32,
            (Some(_), StoredType::Float(DType::F16)) => GgmlDType::F16,
            (Some(_), _) => GgmlDType::BF16,
        };
        Self { key, file, entry, kind, kept, plus: if is_norm { 1.0 } else { 0.0 } }
    }

    /// Reads, converts and writes the tensor; its relative error.
    fn run(&self, writer: &mut GgufWriter, cancel: &CancelToken, mut progress: impl FnMut(u64)) -> Result<f64> {
        let bytes = self.file.bytes(self.entry);
        let (row, row_bytes) = self.row();
        let rows = self.entry.values() / row;
        let chunk = (CHUNK / row).max(1);
        let starts: Vec<usize> = (0..rows).step_by(chunk).collect();
        let (mut difference, mut norm) = (0.0, 0.0);
        for batch in starts.chunks(2 * rayon::current_num_threads()) {
            cancel.check()?;
            let converted: Vec<_> = batch
                .par_iter()
                .map(|start| {
                    let count = chunk.min(rows - start);
                    if self.entry.beside.is_some() {
                        let packed = self.file.packed_rows((self.key, self.entry), *start..start + count)?;
                        return self.convert(&packed, [count, row]);
                    }
                    let bytes = bytes.get(start * row_bytes..(start + count) * row_bytes).unwrap_or_default();
                    self.convert(bytes, [count, row])
                })
                .collect::<Result<_>>()?;
            for converted in converted {
                writer.write(&converted.bytes)?;
                difference += converted.difference;
                norm += converted.norm;
            }
            let [first, last] = [batch.first(), batch.last()].map(|start| start.copied().unwrap_or(0) * row_bytes);
            self.file.map.release(&(self.entry.range.start + first..self.entry.range.start + last));
            progress(last as u64);
        }
        if !norm.is_finite() || !difference.is_finite() {
            return Err(WeightsError::NotFinite { file: self.file.path.clone(), key: self.key.to_owned() });
        }
        Ok(if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() })
    }

    /// Values of a row and its stored bytes; the whole tensor is one row where rows cannot be told apart in its bytes.
    fn row(&self) -> (usize, usize) {
        let values = self.entry.values();
        let row = self.entry.shape.last().copied().unwrap_or(1).max(1);
        let whole = !self.entry.rows_are_apart() || self.entry.shape.len() < 2;
        let row = if whole { values } else { row };
        (row, self.entry.range.len() / (values / row))
    }

    fn convert(&self, bytes: &[u8], [rows, row]: [usize; 2]) -> Result<Converted> {
        let read = convert(bytes, self.entry, &[rows, row], &Compute::cpu_f32())?;
        let read = if self.plus == 0.0 { read } else { (read + self.plus).map_err(ltx_nn::NnError::from)? };
        Ok(encode(&read, self.kind).map_err(ltx_nn::NnError::from)?)
    }
}

/// Some rows as they are written.
struct Converted {
    bytes: Vec<u8>,
    /// Sums of squares.
    difference: f64,
    norm: f64,
}

fn encode(read: &Tensor, kind: GgmlDType) -> candle_core::Result<Converted> {
    let values = read.flatten_all()?.to_vec1::<f32>()?;
    let norm: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    if !norm.is_finite() {
        return Ok(Converted { bytes: Vec::new(), difference: norm, norm });
    }
    let (bytes, written) = match kind {
        GgmlDType::F32 => (values.iter().flat_map(|value| value.to_le_bytes()).collect(), read.clone()),
        GgmlDType::F16 => {
            let values = read.to_dtype(DType::F16)?;
            let bytes = values.flatten_all()?.to_vec1::<f16>()?.iter().flat_map(|value| value.to_le_bytes()).collect();
            (bytes, values.to_dtype(DType::F32)?)
        }
        GgmlDType::BF16 => {
            let values = read.to_dtype(DType::BF16)?;
            let bytes = values.flatten_all()?.to_vec1::<bf16>()?.iter().flat_map(|value| value.to_le_bytes()).collect();
            (bytes, values.to_dtype(DType::F32)?)
        }
        kind => {
            let blocks = QTensor::quantize(read, kind)?;
            (blocks.data()?.into_owned(), blocks.dequantize(&Device::Cpu)?)
        }
    };
    let written = written.flatten_all()?.to_vec1::<f32>()?;
    let difference = values.iter().zip(&written).map(|(read, written)| f64::from(read - written).powi(2)).sum();
    Ok(Converted { bytes, difference, norm })
}
