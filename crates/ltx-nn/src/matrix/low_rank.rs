//! Two thin matrices whose product is added to a weight: `W + scale · B A`. Source: Hu et al., “LoRA: Low-Rank Adaptation of
//! Large Language Models” (2021).
//!
//! Must not know files, keys, or whether the weight beside it is packed.

use super::product::{CpuProduct, on_cpu};
use crate::{
    KernelChoice, NnError, Result,
    kernels::{Then, Weight},
};
use candle_core::{DType, Tensor};

/// Values of the panel of `B A` that is added to a weight at once: 16 MiB.
const PANEL: usize = 1 << 22;

/// A pair of thin matrices. It keeps the dtype that it is stored in; sums are in f32. `T` stands for its tensors.
#[derive(Debug, Clone)]
pub struct LowRank<T = Tensor> {
    down: T,
    up: T,
    scale: f32,
}

impl<T> LowRank<T> {
    /// The pair with other tensors, each made by `each` of its own.
    ///
    /// # Errors
    /// As the first `each` that failed.
    pub fn map<U, E>(&self, each: &mut impl FnMut(&T) -> Result<U, E>) -> Result<LowRank<U>, E> {
        Ok(LowRank { down: each(&self.down)?, up: each(&self.up)?, scale: self.scale })
    }
}

impl LowRank {
    /// From `A [rank, inputs]`, `B [outputs, rank]` and what their product is multiplied by.
    ///
    /// # Errors
    /// They are no matrices, or of different rank.
    pub fn new(down: Tensor, up: Tensor, scale: f32) -> Result<Self> {
        let ((rank, _), (_, other)) = (down.dims2()?, up.dims2()?);
        if rank == other {
            return Ok(Self { down, up, scale });
        }
        Err(NnError::unsupported("the rank of a product of low rank", other, rank.to_string()))
    }

    /// `scale · (x Aᵀ) Bᵀ`.
    ///
    /// # Shapes
    /// `[rows, inputs]` → `[rows, outputs]`, in the dtype of `x`.
    ///
    /// # Errors
    /// `x` has another width.
    pub fn product(&self, x: &Tensor, kernels: KernelChoice) -> Result<Tensor> {
        let thin = (product(x, &self.down, kernels)? * f64::from(self.scale))?;
        product(&thin, &self.up, kernels)
    }
}

/// `x Wᵀ`, in the dtype of `x`; the sum is in f32 on the CPU.
fn product(x: &Tensor, weight: &Tensor, kernels: KernelChoice) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return Ok(x.matmul(&weight.to_dtype(x.dtype())?.t()?)?);
    }
    let weight = weight.to_dtype(DType::F32)?.contiguous()?;
    let outputs = weight.dim(0)?;
    on_cpu(CpuProduct { weight: Weight::Rows(weight), outputs, kernels }, x, None, Then::Nothing)
}

/// `W + Σ scale · B A`, summed in f32 a panel of rows at a time, so that no second matrix of W's size exists besides the result.
///
/// # Shapes
/// `[outputs, inputs]` → the same, f32.
///
/// # Errors
/// A product has another shape.
pub fn merge_low_rank(weight: &Tensor, products: &[LowRank]) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let (weight, panel) = (weight.to_dtype(DType::F32)?, (PANEL / inputs.max(1)).max(1));
    let wide = |thin: &Tensor| thin.to_dtype(DType::F32);
    let downs = products.iter().map(|product| wide(&product.down)).collect::<candle_core::Result<Vec<_>>>()?;
    let mut merged = Vec::with_capacity(outputs * inputs);
    for start in (0..outputs).step_by(panel) {
        let rows = panel.min(outputs - start);
        let mut sum = weight.narrow(0, start, rows)?;
        for (LowRank { up, scale, .. }, down) in products.iter().zip(&downs) {
            sum = (sum + (wide(&up.narrow(0, start, rows)?)? * f64::from(*scale))?.matmul(down)?)?;
        }
        merged.extend_from_slice(&sum.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(Tensor::from_vec(merged, (outputs, inputs), weight.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relative_l2;
    use candle_core::Device;

    #[test]
    fn beside_and_merged_are_the_plain_formula() -> Result<()> {
        let randn = |rows: usize, columns: usize| Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu);
        let (inputs, outputs) = (70, 90);
        let (x, weight) = (randn(5, inputs)?, randn(outputs, inputs)?);
        let mut plain = weight.clone();
        let mut products = Vec::new();
        for (rank, scale, dtype) in [(4, 0.5, DType::F32), (1, -2.0, DType::BF16), (33, 1.0, DType::F16)] {
            let (down, up) = (randn(rank, inputs)?.to_dtype(dtype)?, randn(outputs, rank)?.to_dtype(dtype)?);
            let product = up.to_dtype(DType::F32)?.matmul(&down.to_dtype(DType::F32)?)?;
            plain = (plain + (product * f64::from(scale))?)?;
            products.push(LowRank::new(down, up, scale)?);
        }
        let merged = merge_low_rank(&weight, &products)?;
        assert!(relative_l2(&merged, &plain).unwrap() < 1e-6);
        let mut beside = x.matmul(&weight.t()?)?;
        for product in &products {
            beside = (beside + product.product(&x, KernelChoice::fastest())?)?;
        }
        assert!(relative_l2(&beside, &x.matmul(&plain.t()?)?).unwrap() < 1e-6);
        Ok(())
    }

    #[test]
    fn ranks_that_differ_are_refused() {
        let zeros = |rows: usize, columns: usize| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
        assert!(LowRank::new(zeros(3, 8), zeros(8, 4), 1.0).is_err());
        assert!(
            LowRank::new(zeros(3, 8), zeros(8, 3), 1.0)
                .unwrap()
                .product(&zeros(2, 9), KernelChoice::fastest())
                .is_err()
        );
    }
}
