//! What kernels have to yield, as plain formulas over f32 tensors on the CPU; attention and convolution by the CPU's own kernels,
//! which `ltx-nn` holds against their formulas.
//!
//! Must not know launches.

use super::dispatch::ModulationTensors;
use crate::{
    AttentionShape, Conv3dConfig, Level, Normalize, ShiftScale,
    cpu::{self, AttentionSizes, PackedConv},
};
use candle_core::{D, DType, Device, Result, Tensor};

/// `‖found − expected‖ / ‖expected‖`; infinite where a value is not finite.
pub(super) fn relative_l2(found: &Tensor, expected: &Tensor) -> Result<f64> {
    assert_eq!(found.dims(), expected.dims());
    let values = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (found, expected) = (values(found)?, values(expected)?);
    let error: f64 = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum();
    let size: f64 = expected.iter().map(|e| e * e).sum();
    Ok(match (error, size) {
        (0.0, _) => 0.0,
        (error, size) if error.is_finite() && size > 0.0 => (error / size).sqrt(),
        _ => f64::INFINITY,
    })
}

pub(super) fn rms_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?)
}

pub(super) fn pixel_norm_silu(x: &Tensor, eps: f64) -> Result<Tensor> {
    rms_norm(x, eps)?.silu()
}

/// One row of every token, `[1, tokens or 1, D]`.
fn row(by: &ModulationTensors<'_>, row: usize) -> Result<Tensor> {
    let per_value = by.rows.narrow(1, row, 1)?.squeeze(1)?.contiguous()?;
    match by.index {
        Some(index) => per_value.index_select(index, 0)?.unsqueeze(0),
        None => per_value.narrow(0, 0, 1)?.unsqueeze(0),
    }
}

pub(super) fn norm_modulate(
    x: &Tensor,
    by: &ModulationTensors<'_>,
    rows: ShiftScale,
    normalize: Normalize,
    eps: f64,
) -> Result<Tensor> {
    let normed = match normalize {
        Normalize::Rms => rms_norm(x, eps)?,
        Normalize::Layer => rms_norm(&x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?, eps)?,
        Normalize::Not => x.clone(),
    };
    normed.broadcast_mul(&(row(by, rows.scale)? + 1.0)?)?.broadcast_add(&row(by, rows.shift)?)
}

pub(super) fn gated_residual(x: &Tensor, y: &Tensor, by: &ModulationTensors<'_>, gate: usize) -> Result<Tensor> {
    x + y.broadcast_mul(&row(by, gate)?)?
}

pub(super) fn gate_heads(x: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let ((b, t, inner), heads) = (x.dims3()?, logits.dim(2)?);
    let gates = (((logits.neg()?.exp()? + 1.0)?.recip())? * 2.0)?;
    x.reshape((b, t, heads, inner / heads))?.broadcast_mul(&gates.unsqueeze(3)?)?.reshape((b, t, inner))
}

/// `x [B, T, heads · head_dim]` by `cos` and `sin` `[T, heads or 1, head_dim / 2]`.
pub(super) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, t, inner) = x.dims3()?;
    let half = inner / heads / 2;
    let x = x.reshape((b, t, heads, 2 * half))?;
    let (first, second) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
    let (cos, sin) = (cos.unsqueeze(0)?, sin.unsqueeze(0)?);
    let rotated_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let rotated_second = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
    Tensor::cat(&[rotated_first, rotated_second], 3)?.reshape((b, t, inner))
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    let ((batch, queries, width), keys) = (q.dims3()?, k.dim(1)?);
    let (values, mut out) = ([values(q)?, values(k)?, values(v)?], vec![0f32; q.elem_count()]);
    let kernel = cpu::Attention { level: Level::PORTABLE, shape: *shape };
    kernel.compute(AttentionSizes { batch, queries, keys, width }, values.each_ref().map(Vec::as_slice), &mut out)?;
    Tensor::from_vec(out, q.shape(), &Device::Cpu)
}

/// `weight [outputs, inputs, kt, kh, kw]`, as it is stored.
pub(super) fn conv3d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: &Conv3dConfig) -> Result<Tensor> {
    let (batch, frames, height, width, _) = x.dims5()?;
    let packed = PackedConv::new(&values(weight)?, &values(bias)?, config).expect("sizes that fit");
    let [f, h, w, channels] = config.result([frames, height, width]);
    let mut out = vec![0f32; batch * f * h * w * channels];
    let norm = config.norm.map(|eps| eps as f32);
    let kernel = cpu::Conv3d { level: Level::PORTABLE, packed: &packed, time: config.time, norm, affine: None };
    kernel.compute(&values(x)?, [batch, frames, height, width], &mut out, false)?;
    Tensor::from_vec(out, (batch, f, h, w, channels), &Device::Cpu)
}
