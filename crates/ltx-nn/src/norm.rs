//! Normalisations. Statistics are computed in f32 whatever the dtype.
//!
//! Must not know where in a block they sit.

use crate::{
    KernelChoice, Result, RopeTable, Vb,
    ops::{OnCpu, Op, perform, unmeasured},
    profile,
};
use candle_core::{D, DType, Tensor};
use ltx_kernels::{CudaKernels, Level, cpu, cuda};

/// RMS normalisation over the last dimension, with a learned weight. Source: Zhang & Sennrich, “Root Mean Square Layer
/// Normalization” (2019).
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
    kernels: KernelChoice,
}

impl RmsNorm {
    /// Reads `weight [dim]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, dim: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: vb.tensor("weight", [dim])?, eps, kernels: vb.compute().kernels })
    }

    /// Reads `weight [dim]` and adds 1, as Gemma stores it.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load_plus_one(vb: &Vb, dim: usize, eps: f64) -> Result<Self> {
        let weight = (vb.tensor("weight", [dim])?.to_dtype(DType::F32)? + 1.0)?;
        let compute = vb.compute();
        Ok(Self { weight: weight.to_dtype(compute.dtype)?, eps, kernels: compute.kernels })
    }

    /// # Shapes
    /// `[.., dim]` → the same.
    ///
    /// # Errors
    /// The last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        perform(&RootMeanSquare { x, weight: Some(&self.weight), eps: self.eps }, self.kernels)
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
        match profile::timed("norm and rope", || 0, || rope.after_norm(x, heads, norm))? {
            Some(y) => Ok(y),
            None => rope.apply(&self.forward(x)?, heads),
        }
    }
}

/// RMS normalisation over the last dimension without a weight.
///
/// # Shapes
/// `[.., dim]` → the same.
///
/// # Errors
/// A tensor operation failed.
pub fn rms_norm(x: &Tensor, eps: f64, kernels: KernelChoice) -> Result<Tensor> {
    perform(&RootMeanSquare { x, weight: None, eps }, kernels)
}

/// RMS normalisation, with a weight or without.
struct RootMeanSquare<'a> {
    x: &'a Tensor,
    weight: Option<&'a Tensor>,
    eps: f64,
}

impl Op<2> for RootMeanSquare<'_> {
    const NAME: &'static str = "norm";
    const ON_CPU: OnCpu<Self, 2> = OnCpu::F32(Self::kernel);

    /// Where there is no weight, the input stands in for it.
    fn inputs(&self) -> [&Tensor; 2] {
        [self.x, self.weight.unwrap_or(self.x)]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::rms_norm(self.x, self.weight, self.eps)
    }

    fn formula(&self) -> Result<Tensor> {
        plain_rms_norm(self.x, self.weight, self.eps)
    }
}

impl RootMeanSquare<'_> {
    fn kernel(&self, level: Level, [x, weight]: [&[f32]; 2], out: &mut [f32]) -> Result<()> {
        let (width, weight) = (self.x.dim(D::Minus1)?, self.weight.map(|_| weight));
        Ok(cpu::RmsNorm { level, eps: self.eps as f32, width, weight }.compute(x, out)?)
    }
}

/// The formula of an RMS norm; without a weight, of one of ones.
pub(crate) fn plain_rms_norm(x: &Tensor, weight: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let weight = match weight {
        Some(weight) => weight.clone(),
        None => Tensor::ones(x.dim(D::Minus1)?, x.dtype(), x.device())?,
    };
    Ok(candle_nn::ops::rms_norm(&x.contiguous()?, &weight, eps as f32)?)
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
pub(crate) fn pixel_norm_silu(x: &Tensor, eps: f64, kernels: KernelChoice) -> Result<Tensor> {
    unmeasured(&PixelNormSilu { x, eps }, kernels)
}

/// The same with `x · rows[1] + rows[0]` before SiLU, by the plain formula: in f32 whatever the dtype.
///
/// # Shapes
/// `x [.., C]`, `rows [2, C]`, f32 → as `x`.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn pixel_norm_modulate_silu(x: &Tensor, eps: f64, rows: &Tensor) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let rms = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let normed = wide.broadcast_div(&rms)?;
    let modulated = normed.broadcast_mul(&rows.get(1)?)?.broadcast_add(&rows.get(0)?)?;
    Ok(modulated.silu()?.to_dtype(x.dtype())?)
}

struct PixelNormSilu<'a> {
    x: &'a Tensor,
    eps: f64,
}

