//! From tensors to launches. Every function answers `None` where no kernel takes the call over (not on a GPU, a dtype or sizes
//! that there is no kernel for, nothing to compute); the layer then computes its plain formula.
//!
//! Must not know layers' weights by name.

use super::{
    attention as attend, conv3d as convolve,
    device::{Product, empty, run},
    gate,
    generation::Generation,
    launch::{Element, Launch},
    norm::{self, Rows, Table},
    pixel_norm::{self as pixels, Pixels, padded},
    rope,
};
use crate::{AttentionShape, Conv3dConfig, CudaKernels, Normalize, ShiftScale};
use candle_core::{DType, Error, Result, Tensor};

/// The element if all tensors are on a GPU in one dtype that kernels exist for, and hold values.
fn element(tensors: &[&Tensor]) -> Option<Element> {
    let first = tensors.first()?;
    let alike = |t: &&Tensor| t.device().is_cuda() && t.dtype() == first.dtype() && t.elem_count() > 0;
    if tensors.iter().all(alike) { Element::of(first.dtype()) } else { None }
}

/// Whether every tensor begins at an address that is a multiple of 16 bytes; allocations do.
pub(super) fn aligned(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| (t.layout().start_offset() * t.dtype().size_in_bytes()).is_multiple_of(16))
}

/// Launches into a new tensor of the first input's shape and dtype.
fn same_shape(launch: &Launch, inputs: &[&Tensor]) -> Result<Option<Tensor>> {
    let out = empty(inputs[0].dims(), inputs[0], inputs[0].dtype())?;
    run(launch, inputs, &[&out])?;
    Ok(Some(out))
}

/// A modulation on the device.
#[derive(Debug, Clone, Copy)]
pub struct ModulationTensors<'a> {
    /// `[values, rows, D]`, contiguous.
    pub rows: &'a Tensor,
    /// The value of each token, `[tokens]`, u32; without it all tokens have the first.
    pub index: Option<&'a Tensor>,
}

impl<'a> ModulationTensors<'a> {
    /// Table and index as launches take them; where there is no index, the table stands in for it.
    fn table(&self, tokens: usize) -> (Table, &'a Tensor) {
        let table = Table { tokens, count: self.rows.dims()[1], indexed: self.index.is_some() };
        (table, self.index.unwrap_or(self.rows))
    }
}

/// `rms_norm(x)`, `layer_norm(x)` or `x`, then `(1 + scale) + shift`; sizes fit each other.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn norm_modulate(
    x: &Tensor,
    by: &ModulationTensors<'_>,
    ShiftScale { shift, scale }: ShiftScale,
    normalize: Normalize,
    eps: f64,
) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x, by.rows]) else { return Ok(None) };
    let (x, (batch, tokens, width)) = (x.contiguous()?, x.dims3()?);
    let (table, index) = by.table(tokens);
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&x, by.rows]);
    let rows = Rows { rows: batch * tokens, width, whole };
    let launch = norm::norm_modulate(element, rows, (table, [shift, scale]), normalize, eps as f32)?;
    same_shape(&launch, &[&x, by.rows, index])
}

/// `rows [values, n, D]` and a table `[n, D]` added to each value's.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn add_table(rows: &Tensor, table: &Tensor) -> Result<Option<Tensor>> {
    let Some(element) = element(&[rows, table]).filter(|_| rows.dims().get(1..) == Some(table.dims())) else {
        return Ok(None);
    };
    let (rows, table, width) = (rows.contiguous()?, table.contiguous()?, table.elem_count());
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&rows, &table]);
    same_shape(&norm::add_table(element, Rows { rows: rows.dims()[0], width, whole })?, &[&rows, &table])
}

/// RMS norm over the last dimension, with a weight or without.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn rms_norm(x: &Tensor, weight: Option<&Tensor>, eps: f64) -> Result<Option<Tensor>> {
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
pub struct NormedRope<'a> {
    /// Cosines, `[T, heads or 1, head_dim / 2]`, f32.
    pub cos: &'a Tensor,
    /// Sines, in the same order.
    pub sin: &'a Tensor,
    /// Heads of the sequence.
    pub heads: usize,
    /// Weight and epsilon of an RMS norm over all heads together.
    pub norm: Option<(&'a Tensor, f64)>,
}

/// `rope(rms_norm(x) · weight)` of `x [B, T, heads · head_dim]`.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn norm_rope(x: &Tensor, by: &NormedRope<'_>) -> Result<Option<Tensor>> {
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
    let whole = half.is_multiple_of(element.pack()) && aligned(&[&x, &weight, &cos, &sin]);
    let heads = rope::Heads { rows: batch * tokens, tokens, heads: by.heads, half, table_heads, whole };
    let launch = rope::norm_rope(element, heads, by.norm.map(|(_, eps)| eps as f32))?;
    same_shape(&launch, &[&x, &weight, &cos, &sin])
}

