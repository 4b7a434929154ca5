//! `y = x Wᵀ + b`.
//!
//! Must not know what is projected.

use crate::{Result, Vb};
use candle_core::Tensor;

/// A dense linear layer.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight [outputs, inputs]` and `bias [outputs]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, inputs: usize, outputs: usize) -> Result<Self> {
        Self::load_with(vb, inputs, outputs, true)
    }

    /// Reads `weight [outputs, inputs]`, and `bias [outputs]` if there is one.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load_with(vb: &Vb, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = vb.tensor("weight", [outputs, inputs])?;
        let bias = if bias { Some(vb.tensor("bias", [outputs])?) } else { None };
        Ok(Self { weight, bias })
    }

    /// # Shapes
    /// `[.., inputs]` → `[.., outputs]`, in the weights' dtype.
    ///
    /// # Errors
    /// The last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        let mut dims = x.dims().to_vec();
        let rows = x.elem_count() / inputs.max(1);
        let y = x.reshape((rows, inputs))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        Ok(y.reshape(dims)?)
    }
}
