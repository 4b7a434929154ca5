//! `y = x Wᵀ + b`, whatever W is stored as.
//!
//! Must not know what is projected, or in which form W is kept.

use crate::{Activations, Result, Vb, kernels::Then, matrix::Prepared, profile};
use candle_core::{D, Tensor};

/// A linear layer.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Prepared,
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
        let weight = vb.matrix("weight", [outputs, inputs])?;
        let bias = if bias { Some(vb.tensor("bias", [outputs])?) } else { None };
        Ok(Self { weight, bias })
    }

    /// `x Wᵀ + b`.
    ///
    /// # Shapes
    /// `[.., inputs]` → `[.., outputs]`, in the dtype of the input.
    ///
    /// # Errors
    /// The last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.then(&Activations::new(x)?, Then::Nothing)
    }

    /// [`Linear::forward`] of an input that other layers have, too.
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn forward_of(&self, x: &Activations) -> Result<Tensor> {
        self.then(x, Then::Nothing)
    }

    /// GELU (tanh) of [`Linear::forward`].
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn gelu(&self, x: &Tensor) -> Result<Tensor> {
        self.then(&Activations::new(x)?, Then::Gelu)
    }

    /// [`Linear::gelu`] times `factor`, of the same shape.
    ///
    /// # Errors
    /// As [`Linear::forward`]; or `factor` has another shape.
    pub fn gelu_times(&self, x: &Tensor, factor: &Tensor) -> Result<Tensor> {
        let width = factor.dim(D::Minus1)?;
        self.then(&Activations::new(x)?, Then::GeluTimes(factor.contiguous()?.reshape(((), width))?))
    }

    fn then(&self, x: &Activations, then: Then) -> Result<Tensor> {
        let [outputs, inputs] = self.weight.shape();
        let mut dims = x.dims().to_vec();
        let operations = || 2 * x.rows().dims()[0] * inputs * outputs;
        let multiply = || self.weight.product(x, self.bias.as_ref(), then);
        let y = profile::timed(self.weight.profile_name(), operations, multiply)?;
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        Ok(y.reshape(dims)?)
    }
}
