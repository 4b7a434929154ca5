//! A matrix of 8-bit floats on a GPU, and its products.
//!
//! Must not know layers.

use super::{
    device::{Product, capability, empty, run},
    dispatch::linear,
    fp8,
    launch::Element,
};
use candle_core::{DType, Result, Tensor};

/// A matrix of 8-bit floats on a GPU.
#[derive(Debug, Clone)]
pub struct Fp8 {
    /// `[outputs, inputs]`, bytes.
    bytes: Tensor,
    /// Multiplies every value.
    scale: f32,
    /// The scale in the device's memory, `[1]`.
    scale_on_device: Tensor,
}

impl Fp8 {
    /// The matrix `[outputs, inputs]` of these bytes and their scale, as a number and in the device's memory.
    pub fn new(bytes: Tensor, scale: f32, scale_on_device: Tensor) -> Self {
        Self { bytes, scale, scale_on_device }
    }

    /// The matrix in f32 or bf16.
    fn widened(&self, dtype: DType) -> Result<Tensor> {
        let Some(element) = Element::of(dtype) else { return self.widened(DType::F32)?.to_dtype(dtype) };
        let out = empty(self.bytes.dims(), &self.bytes, dtype)?;
        run(&fp8::widen(element, self.bytes.elem_count(), self.scale)?, &[&self.bytes], &[&out])?;
        Ok(out)
    }

    /// `x Wᵀ + b`, then GELU if asked for: on GPUs that multiply 8-bit floats, in bf16, `x` is rounded to e4m3 with one scale for
    /// the whole tensor; elsewhere the matrix is widened for the product.
    pub fn product(&self, x: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
        let x = x.contiguous()?;
        let ((rows, inputs), outputs) = (x.dims2()?, self.bytes.dim(0)?);
        let multiplies = capability(x.device())? >= (8, 9) && x.dtype() == DType::BF16;
        if multiplies && inputs.is_multiple_of(16) && outputs.is_multiple_of(16) && rows > 0 {
            let count = x.elem_count();
            let most = Tensor::zeros(1, DType::U32, x.device())?;
            run(&fp8::range(count)?, &[&x], &[&most])?;
            let (rounded, scale) = (empty(x.dims(), &x, DType::U8)?, empty(&[1], &x, DType::F32)?);
            run(&fp8::round(count)?, &[&x, &most], &[&rounded, &scale])?;
            let out = empty(&[rows, outputs], &x, DType::BF16)?;
            let scales = Some((&scale, &self.scale_on_device));
            let product = Product { x: &rounded, weight: &self.bytes, bias, gelu, scales };
            if product.perform(&out)? {
                return Ok(out);
            }
        }
        let weight = self.widened(x.dtype())?;
        if let Some(y) = linear(&x, &weight, bias, gelu)? {
            return Ok(y);
        }
        let y = x.matmul(&weight.t()?)?;
        let y = if let Some(bias) = bias { y.broadcast_add(bias)? } else { y };
        if gelu { y.gelu() } else { Ok(y) }
    }
}
