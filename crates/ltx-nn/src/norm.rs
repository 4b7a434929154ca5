//! Normalisations. Statistics are computed in f32 whatever the dtype.
//!
//! Must not know where in a block they sit.

use crate::{Result, RopeTable, Vb, kernels, profile};
use candle_core::{D, DType, Tensor};

/// RMS normalisation over the last dimension, with a learned weight. Source: Zhang & Sennrich, “Root Mean Square Layer
/// Normalization” (2019).
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Reads `weight [dim]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, dim: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: vb.tensor("weight", [dim])?, eps })
    }

    /// Reads `weight [dim]` and adds 1, as Gemma stores it.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load_plus_one(vb: &Vb, dim: usize, eps: f64) -> Result<Self> {
        let weight = (vb.tensor("weight", [dim])?.to_dtype(DType::F32)? + 1.0)?;
        Ok(Self { weight: weight.to_dtype(vb.compute().dtype)?, eps })
    }

    /// # Shapes
    /// `[.., dim]` → the same.
    ///
    /// # Errors
    /// The last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        profile::timed("norm", || 0, || weighted(x, &self.weight, self.eps))
    }

    /// The norm over all heads of a token together, then their rotation.
    ///
    /// # Shapes
    /// `[B, T, heads · head_dim]` → the same.
    ///
    /// # Errors
    /// The sizes do not fit the weight or the table.
    pub fn forward_rotated(&self, x: &Tensor, rope: &RopeTable, heads: usize) -> Result<Tensor> {
        let norm = (&self.weight, self.eps);
        match profile::timed("norm and rope", || 0, || rope.apply_on_gpu(x, heads, Some(norm)))? {
            Some(y) => Ok(y),
            None => rope.apply(&self.forward(x)?, heads),
        }
    }
}

fn weighted(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return Ok(x.contiguous()?.apply_op2_no_bwd(weight, &kernels::RmsNorm { eps: eps as f32 })?);
    }
    match kernels::cuda::rms_norm(x, Some(weight), eps)? {
        Some(y) => Ok(y),
        None => Ok(candle_nn::ops::rms_norm(&x.contiguous()?, weight, eps as f32)?),
    }
}

/// RMS normalisation over the last dimension without a weight.
///
/// # Shapes
/// `[.., dim]` → the same.
///
/// # Errors
/// A tensor operation failed.
pub fn rms_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    if let Some(y) = profile::timed("norm", || 0, || kernels::cuda::rms_norm(x, None, eps))? {
        return Ok(y);
    }
    let ones = Tensor::ones(x.dim(D::Minus1)?, x.dtype(), x.device())?;
    profile::timed("norm", || 0, || weighted(x, &ones, eps))
}

#[cfg(test)]
pub(crate) fn rms_norm_formula(x: &Tensor, eps: f64) -> Result<Tensor> {
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    Ok(x.broadcast_div(&rms)?)
}

/// Layer normalisation over the last dimension without weight or bias.
///
/// # Shapes
/// `[.., dim]` → the same.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn layer_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    let dim = x.dim(D::Minus1)?;
    let ones = Tensor::ones(dim, x.dtype(), x.device())?;
    let zeros = Tensor::zeros(dim, x.dtype(), x.device())?;
    Ok(candle_nn::ops::layer_norm(&x.contiguous()?, &ones, &zeros, eps as f32)?)
}

/// RMS normalisation over the channels of every location, `x / sqrt(mean_c(x²) + eps)`, then SiLU if asked for.
///
/// # Shapes
/// `[B, C, F, H, W]` → the same.
///
/// # Errors
/// A tensor operation failed.
pub fn pixel_norm(x: &Tensor, eps: f64, silu: bool) -> Result<Tensor> {
    profile::timed("pixel norm", || 0, || pixel_norm_dispatch(x, eps, silu))
}

fn pixel_norm_dispatch(x: &Tensor, eps: f64, silu: bool) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return Ok(x.contiguous()?.apply_op1_no_bwd(&kernels::PixelNorm { eps: eps as f32, silu })?);
    }
    if let Some(y) = kernels::cuda::pixel_norm(x, eps, silu)? {
        return Ok(y);
    }
    let wide = x.to_dtype(DType::F32)?;
    let rms = (wide.sqr()?.mean_keepdim(1)? + eps)?.sqrt()?;
    let y = wide.broadcast_div(&rms)?.to_dtype(x.dtype())?;
    Ok(if silu { y.silu()? } else { y })
}

/// Group normalisation over channels and all positions. Source: Wu & He, “Group Normalization” (2018).
#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Reads `weight [channels]` and `bias [channels]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, channels: usize, groups: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: vb.tensor("weight", [channels])?, bias: vb.tensor("bias", [channels])?, groups, eps })
    }

    /// # Shapes
    /// `[B, C, F, H, W]` → the same. Means are taken per channel first, which keeps f32 sums short.
    ///
    /// # Errors
    /// The channels do not divide into the groups.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, c, f, h, w) = x.dims5()?;
        let grouped = x.to_dtype(DType::F32)?.reshape((b, self.groups, c / self.groups, f * h * w))?;
        let mean = |t: &Tensor| t.mean_keepdim(3)?.mean_keepdim(2);
        let centred = grouped.broadcast_sub(&mean(&grouped)?)?;
        let deviation = (mean(&centred.sqr()?)? + self.eps)?.sqrt()?;
        let y = centred.broadcast_div(&deviation)?.reshape((b, c, f, h, w))?.to_dtype(x.dtype())?;
        let per_channel = |t: &Tensor| t.reshape((1, c, 1, 1, 1));
        Ok(y.broadcast_mul(&per_channel(&self.weight)?)?.broadcast_add(&per_channel(&self.bias)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rms_norm_kernel_equals_the_formula() -> Result<()> {
        for (rows, width) in [(1, 1), (3, 37), (40, 512)] {
            let x = Tensor::randn(0f32, 2f32, (2, rows, width), &Device::Cpu)?;
            let weight = Tensor::randn(1f32, 0.1f32, width, &Device::Cpu)?;
            let expected = rms_norm_formula(&x, 1e-6)?.broadcast_mul(&weight)?;
            let found = RmsNorm { weight, eps: 1e-6 }.forward(&x)?;
            let error = crate::relative_l2(&found, &expected).unwrap();
            assert!(error < 1e-6, "{rows}x{width}: {error:.1e}");
        }
        Ok(())
    }

    #[test]
    fn pixel_norm_kernel_equals_the_formula() -> Result<()> {
        let x = Tensor::randn(0f32, 1f32, (2, 7, 3, 5, 6), &Device::Cpu)?;
        let rms = (x.sqr()?.mean_keepdim(1)? + 1e-8)?.sqrt()?;
        let expected = x.broadcast_div(&rms)?;
        for (silu, expected) in [(false, expected.clone()), (true, expected.silu()?)] {
            let error = (pixel_norm(&x, 1e-8, silu)? - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error < 2e-6, "silu {silu}: {error}");
        }
        Ok(())
    }
}
