//! `y = x Wᵀ + b`.
//!
//! Must not know what is projected.

use crate::{Result, Vb, kernels, profile};
use candle_core::{DType, Tensor};

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
        let x = x.reshape((rows, inputs))?;
        let y = profile::timed(
            "linear",
            || 2 * rows * inputs * outputs,
            || {
                if x.device().is_cpu() && x.dtype() == DType::F32 {
                    self.kernel(&x.contiguous()?)
                } else {
                    self.formula(&x)
                }
            },
        )?;
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        Ok(y.reshape(dims)?)
    }
    fn kernel(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.bias {
            Some(bias) => x.apply_op3_no_bwd(&self.weight, bias, &kernels::Linear)?,
            None => x.apply_op2_no_bwd(&self.weight, &kernels::Linear)?,
        })
    }

    fn formula(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relative_l2;
    use candle_core::Device;

    #[test]
    fn kernel_equals_the_formula() -> Result<()> {
        let randn = |rows: usize, columns: usize| Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu);
        for (rows, inputs, outputs) in [(1, 1, 1), (7, 33, 5), (65, 130, 40)] {
            for bias in [None, Some(randn(1, outputs)?.squeeze(0)?)] {
                let layer = Linear { weight: randn(outputs, inputs)?, bias };
                let x = randn(rows, inputs)?;
                let error = relative_l2(&layer.kernel(&x)?, &layer.formula(&x)?).unwrap();
                assert!(error < 1e-6, "{rows}x{inputs}x{outputs}: {error:.1e}");
            }
        }
        Ok(())
    }
}
