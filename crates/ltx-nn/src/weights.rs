//! How layers read their weights: by key and shape, through a path that mirrors the checkpoint's own names.
//!
//! Must not know files; `ltx-weights` implements the trait for them, once for data and once for shapes alone.

use crate::{Compute, Level, LowRank, NnError, Packed, Packing, Result, Staging, kernels, profile};
use candle_core::{DType, Tensor};
use std::{fmt, sync::Arc};

/// The matrix of a linear layer, as its source keeps it.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// `[outputs, inputs]` in the dtype asked for.
    Dense(Tensor),
    /// The same in f32 on the CPU, in the order in which products read it; made by [`Matrix::ready`].
    Panels(Tensor),
    /// In bf16 on the CPU, in the order in which tiles of AMX read it; made by [`Matrix::ready`].
    Tiles(Tiles),
    /// Packed; widened when it is used.
    Packed(Packed),
    /// In 8 bits on the CPU; made by [`Matrix::eight_bit`].
    EightBit(EightBit),
    /// A matrix and what is added to its product: the sum is never made.
    Beside(Box<Matrix>, Arc<[LowRank]>),
}

impl Matrix {
    /// As a layer keeps it on its device: on a GPU everything is uploaded once, 8-bit floats as they are, blocks widened to the
    /// dtype. On the CPU nothing changes.
    pub(crate) fn on(self, compute: &Compute) -> Result<Self> {
        if compute.device.is_cpu() {
            return Ok(self);
        }
        match self {
            Self::Dense(_) | Self::Panels(_) | Self::Tiles(_) | Self::EightBit(_) => Ok(self),
            Self::Packed(weight) => weight.on(compute),
            Self::Beside(weight, products) => {
                let products = products.iter().map(|product| product.on(&compute.device)).collect::<Result<_>>()?;
                Ok(Self::Beside(Box::new(weight.on(compute)?), products))
            }
        }
    }

    /// The matrix in 8 bits, if it has data in a form that can be rounded and rows of whole groups.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub(crate) fn eight_bit(self, shape: [usize; 2], level: Level) -> Result<Self> {
        let [outputs, inputs] = shape;
        if !inputs.is_multiple_of(kernels::GROUP) || outputs < LEAST_OUTPUTS {
            return self.ready(level);
        }
        let packed = match &self {
            Self::Dense(matrix) if on_cpu(matrix) && matrix.is_contiguous() => {
                kernels::with_values([matrix], |[values]| {
                    let row = |row: usize, out: &mut [f32]| out.copy_from_slice(&values[row * inputs..][..inputs]);
                    Ok::<_, NnError>(kernels::Weights8::pack(shape, row))
                })?
            }
            Self::Packed(matrix) => {
                let rows = matrix.rows(level)?;
                kernels::Weights8::pack(shape, |row, out| rows.decode_row(row, 0..inputs, out))
            }
            Self::Beside(..) | Self::EightBit(_) | Self::Panels(_) | Self::Tiles(_) | Self::Dense(_) => {
                return self.ready(level);
            }
        };
        Ok(Self::EightBit(EightBit(Arc::new(packed))))
    }

    /// The form in which many products are fastest: on the CPU, a dense f32 matrix and one of 16-bit floats become panels in
    /// f32, or one of bf16 tiles where the processor has them; others stay what they are.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn ready(self, level: Level) -> Result<Self> {
        Ok(match self {
            // A matrix without data (its shape alone is looked at) is broadcast from one value.
            Self::Dense(matrix) if on_cpu(&matrix) && matrix.is_contiguous() => {
                Self::Panels(kernels::panels(level, &matrix)?)
            }
            Self::Packed(matrix) if matrix.packing() == Packing::Bf16 && level.has_tiles() => {
                Self::Tiles(Tiles(Arc::new(kernels::Tiles16::new(&matrix.rows(level)?)?)))
            }
            Self::Packed(matrix) if matrix.packing().is_half() => Self::Panels(matrix.panels(level)?),
            Self::Beside(matrix, products) => Self::Beside(Box::new(matrix.ready(level)?), products),
            other => other,
        })
    }
}

/// A matrix in bf16, laid out for AMX.
#[derive(Clone)]
pub struct Tiles(pub(crate) Arc<kernels::Tiles16>);

impl fmt::Debug for Tiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tiles({} bytes)", self.0.bytes())
    }
}

/// A matrix in 8 bits.
#[derive(Clone)]
pub struct EightBit(pub(crate) Arc<kernels::Weights8>);

impl fmt::Debug for EightBit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EightBit({} bytes)", self.0.bytes())
    }
}

fn on_cpu(matrix: &Tensor) -> bool {
    matrix.device().is_cpu() && matrix.dtype() == DType::F32
}

/// Outputs of a layer that is worth rounding, at least.
const LEAST_OUTPUTS: usize = 64;

