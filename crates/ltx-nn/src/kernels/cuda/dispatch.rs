//! From tensors to launches. Every function answers `None` where no kernel takes the call over (not on a GPU, a dtype or sizes
//! that there is no kernel for, nothing to compute); the layer then computes its plain formula.
//!
//! Must not know layers' weights by name.

use super::{
    attention as attend, conv3d as convolve,
    device::{Product, capability, empty, run},
    fp8, gate,
    generation::Generation,
    launch::{Element, Launch},
    norm::{self, Rows, Table},
    pixel_norm::{self as pixels, Pixels, padded},
    rope,
};
use crate::{AttentionShape, Conv3dConfig, Modulation, ShiftScale, kernels::Normalize};
use candle_core::{DType, Error, Result, Tensor};

/// The element if all tensors are on a GPU in one dtype that kernels exist for, and hold values.
fn element(tensors: &[&Tensor]) -> Option<Element> {
    let first = tensors.first()?;
    let alike = |t: &&Tensor| t.device().is_cuda() && t.dtype() == first.dtype() && t.elem_count() > 0;
    if tensors.iter().all(alike) { Element::of(first.dtype()) } else { None }
}

/// Whether every tensor begins at an address that is a multiple of 16 bytes; allocations do.
fn aligned(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| (t.layout().start_offset() * t.dtype().size_in_bytes()).is_multiple_of(16))
}

/// Launches into a new tensor of the first input's shape and dtype.
fn same_shape(launch: &Launch, inputs: &[&Tensor]) -> Result<Option<Tensor>> {
    let out = empty(inputs[0].dims(), inputs[0], inputs[0].dtype())?;
    run(launch, inputs, &[&out])?;
    Ok(Some(out))
}

/// A modulation's table and index as launches take them; where there is no index, the table stands in for it.
fn table(by: &Modulation, tokens: usize) -> (Table, &Tensor) {
    let index = by.index().map(|index| index.there());
    let table = Table { tokens, count: by.rows().dims()[1], indexed: index.is_some() };
    (table, index.unwrap_or(by.rows()))
}

/// `rms_norm(x)`, `layer_norm(x)` or `x`, then `(1 + scale) + shift`; sizes fit each other.
pub(crate) fn norm_modulate(
    x: &Tensor,
    (by, ShiftScale { shift, scale }): (&Modulation, ShiftScale),
    normalize: Normalize,
    eps: f64,
) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x, by.rows()]) else { return Ok(None) };
    let (x, (batch, tokens, width)) = (x.contiguous()?, x.dims3()?);
    let (table, index) = table(by, tokens);
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&x, by.rows()]);
    let rows = Rows { rows: batch * tokens, width, whole };
    let launch = norm::norm_modulate(element, rows, (table, [shift, scale]), normalize, eps as f32)?;
    same_shape(&launch, &[&x, by.rows(), index])
}

/// `rows [values, n, D]` and a table `[n, D]` added to each value's.
pub(crate) fn add_table(rows: &Tensor, table: &Tensor) -> Result<Option<Tensor>> {
    let Some(element) = element(&[rows, table]).filter(|_| rows.dims().get(1..) == Some(table.dims())) else {
        return Ok(None);
    };
    let (rows, table, width) = (rows.contiguous()?, table.contiguous()?, table.elem_count());
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&rows, &table]);
    same_shape(&norm::add_table(element, Rows { rows: rows.dims()[0], width, whole })?, &[&rows, &table])
}

/// RMS norm over the last dimension, with a weight or without.
pub(crate) fn rms_norm(x: &Tensor, weight: Option<&Tensor>, eps: f64) -> Result<Option<Tensor>> {
    let weighted = weight.is_some();
    let weight = weight.unwrap_or(x);
    let Some(element) = element(&[x, weight]) else { return Ok(None) };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let Some(width) = x.dims().last().copied().filter(|width| !weighted || weight.dims() == [*width]) else {
        return Ok(None);
    };
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&x, &weight]);
    let rows = Rows { rows: x.elem_count() / width, width, whole };
    same_shape(&norm::rms_norm(element, rows, weighted, eps as f32)?, &[&x, &weight])
}

/// A rotation, and the norm before it where there is one.
pub(crate) struct NormedRope<'a> {
    /// `[T, heads or 1, head_dim / 2]`, f32.
    pub(crate) cos: &'a Tensor,
    /// The same.
    pub(crate) sin: &'a Tensor,
    pub(crate) heads: usize,
    /// Weight and epsilon of an RMS norm over all heads together.
    pub(crate) norm: Option<(&'a Tensor, f64)>,
}

