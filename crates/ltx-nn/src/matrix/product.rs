//! Products of a prepared matrix: one arm a form.
//!
//! Must not know what is projected, or what the matrix was stored as.

use super::{
    Prepared,
    prepared::{Fp8, Values},
};
use crate::{
    Activations, KernelChoice, Result, gelu,
    kernels::{self, Then, Weight, cuda},
};
use candle_core::{DType, Tensor};
use std::sync::Arc;

impl Prepared {
    /// `then(x Wᵀ + b)`.
    ///
    /// # Shapes
    /// `[rows, inputs]` → `[rows, outputs]`, in the dtype of `x`; sums are in f32.
    ///
    /// # Errors
    /// `x` has another width, or a factor of `then` another shape.
    pub(crate) fn product(&self, x: &Activations, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
        if self.pairs.is_empty() {
            return self.alone(x, bias, then);
        }
        let y = with_bias(self.alone(x, None, Then::Nothing)?, bias)?;
        let y = self
            .pairs
            .iter()
            .try_fold(y, |y, pair| Ok::<_, crate::NnError>((y + pair.product(x.rows(), self.kernels)?)?))?;
        finished(y, then, self.kernels)
    }

    /// `then(x Wᵀ + b)` without what pairs of low rank add.
    fn alone(&self, activations: &Activations, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
        let x = activations.rows();
        let (outputs, kernels) = (self.shape[0], self.kernels);
        let on_cpu = |weight| on_cpu(CpuProduct { weight, outputs, kernels }, x, bias, then.clone());
        match &self.values {
            Values::Rows(rows) if x.device().is_cpu() && x.dtype() == DType::F32 => on_cpu(Weight::Rows(rows.clone())),
            Values::Rows(rows) => match cuda::linear(x, rows, bias, has_gelu(&then))? {
                Some(y) => times_factor(y, then),
                None => finished(with_bias(x.matmul(&rows.t()?)?, bias)?, then, kernels),
            },
            Values::Panels(panels) => on_cpu(Weight::Panels(panels.clone())),
            Values::Tiles(tiles) => on_cpu(Weight::Tiles(Arc::clone(tiles))),
            Values::EightBit(matrix) => on_cpu(Weight::EightBit(Arc::clone(matrix))),
            Values::Packed(packed) => on_cpu(Weight::Packed(packed.clone())),
            Values::PackedEightBit(packed) => on_cpu(Weight::PackedEightBit(packed.clone())),
            Values::Fp8(Fp8 { bytes, scale, scale_on_device }) => {
                let weight = cuda::Fp8::new(bytes.clone(), *scale, scale_on_device.clone());
                times_factor(weight.product(x, activations.rounded()?, bias, has_gelu(&then))?, then)
            }
        }
    }
}

/// A matrix as the CPU's kernel multiplies it.
pub(super) struct CpuProduct {
    pub(super) weight: Weight,
    /// Rows of the matrix.
    pub(super) outputs: usize,
    pub(super) kernels: KernelChoice,
}

/// A product by the CPU's kernel, which sums in f32; bias and activation are in its pass if `x` is f32.
pub(super) fn on_cpu(product: CpuProduct, x: &Tensor, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
    let CpuProduct { weight, outputs, kernels: choice } = product;
    let level = choice.level;
    if x.dtype() == DType::F32 {
        let op = kernels::Linear { level, weight, outputs, bias: bias.cloned(), then };
        return Ok(x.contiguous()?.apply_op1_no_bwd(&op)?);
    }
    let op = kernels::Linear { level, weight, outputs, bias: None, then: Then::Nothing };
    let y = x.to_dtype(DType::F32)?.contiguous()?.apply_op1_no_bwd(&op)?.to_dtype(x.dtype())?;
    finished(with_bias(y, bias)?, then, choice)
}

fn with_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

fn has_gelu(then: &Then) -> bool {
    match then {
        Then::Nothing => false,
        Then::Gelu | Then::GeluTimes(_) => true,
    }
}

/// The activation of sums, operation by operation.
fn finished(y: Tensor, then: Then, kernels: KernelChoice) -> Result<Tensor> {
    let y = if has_gelu(&then) { gelu(&y, kernels)? } else { y };
    times_factor(y, then)
}

/// What is left to do behind a GELU.
fn times_factor(y: Tensor, then: Then) -> Result<Tensor> {
    match then {
        Then::Nothing | Then::Gelu => Ok(y),
        Then::GeluTimes(factor) => Ok((y * factor)?),
    }
}