/// A source of tensors.
pub trait Weights: Send + Sync {
    /// The tensor stored under `key`, on the device and in the dtype asked for.
    ///
    /// # Errors
    /// The key is missing, or its shape or stored type is not what is expected.
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> Result<Tensor>;

    /// The matrix `[outputs, inputs]` stored under `key`; it stays packed if it is stored so. For f32 on the CPU, 16-bit floats
    /// are packed ones.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> Result<Matrix> {
        Ok(Matrix::Dense(self.tensor(key, &shape, compute)?))
    }

    /// Some rows of the matrix stored under `key`, without reading the others.
    ///
    /// # Errors
    /// As [`Weights::tensor`]; or a row is outside the matrix.
    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> Result<Tensor>;

    /// Checks key, shape and stored type without reading anything.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    fn check(&self, key: &str, shape: &[usize]) -> Result<()>;
}

/// A source and a position in its key space (“vb”, as in candle's `VarBuilder`).
#[derive(Clone)]
pub struct Vb {
    source: Arc<dyn Weights>,
    prefix: String,
    compute: Compute,
    passing: bool,
    /// What layers that are streamed to a GPU are loaded through.
    staging: Option<Arc<Staging>>,
    streamed: bool,
}

impl Vb {
    /// The root of a source.
    pub fn new(source: Arc<dyn Weights>, compute: Compute) -> Self {
        Self { source, prefix: String::new(), compute, passing: false, staging: None, streamed: false }
    }

    /// One level down: `vb.pp("attn1").pp("to_q")`.
    #[must_use]
    pub fn pp(&self, name: impl AsRef<str>) -> Self {
        Self { prefix: self.key(name.as_ref()), ..self.clone() }
    }

    /// The same position in another precision.
    #[must_use]
    pub fn with_dtype(&self, dtype: candle_core::DType) -> Self {
        Self { compute: self.compute.with_dtype(dtype), ..self.clone() }
    }

    /// The same position, for layers that are dropped after one use: matrices stay in the order of their file.
    #[must_use]
    pub fn passing(&self) -> Self {
        Self { passing: true, ..self.clone() }
    }

    pub(crate) fn passes(&self) -> bool {
        self.passing
    }

    /// The same position; what is [`Vb::streamed`] from here on is loaded through `staging`, which has the same source.
    #[must_use]
    pub fn with_staging(&self, staging: Arc<Staging>) -> Self {
        Self { staging: Some(staging), ..self.clone() }
    }

    /// What streamed layers are loaded through, if they are to pass through a GPU's memory.
    pub fn staging(&self) -> Option<&Arc<Staging>> {
        self.staging.as_ref()
    }

    /// The same position, for layers that are loaded for one pass: [`Vb::passing`], and through the staging where there is one.
    #[must_use]
    pub fn streamed(&self) -> Self {
        Self { streamed: true, ..self.passing() }
    }

    /// Whether it is [`Vb::streamed`].
    pub fn is_streamed(&self) -> bool {
        self.streamed
    }

    fn stage(&self) -> Option<&Staging> {
        self.staging.as_deref().filter(|_| self.streamed)
    }

    /// The same position with every product exact, for layers too small or too delicate for 8 bits.
    #[must_use]
    pub fn exact(&self) -> Self {
        Self { compute: self.compute.exact(), ..self.clone() }
    }

    /// Device and dtype that tensors arrive in.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// The tensor `name` at this position.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn tensor(&self, name: &str, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let (key, shape) = (self.key(name), shape.as_ref());
        let read = || match self.stage() {
            Some(staging) => staging.tensor(&key, shape, &self.compute),
            None => self.source.tensor(&key, shape, &self.compute),
        };
        profile::timed("weights", || 0, read).map_err(|error| error.while_reading(|| key.clone()))
    }

    /// The matrix `name`, `[outputs, inputs]`, at this position.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        let key = self.key(name);
        let read = || match self.stage() {
            Some(staging) => staging.matrix(&key, shape, &self.compute),
            None => self.source.matrix(&key, shape, &self.compute)?.on(&self.compute),
        };
        profile::timed("weights", || 0, read).map_err(|error| error.while_reading(|| key.clone()))
    }

    /// Some rows of the matrix `name` at this position.
    ///
    /// # Shapes
    /// `[rows.len(), shape[1]]`.
    ///
    /// # Errors
    /// As [`Weights::rows`].
    pub fn rows(&self, name: &str, shape: [usize; 2], rows: &[u32]) -> Result<Tensor> {
        self.source.rows(&self.key(name), shape, rows, &self.compute)
    }

    /// Checks the tensor `name` at this position without reading it.
    ///
    /// # Errors
    /// As [`Weights::check`].
    pub fn check(&self, name: &str, shape: impl AsRef<[usize]>) -> Result<()> {
        self.source.check(&self.key(name), shape.as_ref())
    }

    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}