/// `x + y · gate`; the modulation fits `x`.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn gated_residual(x: &Tensor, y: &Tensor, by: &ModulationTensors<'_>, gate: usize) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x, y, by.rows]).filter(|_| x.dims() == y.dims()) else { return Ok(None) };
    let (x, y, (batch, tokens, width)) = (x.contiguous()?, y.contiguous()?, x.dims3()?);
    let (table, index) = by.table(tokens);
    let whole = width.is_multiple_of(element.pack()) && aligned(&[&x, &y, by.rows]);
    let rows = Rows { rows: batch * tokens, width, whole };
    same_shape(&gate::gated_residual(element, rows, (table, gate))?, &[&x, &y, by.rows, index])
}

/// `x · 2σ(logits)`, a gate per head.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn gate_heads(x: &Tensor, logits: &Tensor) -> Result<Option<Tensor>> {
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
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn gelu(x: &Tensor) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x]) else { return Ok(None) };
    let x = x.contiguous()?;
    same_shape(&gate::gelu(element, x.elem_count(), aligned(&[&x]))?, &[&x])
}

/// Pixel norm and SiLU over the last dimension.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn pixel_norm(x: &Tensor, eps: f64) -> Result<Option<Tensor>> {
    let Some(element) = element(&[x]) else { return Ok(None) };
    let x = x.contiguous()?;
    let Some(channels) = x.dims().last().copied() else { return Ok(None) };
    let pixels = Pixels { positions: x.elem_count() / channels, channels, padded: channels };
    same_shape(&pixels::pixel_norm(element, pixels, Some(eps as f32), aligned(&[&x]))?, &[&x])
}

/// Overwrites `target` with a tensor of the same shape and dtype, by a kernel, which a recording can repeat.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn write_into(source: &Tensor, target: &Tensor) -> Result<()> {
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
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn attention([q, k, v]: [&Tensor; 3], shape: &AttentionShape, kernels: CudaKernels) -> Result<Option<Tensor>> {
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
    same_shape(&attend::attention(Generation::of(q.device(), kernels)?, sizes, shape)?, &[&q, &k, &v])
}

/// A convolution's weight `[O, I, kt, kh, kw]` and bias `[O]` as the kernel reads them, `[taps, O, I with zeros behind]` and `[O]`,
/// outputs ordered (time, row, column of the unfolding, channel); made once.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn arranged(weight: &Tensor, bias: &Tensor, unfold: [usize; 3]) -> Result<Option<(Tensor, Tensor)>> {
    if element(&[weight, bias]) != Some(Element::Bf16) {
        return Ok(None);
    }
    arrange(weight, bias, unfold.iter().product()).map(Some)
}

/// [`arranged`] without asking whether a kernel reads it, on any device; `folded` is the product of the unfolding's factors.
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
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn conv3d(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    config: &Conv3dConfig,
    sum: Option<&Tensor>,
    kernels: CudaKernels,
) -> Result<Option<Tensor>> {
    let all: Vec<_> = [x, weight, bias].into_iter().chain(sum).collect();
    if element(&all) != Some(Element::Bf16) {
        return Ok(None);
    }
    let x = x.contiguous()?;
    let (samples, frames, height, width, channels) = x.dims5()?;
    let Conv3dConfig { inputs, outputs, kernel, time, norm, unfold, reflects } = *config;
    let sizes = convolve::Sizes { samples, volume: [frames, height, width], inputs, outputs, kernel, unfold };
    let taps = kernel.iter().product::<usize>();
    let fits = channels == inputs
        // What lies beyond the sides is zero here; whoever reflects it brings it along.
        && !reflects
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
    let launch =
        convolve::conv3d(Generation::of(out.device(), kernels)?, sizes, time, sum.is_some(), aligned(&[bias, &out]))?;
    run(&launch, &[&read, weight, bias], &[&out])?;
    Ok(Some(out))
}

/// `x Wᵀ + b`, then GELU if asked for, in bf16: `x [rows, inputs]`, `weight [outputs, inputs]` → `[rows, outputs]`.
///
/// # Errors
/// Sizes do not fit the launch, or the GPU failed.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Option<Tensor>> {
    let all: Vec<_> = [x, weight].into_iter().chain(bias).collect();
    if element(&all) != Some(Element::Bf16) {
        return Ok(None);
    }
    let x = x.contiguous()?;
    let out = empty(&[x.dim(0)?, weight.dim(0)?], &x, DType::BF16)?;
    let product = Product { x: &x, weight: &weight.contiguous()?, bias, gelu, scales: None };
    Ok(product.perform(&out)?.then_some(out))
}