/// `rope(rms_norm(x) · weight)` of `x [B, T, heads · head_dim]`.
pub(crate) fn norm_rope(x: &Tensor, by: &NormedRope<'_>) -> Result<Option<Tensor>> {
    let weight = by.norm.map_or(x, |(weight, _)| weight);
    let Some(element) = element(&[x, weight]) else { return Ok(None) };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let (cos, sin) = (by.cos.contiguous()?, by.sin.contiguous()?);
    let (batch, tokens, width) = x.dims3()?;
    let (table_tokens, table_heads, half) = cos.dims3()?;
    let fits = table_tokens == tokens
        && width == by.heads * 2 * half
        && (table_heads == 1 || table_heads == by.heads)
        && sin.dims() == cos.dims()
        && cos.dtype() == DType::F32
        && sin.dtype() == DType::F32
        && cos.device().is_cuda()
        && (by.norm.is_none() || weight.dims() == [width]);
    if !fits {
        return Ok(None);
    }
    let whole = half.is_multiple_of(element.pack()) && aligned(&[&x, &weight]);
    let heads = rope::Heads { rows: batch * tokens, tokens, heads: by.heads, half, table_heads, whole };
    let launch = rope::norm_rope(element, heads, by.norm.map(|(_, eps)| eps as f32))?;
    same_shape(&launch, &[&x, &weight, &cos, &sin])
}

/// `x + y · gate`; the modulation fits `x`.
pub(crate) fn gated_residual(x: &Tensor, y: &Tensor, by: &Modulation, gate: usize) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x, y, by.rows()]).filter(|_| x.dims() == y.dims()) else { return Ok(None) };
    let (x, y, (batch, tokens, width)) = (x.contiguous()?, y.contiguous()?, x.dims3()?);
    let (table, index) = table(by, tokens);
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&x, &y, by.rows()]);
    let rows = Rows { rows: batch * tokens, width, whole };
    same_shape(&gate::gated_residual(element, rows, (table, gate))?, &[&x, &y, by.rows(), index])
}

/// `x · 2σ(logits)`, a gate per head.
pub(crate) fn gate_heads(x: &Tensor, logits: &Tensor) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x, logits]) else { return Ok(None) };
    let (x, logits) = (x.contiguous()?, logits.contiguous()?);
    let ((batch, tokens, width), heads) = (x.dims3()?, logits.dim(2)?);
    if logits.dims() != [batch, tokens, heads] || !width.is_multiple_of(heads) {
        return Ok(None);
    }
    let whole = (width / heads).is_multiple_of(element.pack()) && aligned(&[&x]);
    same_shape(&gate::gate_heads(element, (batch * tokens, heads, width / heads), whole)?, &[&x, &logits])
}

/// GELU in its tanh form.
pub(crate) fn gelu(x: &Tensor) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x]) else { return Ok(None) };
    let x = x.contiguous()?;
    same_shape(&gate::gelu(element, x.elem_count(), aligned(&[&x]))?, &[&x])
}

/// Pixel norm and SiLU over the last dimension.
pub(crate) fn pixel_norm(x: &Tensor, eps: f64) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x]) else { return Ok(None) };
    let x = x.contiguous()?;
    let Some(channels) = x.dims().last().copied() else { return Ok(None) };
    let pixels = Pixels { positions: x.elem_count() / channels, channels, padded: channels };
    same_shape(&pixels::pixel_norm(element, pixels, Some(eps as f32), aligned(&[&x]))?, &[&x])
}

/// Overwrites `target` with a tensor of the same shape and dtype, by a kernel, which a recording can repeat.
pub(crate) fn write_into(source: &Tensor, target: &Tensor) -> Result<()> {
    let alike = source.dims() == target.dims() && target.is_contiguous();
    let Some(element) = element(&[source, target]).filter(|_| alike) else {
        return Err(Error::msg("write: tensors are not alike, or of a dtype without kernels"));
    };
    let (source, width) = (source.contiguous()?, source.dims().last().copied().unwrap_or(1));
    let pixels = Pixels { positions: source.elem_count() / width, channels: width, padded: width };
    let aligned = aligned(&[&source, target]);
    run(&pixels::pixel_norm(element, pixels, None, aligned)?, &[&source], &[target])
}

/// Attention in bf16 without a mask.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Option<Tensor>> {
    if element(&[q, k, v]) != Some(Element::Bf16) || shape.heads == 0 || shape.kv_heads == 0 {
        return Ok(None);
    }
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let ((batch, queries, width), keys) = (q.dims3()?, k.dim(1)?);
    let sizes = attend::Sizes { batch, queries, keys, head_dim: width / shape.heads };
    let fits = width.is_multiple_of(shape.heads)
        && k.dims() == [batch, keys, shape.kv_heads * sizes.head_dim]
        && v.dims() == k.dims()
        && aligned(&[&q, &k, &v]);
    if !fits || !attend::supports(sizes, shape) {
        return Ok(None);
    }
    same_shape(&attend::attention(Generation::of(q.device())?, sizes, shape)?, &[&q, &k, &v])
}

