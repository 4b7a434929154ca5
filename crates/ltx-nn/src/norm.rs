//! Normalisations. Statistics are computed in f32 whatever the dtype.
//!
//! Must not know where in a block they sit.

use crate::{
    Level, NnError, Result, RopeTable, Vb,
    kernels::{cuda, with_values, written},
    profile,
};
use candle_core::{D, DType, Tensor};
use ltx_kernels::cpu;

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
        let (x, level, eps) = (x.contiguous()?, Level::current(), eps as f32);
        return with_values([&x, weight], |[values, weight]| {
            let kernel = cpu::RmsNorm { level, eps, weight };
            Ok::<_, NnError>(written(x.shape(), |out| kernel.compute(values, out))?)
        });
    }
    match cuda::rms_norm(x, Some(weight), eps)? {
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
    if let Some(y) = profile::timed("norm", || 0, || Ok::<_, NnError>(cuda::rms_norm(x, None, eps)?))? {
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

/// RMS normalisation over the channels of every position, `x / sqrt(mean_c(x²) + eps)`, then SiLU; the plain formula but on
/// a GPU. On the CPU it is part of the convolution behind it.
///
/// # Shapes
/// `[.., C]` → the same.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn pixel_norm_silu(x: &Tensor, eps: f64) -> Result<Tensor> {
    if let Some(y) = cuda::pixel_norm(x, eps)? {
        return Ok(y);
    }
    let wide = x.to_dtype(DType::F32)?;
    let rms = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    Ok(wide.broadcast_div(&rms)?.to_dtype(x.dtype())?.silu()?)
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
    /// `[B, F, H, W, C]` → the same; then SiLU if asked for.
    ///
    /// # Errors
    /// The channels do not divide into the groups.
    pub fn forward(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        profile::timed(
            "group norm",
            || 0,
            || {
                if x.device().is_cpu() && x.dtype() == DType::F32 {
                    let (x, level, batch) = (x.contiguous()?, Level::current(), x.dim(0)?);
                    return with_values([&x, &self.weight, &self.bias], |[values, weight, bias]| {
                        let Self { groups, eps, .. } = *self;
                        let kernel = cpu::GroupNorm { level, groups, eps, silu, weight, bias };
                        Ok::<_, NnError>(written(x.shape(), |out| kernel.compute(values, batch, out))?)
                    });
                }
                let y = self.forward_formula(x)?;
                Ok(if silu { y.silu()? } else { y })
            },
        )
    }

    /// The plain formula on any device. Means are taken per channel first, which keeps f32 sums short.
    fn forward_formula(&self, x: &Tensor) -> Result<Tensor> {
        let (b, f, h, w, c) = x.dims5()?;
        let grouped = x.to_dtype(DType::F32)?.reshape((b, f * h * w, self.groups, c / self.groups))?;
        let mean = |t: &Tensor| t.mean_keepdim(1)?.mean_keepdim(3);
        let centred = grouped.broadcast_sub(&mean(&grouped)?)?;
        let deviation = (mean(&centred.sqr()?)? + self.eps)?.sqrt()?;
        let y = centred.broadcast_div(&deviation)?.reshape((b, f, h, w, c))?.to_dtype(x.dtype())?;
        Ok(y.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn kernels_equal_the_formulas_on_every_level() {
        crate::Level::on_each(|_| rms_norm_kernel_equals_the_formula().unwrap());
        crate::Level::on_each(|_| group_norm_kernel_equals_the_formula().unwrap());
    }

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

    fn group_norm_kernel_equals_the_formula() -> Result<()> {
        for (frames, height, width, groups, channels) in [(1, 1, 1, 2, 8), (3, 5, 7, 32, 64), (2, 9, 11, 5, 35)] {
            let x = Tensor::randn(3f32, 2f32, (2, frames, height, width, channels), &Device::Cpu)?;
            let random = |mean| Tensor::randn(mean, 0.1f32, channels, &Device::Cpu);
            let norm = GroupNorm { weight: random(1.0)?, bias: random(0.0)?, groups, eps: 1e-5 };
            let expected = norm.forward_formula(&x)?;
            for (silu, expected) in [(false, expected.clone()), (true, expected.silu()?)] {
                let error = crate::relative_l2(&norm.forward(&x, silu)?, &expected).unwrap();
                assert!(error < 2e-6, "{frames}x{height}x{width} {groups} {channels} {silu}: {error:.1e}");
            }
        }
        Ok(())
    }
}