impl Op<1> for PixelNormSilu<'_> {
    const NAME: &'static str = "pixel norm";
    const ON_CPU: OnCpu<Self, 1> = OnCpu::Formula;

    fn inputs(&self) -> [&Tensor; 1] {
        [self.x]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::pixel_norm(self.x, self.eps)
    }

    fn formula(&self) -> Result<Tensor> {
        let wide = self.x.to_dtype(DType::F32)?;
        let rms = (wide.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        Ok(wide.broadcast_div(&rms)?.to_dtype(self.x.dtype())?.silu()?)
    }
}

/// Group normalisation over channels and all positions. Source: Wu & He, “Group Normalization” (2018).
#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
    kernels: KernelChoice,
}

impl GroupNorm {
    /// Reads `weight [channels]` and `bias [channels]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, channels: usize, groups: usize, eps: f64) -> Result<Self> {
        let (weight, bias) = (vb.tensor("weight", [channels])?, vb.tensor("bias", [channels])?);
        Ok(Self { weight, bias, groups, eps, kernels: vb.compute().kernels })
    }

    /// # Shapes
    /// `[B, F, H, W, C]` → the same; then SiLU if asked for.
    ///
    /// # Errors
    /// The channels do not divide into the groups.
    pub fn forward(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        perform(&Grouped { x, norm: self, silu }, self.kernels)
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

struct Grouped<'a> {
    x: &'a Tensor,
    norm: &'a GroupNorm,
    silu: bool,
}

impl Op<3> for Grouped<'_> {
    const NAME: &'static str = "group norm";
    const ON_CPU: OnCpu<Self, 3> = OnCpu::F32(Self::kernel);

    fn inputs(&self) -> [&Tensor; 3] {
        [self.x, &self.norm.weight, &self.norm.bias]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        Ok(None)
    }

    fn formula(&self) -> Result<Tensor> {
        let y = self.norm.forward_formula(self.x)?;
        Ok(if self.silu { y.silu()? } else { y })
    }
}

impl Grouped<'_> {
    fn kernel(&self, level: Level, [x, weight, bias]: [&[f32]; 3], out: &mut [f32]) -> Result<()> {
        let (batch, ..) = self.x.dims5()?;
        let GroupNorm { groups, eps, .. } = *self.norm;
        Ok(cpu::GroupNorm { level, groups, eps, silu: self.silu, weight, bias }.compute(x, batch, out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn kernels_equal_the_formulas_on_every_level() {
        for kernels in Level::available().into_iter().map(KernelChoice::at) {
            rms_norm_kernel_equals_the_formula(kernels).unwrap();
            group_norm_kernel_equals_the_formula(kernels).unwrap();
        }
    }

    fn rms_norm_kernel_equals_the_formula(kernels: KernelChoice) -> Result<()> {
        for (rows, width) in [(1, 1), (3, 37), (40, 512)] {
            let x = Tensor::randn(0f32, 2f32, (2, rows, width), &Device::Cpu)?;
            let weight = Tensor::randn(1f32, 0.1f32, width, &Device::Cpu)?;
            let plain = rms_norm_formula(&x, 1e-6)?;
            let weighted = plain.broadcast_mul(&weight)?;
            let norm = RmsNorm { weight, eps: 1e-6, kernels };
            for (found, expected) in [(rms_norm(&x, 1e-6, kernels)?, plain), (norm.forward(&x)?, weighted)] {
                let error = crate::relative_l2(&found, &expected).unwrap();
                assert!(error < 1e-6, "{rows}x{width}: {error:.1e}");
            }
        }
        Ok(())
    }

    fn group_norm_kernel_equals_the_formula(kernels: KernelChoice) -> Result<()> {
        for (frames, height, width, groups, channels) in [(1, 1, 1, 2, 8), (3, 5, 7, 32, 64), (2, 9, 11, 5, 35)] {
            let x = Tensor::randn(3f32, 2f32, (2, frames, height, width, channels), &Device::Cpu)?;
            let random = |mean| Tensor::randn(mean, 0.1f32, channels, &Device::Cpu);
            let norm = GroupNorm { weight: random(1.0)?, bias: random(0.0)?, groups, eps: 1e-5, kernels };
            let expected = norm.forward_formula(&x)?;
            for (silu, expected) in [(false, expected.clone()), (true, expected.silu()?)] {
                let error = crate::relative_l2(&norm.forward(&x, silu)?, &expected).unwrap();
                assert!(error < 2e-6, "{frames}x{height}x{width} {groups} {channels} {silu}: {error:.1e}");
            }
        }
        Ok(())
    }
}
