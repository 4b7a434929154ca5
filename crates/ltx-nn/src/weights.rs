//! How layers read their weights: by key and shape, through a path that mirrors the checkpoint's own names.
//!
//! Must not know files; `ltx-weights` implements the trait for them, once for data and once for shapes alone.

use crate::{
    Compute, NnError, Result, Staging,
    kernels::with_values,
    matrix::{Arithmetic, Prepared, Stored, Use, form, prepare},
    profile,
};
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// A source of tensors.
pub trait Weights: Send + Sync {
    /// The tensor stored under `key`, on the device and in the dtype asked for.
    ///
    /// # Errors
    /// The key is missing, or its shape or stored type is not what is expected.
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> Result<Tensor>;

    /// Hands the values stored under `key` over in f32, some whole rows of the first axis at a time and in order, each time with the
    /// number of the first, so that they never lie in memory all at once where a source can read them so. `false`: there are no
    /// values, as in a source of shapes alone.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    fn pieces(
        &self,
        key: &str,
        shape: &[usize],
        compute: &Compute,
        take: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<bool> {
        in_one_piece(&self.tensor(key, shape, &compute.with_dtype(DType::F32))?, take)
    }

    /// The matrix `[outputs, inputs]` stored under `key`, as it is stored. Values that have to be made or converted to be handed
    /// out are on the device and in the dtype asked for, those of files in bytes on the host.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> Result<Stored> {
        Stored::floats(self.tensor(key, &shape, compute)?)
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

/// Hands all values over at once, as [`Weights::pieces`] does where a source knows no better.
///
/// # Errors
/// The tensor is not in f32 on the CPU.
pub fn in_one_piece(whole: &Tensor, take: &mut dyn FnMut(usize, &[f32])) -> Result<bool> {
    // Shapes alone are not contiguous.
    let values = whole.is_contiguous();
    if values {
        with_values([whole], |[values]| {
            take(0, values);
            Ok::<_, NnError>(())
        })?;
    }
    Ok(values)
}

/// A source and a position in its key space (“vb”, as in candle's `VarBuilder`).
#[derive(Clone)]
pub struct Vb {
    source: Arc<dyn Weights>,
    prefix: String,
    compute: Compute,
    usage: Use,
    /// What layers that are streamed to a GPU are loaded through.
    staging: Option<Arc<Staging>>,
}

impl Vb {
    /// The root of a source, for layers that stay.
    pub fn new(source: Arc<dyn Weights>, compute: Compute) -> Self {
        Self { source, prefix: String::new(), compute, usage: Use::Stays, staging: None }
    }

    /// One level down: `vb.pp("attn1").pp("to_q")`.
    #[must_use]
    pub fn pp(&self, name: impl AsRef<str>) -> Self {
        Self { prefix: self.key(name.as_ref()), ..self.clone() }
    }

    /// This position in another precision.
    #[must_use]
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Self { compute: self.compute.with_dtype(dtype), ..self.clone() }
    }

    /// This position, for layers that are loaded for something else.
    #[must_use]
    pub fn used(&self, usage: Use) -> Self {
        Self { usage, ..self.clone() }
    }

    /// What layers are loaded for.
    pub fn usage(&self) -> Use {
        self.usage
    }

    /// This position; what is [`Use::Streamed`] from here on is loaded through `staging`, which has the same source.
    #[must_use]
    pub fn with_staging(&self, staging: Arc<Staging>) -> Self {
        Self { staging: Some(staging), ..self.clone() }
    }

    /// What streamed layers are loaded through, if they are to pass through a GPU's memory.
    pub fn staging(&self) -> Option<&Arc<Staging>> {
        self.staging.as_ref()
    }

    /// The staging, if layers here are loaded through it.
    fn stage(&self) -> Option<&Staging> {
        match self.usage {
            Use::Streamed => self.staging.as_deref(),
            Use::Stays | Use::Compact | Use::Once => None,
        }
    }

    /// This position with every product exact, for layers too small or too delicate for 8 bits.
    #[must_use]
    pub fn exact(&self) -> Self {
        Self { compute: self.compute.exact(), ..self.clone() }
    }

    /// This position with exact products of all that is not stored in about 8 bits a value, or fewer.
    #[must_use]
    pub fn exact_unless_packed(&self) -> Self {
        Self { compute: self.compute.exact_unless_packed(), ..self.clone() }
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

    /// Hands the values of the tensor `name` at this position over, some rows at a time; `false`: there are none.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub(crate) fn pieces(&self, name: &str, shape: &[usize], take: &mut dyn FnMut(usize, &[f32])) -> Result<bool> {
        let key = self.key(name);
        // Who takes them has a time of his own.
        self.source.pieces(&key, shape, &self.compute, take).map_err(|error| error.while_reading(|| key.clone()))
    }

    /// The matrix `name`, `[outputs, inputs]`, at this position, in the form that its use here asks for.
    ///
    /// # Errors
    /// As [`Weights::matrix`].
    pub fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Prepared> {
        let (key, compute) = (self.key(name), &self.compute);
        let read = || match self.stage() {
            Some(staging) => staging.matrix(&key, shape, compute),
            None => {
                let stored = self.source.matrix(&key, shape, compute)?;
                let form = form(&stored.describe(), &Arithmetic::of(compute), self.usage);
                prepare(stored, form, &compute.device, compute)
            }
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
