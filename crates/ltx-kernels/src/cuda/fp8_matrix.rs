//! A matrix of 8-bit floats on a GPU, and its products.
//!
//! Must not know layers.

use super::{
    device::{Product, capability, empty, run},
    dispatch::{aligned, linear},
    fp8,
    launch::Element,
};
use candle_core::{DType, Result, Tensor};

/// Rows in bf16 rounded to e4m3, with one scale for all of them.
#[derive(Debug, Clone)]
pub struct Rounded {
    /// `[rows, inputs]`, bytes.
    pub(super) bytes: Tensor,
    /// Multiplies every value; `[1]`, in the device's memory.
    scale: Tensor,
}

impl Rounded {
    /// Of `x [rows, inputs]`; `None` where the device has no product of 8-bit floats of that dtype and width.
    ///
    /// # Errors
    /// Sizes do not fit the launch, or the GPU failed.
    pub fn of(x: &Tensor) -> Result<Option<Self>> {
        let x = x.contiguous()?;
        let (rows, inputs) = x.dims2()?;
        let multiplies = x.dtype() == DType::BF16 && capability(x.device())? >= (8, 9);
        if !multiplies || !inputs.is_multiple_of(16) || rows == 0 {
            return Ok(None);
        }
        let (count, whole) = (x.elem_count(), aligned(&[&x]));
        let most = Tensor::zeros(1, DType::U32, x.device())?;
        run(&fp8::range(count, whole)?, &[&x], &[&most])?;
        let (bytes, scale) = (empty(x.dims(), &x, DType::U8)?, empty(&[1], &x, DType::F32)?);
        run(&fp8::round(count, whole)?, &[&x, &most], &[&bytes, &scale])?;
        Ok(Some(Self { bytes, scale }))
    }
}

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
        let whole = aligned(&[&self.bytes]);
        run(&fp8::widen(element, self.bytes.elem_count(), self.scale, whole)?, &[&self.bytes], &[&out])?;
        Ok(out)
    }

    /// `x Wᵀ + b`, then GELU if asked for: of `rounded`, which is [`Rounded::of`] that `x`, on GPUs that multiply 8-bit floats;
    /// elsewhere the matrix is widened for the product.
    ///
    /// # Errors
    /// Sizes do not fit each other, or the GPU failed.
    pub fn product(&self, x: &Tensor, rounded: Option<&Rounded>, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
        let x = x.contiguous()?;
        let outputs = self.bytes.dim(0)?;
        if let Some(Rounded { bytes, scale }) = rounded.filter(|_| outputs.is_multiple_of(16)) {
            let out = empty(&[bytes.dim(0)?, outputs], &x, DType::BF16)?;
            let scales = Some((scale, &self.scale_on_device));
            let product = Product { x: bytes, weight: &self.bytes, bias, gelu, scales };
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
