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

/// Rows in bf16 rounded to e4m3.
#[derive(Debug, Clone)]
pub struct Rounded {
    /// `[rows, inputs]`, bytes.
    pub(super) bytes: Tensor,
    /// Multiplies every value, in the device's memory: `[1]` for all rows, or `[rows]`.
    pub(super) scales: Tensor,
}

impl Rounded {
    /// Of `x [rows, inputs]`, with one scale for all rows; `None` where the device has no product of 8-bit floats of that dtype and
    /// width.
    ///
    /// # Errors
    /// Sizes do not fit the launch, or the GPU failed.
    pub fn of(x: &Tensor) -> Result<Option<Self>> {
        let (rows, inputs) = x.dims2()?;
        let multiplies = x.dtype() == DType::BF16 && capability(x.device())? >= (8, 9);
        if !multiplies || !inputs.is_multiple_of(16) || rows == 0 {
            return Ok(None);
        }
        let (x, count) = (x.contiguous()?, x.elem_count());
        let whole = aligned(&[&x]);
        let most = Tensor::zeros(1, DType::U32, x.device())?;
        run(&fp8::range(count, whole)?, &[&x], &[&most])?;
        let (bytes, scales) = (empty(x.dims(), &x, DType::U8)?, empty(&[1], &x, DType::F32)?);
        run(&fp8::round(count, whole)?, &[&x, &most], &[&bytes, &scales])?;
        Ok(Some(Self { bytes, scales }))
    }

    /// With a scale for every row, which reads a row once. Hopper's cuBLASLt is said to multiply such; until it was seen to, and to
    /// be faster, tests alone do so.
    #[cfg(all(test, feature = "cuda"))]
    pub(super) fn by_row(x: &Tensor) -> Result<Self> {
        let x = x.contiguous()?;
        let [rows, inputs] = [x.dim(0)?, x.dim(1)?];
        let (bytes, scales) = (empty(x.dims(), &x, DType::U8)?, empty(&[rows], &x, DType::F32)?);
        run(&fp8::round_rows([rows, inputs], aligned(&[&x]))?, &[&x], &[&bytes, &scales])?;
        Ok(Self { bytes, scales })
    }
}

/// A matrix of 8-bit floats on a GPU.
#[derive(Debug, Clone)]
pub struct Fp8 {
    /// `[outputs, inputs]`, bytes.
    bytes: Tensor,
    /// Multiplies every value.
    scale: f32,
    /// The scale in the device's memory, once for each output: `[outputs]`.
    scale_on_device: Tensor,
}

impl Fp8 {
    /// The matrix `[outputs, inputs]` of these bytes and their scale, as a number and `[outputs]` in the device's memory.
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

    /// In bf16; `None` where cuBLASLt has no such product.
    pub(super) fn product_of(&self, x: &Rounded, bias: Option<&Tensor>, gelu: bool) -> Result<Option<Tensor>> {
        let out = empty(&[x.bytes.dim(0)?, self.bytes.dim(0)?], &x.bytes, DType::BF16)?;
        let scales = Some((&x.scales, &self.scale_on_device));
        let product = Product { x: &x.bytes, weight: &self.bytes, bias, gelu, scales };
        Ok(product.perform(&out)?.then_some(out))
    }

    /// `x Wᵀ + b`, then GELU if asked for: of `rounded`, which is [`Rounded::of`] that `x`, on GPUs that multiply 8-bit floats;
    /// elsewhere the matrix is widened for the product.
    ///
    /// # Errors
    /// Sizes do not fit each other, or the GPU failed.
    pub fn product(&self, x: &Tensor, rounded: Option<&Rounded>, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
        let x = x.contiguous()?;
        let outputs = self.bytes.dim(0)?;
        if let Some(rounded) = rounded.filter(|_| outputs.is_multiple_of(16))
            && let Some(y) = self.product_of(rounded, bias, gelu)?
        {
            return Ok(y);
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
