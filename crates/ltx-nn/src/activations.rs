//! What linear layers multiply: rows, and what a kind of matrix wants made of them beforehand, made once for all of them.
//!
//! Must not know layers.

use crate::{Result, kernels::cuda::Rounded};
use candle_core::{D, Tensor};
use std::cell::OnceCell;

/// The input of one or several linear layers. What their products need of it beside its values, as rows rounded to 8 bits, is
/// computed by the first that needs it.
#[derive(Debug)]
pub struct Activations {
    dims: Vec<usize>,
    /// `[rows, width]`.
    rows: Tensor,
    rounded: OnceCell<Option<Rounded>>,
}

impl Activations {
    /// The rows of `x [.., width]`.
    ///
    /// # Errors
    /// `x` has no dimension.
    pub fn new(x: &Tensor) -> Result<Self> {
        let width = x.dim(D::Minus1)?;
        let rows = x.reshape((x.elem_count() / width.max(1), width))?;
        Ok(Self { dims: x.dims().to_vec(), rows, rounded: OnceCell::new() })
    }

    /// The dimensions of what it was made of.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// `[rows, width]`.
    pub(crate) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The rows as a GPU multiplies 8-bit floats; `None` where it does not.
    ///
    /// # Errors
    /// The GPU failed.
    pub(crate) fn rounded(&self) -> Result<Option<&Rounded>> {
        if self.rounded.get().is_none() {
            let _ = self.rounded.set(Rounded::of(&self.rows)?);
        }
        Ok(self.rounded.get().and_then(Option::as_ref))
    }
}
