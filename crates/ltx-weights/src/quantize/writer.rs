//! A GGUF file (version 3) that appears under its name when it is whole.
//!
//! Must not know why a tensor has the type it has.

use crate::{
    Result, WeightsError,
    ggml_types::number_of,
    gguf::{ALIGNMENT, DIMENSIONS, MAGIC, SHAPE_OF},
};
use candle_core::quantized::GgmlDType;
use ltx_files::{Durable, PartialFile};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Bytes that are written at once.
const AT_ONCE: usize = 1 << 20;

/// A metadata value.
#[derive(Debug, Clone)]
pub enum MetaValue {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(u32),
    /// A number.
    Real(f32),
    /// A shape.
    Shape(Vec<usize>),
}

/// A tensor that is going to be written.
pub(super) struct Planned<'a> {
    pub(super) name: String,
    pub(super) shape: &'a [usize],
    pub(super) kind: GgmlDType,
}

impl Planned<'_> {
    pub(super) fn bytes(&self) -> u64 {
        let values: usize = self.shape.iter().product();
        (values / self.kind.block_size() * self.kind.type_size()) as u64
    }

    /// The shape as the header can say it, the fastest dimension first; and whether that is another than its own.
    fn sides(&self) -> (Vec<u64>, bool) {
        let mut sides: Vec<u64> = self.shape.iter().map(|side| *side as u64).collect();
        while sides.len() > DIMENSIONS {
            let last = sides.pop().unwrap_or(1);
            if let Some(before) = sides.last_mut() {
                *before *= last;
            }
        }
        if sides.is_empty() {
            sides.push(1);
        }
        let other = sides.len() != self.shape.len();
        sides.reverse();
        (sides, other)
    }
}

/// The file, hidden until it is finished; gone if it is not.
pub(super) struct GgufWriter {
    out: PathBuf,
    partial: PartialFile,
    /// Bytes that are not in the file yet.
    waiting: Vec<u8>,
    written: u64,
}

impl GgufWriter {
    /// Writes the header.
    pub(super) fn create(out: &Path, metadata: &[(String, MetaValue)], tensors: &[Planned<'_>]) -> Result<Self> {
        let write_error = |source| WeightsError::Write { file: out.to_owned(), source };
        let partial = PartialFile::beside(out).map_err(write_error)?;
        let mut writer = Self { out: out.to_owned(), partial, waiting: Vec::new(), written: 0 };
        writer.write(&header(metadata, tensors))?;
        writer.pad()?;
        Ok(writer)
    }

    /// Writes some of a tensor's bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < AT_ONCE { Ok(()) } else { self.flush() }
    }

    /// Ends a tensor.
    pub(super) fn pad(&mut self) -> Result<()> {
        let missing = self.written.next_multiple_of(ALIGNMENT as u64) - self.written;
        self.write(&[0; ALIGNMENT][..missing as usize])
    }

    /// Brings it to the disk and shows it; the bytes of the whole file.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        let Self { out, partial, written, .. } = self;
        partial.publish(Durable::Bytes).map_err(|source| WeightsError::Write { file: out, source })?;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.partial.file().write_all(&self.waiting);
        self.waiting.clear();
        written.map_err(|source| WeightsError::Write { file: self.out.clone(), source })
    }
}

fn header(metadata: &[(String, MetaValue)], tensors: &[Planned<'_>]) -> Vec<u8> {
    let shapes: Vec<(String, MetaValue)> = tensors
        .iter()
        .filter(|tensor| tensor.sides().1)
        .map(|tensor| (format!("{SHAPE_OF}{}", tensor.name), MetaValue::Shape(tensor.shape.to_vec())))
        .collect();
    let mut header = MAGIC.to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend(((metadata.len() + shapes.len()) as u64).to_le_bytes());
    for (key, value) in metadata.iter().chain(&shapes) {
        text(&mut header, key);
        match value {
            MetaValue::Whole(number) => header.extend([4, *number].into_iter().flat_map(u32::to_le_bytes)),
            MetaValue::Real(number) => {
                header.extend(6u32.to_le_bytes());
                header.extend(number.to_le_bytes());
            }
            MetaValue::Text(words) => {
                header.extend(8u32.to_le_bytes());
                text(&mut header, words);
            }
            MetaValue::Shape(sides) => {
                header.extend([9u32, 5].into_iter().flat_map(u32::to_le_bytes));
                header.extend((sides.len() as u64).to_le_bytes());
                header.extend(sides.iter().flat_map(|side| (*side as i32).to_le_bytes()));
            }
        }
    }
    let mut offset = 0u64;
    for tensor in tensors {
        let (sides, _) = tensor.sides();
        text(&mut header, &tensor.name);
        header.extend((sides.len() as u32).to_le_bytes());
        header.extend(sides.into_iter().flat_map(u64::to_le_bytes));
        header.extend(number_of(tensor.kind).to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset = (offset + tensor.bytes()).next_multiple_of(ALIGNMENT as u64);
    }
    header
}

fn text(header: &mut Vec<u8>, words: &str) {
    header.extend((words.len() as u64).to_le_bytes());
    header.extend(words.as_bytes());
}