/// A convolution's weight `[O, I, kt, kh, kw]` and bias `[O]` as the kernel reads them, `[taps, O, I with zeros behind]` and `[O]`,
/// outputs ordered (time, row, column of the unfolding, channel); made once.
pub(crate) fn arranged(weight: &Tensor, bias: &Tensor, unfold: [usize; 3]) -> Result<Option<(Tensor, Tensor)>> {
    if element(&[weight, bias]) != Some(Element::Bf16) {
        return Ok(None);
    }
    arrange(weight, bias, unfold.iter().product()).map(Some)
}

/// The same on any device.
pub(super) fn arrange(weight: &Tensor, bias: &Tensor, folded: usize) -> Result<(Tensor, Tensor)> {
    let (outputs, inputs, kt, kh, kw) = weight.dims5()?;
    let channels = outputs / folded;
    let by_tap = weight.reshape((channels, folded, inputs, kt * kh * kw))?.permute((3, 1, 0, 2))?.contiguous()?;
    let by_tap = by_tap.reshape((kt * kh * kw, outputs, inputs))?.pad_with_zeros(2, 0, padded(inputs) - inputs)?;
    let bias = bias.reshape((channels, folded))?.t()?.contiguous()?.reshape(outputs)?;
    Ok((by_tap.contiguous()?, bias))
}

/// A convolution in bf16, behind its norm: `[B, F, H, W, I]` → `[B, F', H', W', O']`, unfolded. Where there is a `sum`, the result is
/// added to it, in its memory, which nothing else may hold.
pub(crate) fn conv3d(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    config: &Conv3dConfig,
    sum: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    let all: Vec<_> = [x, weight, bias].into_iter().chain(sum).collect();
    if element(&all) != Some(Element::Bf16) {
        return Ok(None);
    }
    let x = x.contiguous()?;
    let (samples, frames, height, width, channels) = x.dims5()?;
    let Conv3dConfig { inputs, outputs, kernel, time, norm, unfold } = *config;
    let sizes = convolve::Sizes { samples, volume: [frames, height, width], inputs, outputs, kernel, unfold };
    let taps = kernel.iter().product::<usize>();
    let fits = channels == inputs
        && weight.dims() == [taps, outputs, padded(inputs)]
        && bias.dims() == [outputs]
        && sum.is_none_or(|sum| sum.dims() == sizes.result() && sum.is_contiguous());
    if !fits {
        return Ok(None);
    }
    // What is whole packs already and has no norm in front is read where it lies.
    let read = if norm.is_some() || padded(inputs) != inputs || !aligned(&[&x]) {
        let pixels = Pixels { positions: samples * frames * height * width, channels, padded: padded(inputs) };
        let read = empty(&[samples, frames, height, width, padded(inputs)], &x, DType::BF16)?;
        let launch = pixels::pixel_norm(Element::Bf16, pixels, norm.map(|eps| eps as f32), aligned(&[&x]))?;
        run(&launch, &[&x], &[&read])?;
        read
    } else {
        x
    };
    let out = match sum {
        Some(sum) => sum.clone(),
        None => empty(&sizes.result(), &read, DType::BF16)?,
    };
    let launch = convolve::conv3d(Generation::of(out.device())?, sizes, time, sum.is_some(), aligned(&[bias, &out]))?;
    run(&launch, &[&read, weight, bias], &[&out])?;
    Ok(Some(out))
}

/// `x Wᵀ + b`, then GELU if asked for, in bf16: `x [rows, inputs]`, `weight [outputs, inputs]` → `[rows, outputs]`.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Option<Tensor>> {
    let all: Vec<_> = [x, weight].into_iter().chain(bias).collect();
    if element(&all) != Some(Element::Bf16) {
        return Ok(None);
    }
    let x = x.contiguous()?;
    let out = empty(&[x.dim(0)?, weight.dim(0)?], &x, DType::BF16)?;
    let product = Product { x: &x, weight: &weight.contiguous()?, bias, gelu, scales: None };
    Ok(product.perform(&out)?.then_some(out))
}

/// A matrix of 8-bit floats on a GPU.
#[derive(Debug, Clone)]
pub(crate) struct Fp8 {
    /// `[outputs, inputs]`, bytes.
    bytes: Tensor,
    scale: f32,
    /// The same on the device.
    scale_there: Tensor,
}

impl Fp8 {
    /// Of bytes of a matrix `[outputs, inputs]` and their scale, here and on the device.
    pub(crate) fn new(bytes: Tensor, scale: f32, scale_there: Tensor) -> Self {
        Self { bytes, scale, scale_there }
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
    pub(crate) fn product(&self, x: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
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
            let scales = Some((&scale, &self.scale_there));
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
