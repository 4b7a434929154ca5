//! `y = x Wᵀ + b`, whatever W is stored as.
//!
//! Must not know what is projected, or which file W came from.

use crate::{Matrix, Result, Vb};
use candle_core::Tensor;

/// A linear layer; its weight is dense, or packed (quantised or fp8) and stays so in memory.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Matrix,
    shape: [usize; 2],
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
        let shape = [outputs, inputs];
        let weight = vb.matrix("weight", shape)?;
        let bias = if bias { Some(vb.tensor("bias", [outputs])?) } else { None };
        Ok(Self { weight, shape, bias })
    }

    /// # Shapes
    /// `[.., inputs]` → `[.., outputs]`, in the dtype of the input.
    ///
    /// # Errors
    /// The last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [outputs, inputs] = self.shape;
        let mut dims = x.dims().to_vec();
        let rows = x.elem_count() / inputs.max(1);
        let x = x.reshape((rows, inputs))?;
        let y = match &self.weight {
            Matrix::Dense(weight) => x.matmul(&weight.t()?)?,
            Matrix::Packed(weight) => weight.product(&x)?,
        };
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
