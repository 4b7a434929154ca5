//! `y = x Wᵀ + b`, whatever W is stored as.
//!
//! Must not know what is projected, or which file W came from.

use crate::{Matrix, Result, Vb, kernels, profile};
use candle_core::{DType, Tensor};

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
        let name = if matches!(self.weight, Matrix::Dense(_)) { "linear" } else { "packed linear" };
        let y = profile::timed(name, || 2 * rows * inputs * outputs, || product(&self.weight, self.bias.as_ref(), &x))?;
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        Ok(y.reshape(dims)?)
    }
}

/// The product and the bias, of rows.
fn product(weight: &Matrix, bias: Option<&Tensor>, x: &Tensor) -> Result<Tensor> {
    let y = match weight {
        Matrix::Dense(weight) if x.device().is_cpu() && x.dtype() == DType::F32 => {
            return kernel(&x.contiguous()?, weight, bias);
        }
        Matrix::Dense(weight) => return formula(x, weight, bias),
        Matrix::Beside(weight, products) => {
            let y = product(weight, bias, x)?;
            return products.iter().try_fold(y, |y, low_rank| Ok((y + low_rank.product(x)?)?));
        }
        Matrix::Packed(weight) => weight.product(x)?,
    };
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

fn kernel(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) => x.apply_op3_no_bwd(weight, bias, &kernels::Linear)?,
        None => x.apply_op2_no_bwd(weight, &kernels::Linear)?,
    })
}

fn formula(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
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
                let (x, weight) = (randn(rows, inputs)?, randn(outputs, inputs)?);
                let found = kernel(&x, &weight, bias.as_ref())?;
                let error = relative_l2(&found, &formula(&x, &weight, bias.as_ref())?).unwrap();
                assert!(error < 1e-6, "{rows}x{inputs}x{outputs}: {error:.1e}");
            }
        }
        Ok(())
    }
}
