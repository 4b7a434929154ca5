//! Modulation of a normalised sequence, and the gated way back into the residual stream.
//! Source: Peebles & Xie, “Scalable Diffusion Models with Transformers” (2022).
//!
//! Must not know where shifts, scales and gates come from.

use super::{OnCpu, Op, perform};
use crate::{KernelChoice, Modulation, Result, ShiftScale, norm};
use candle_core::Tensor;
use ltx_kernels::{CudaKernels, Level, Normalize, cpu, cuda};

/// `rms_norm(x) (1 + scale) + shift`.
///
/// # Shapes
/// `x [B, T, D]` → the same.
///
/// # Errors
/// The sizes do not fit each other.
pub fn rms_norm_modulate(
    x: &Tensor,
    by: &Modulation,
    rows: ShiftScale,
    eps: f64,
    kernels: KernelChoice,
) -> Result<Tensor> {
    NormModulate { x, by, rows, normalize: Normalize::Rms, eps }.perform(kernels)
}

/// `layer_norm(x) (1 + scale) + shift`.
///
/// # Shapes
/// As [`rms_norm_modulate`].
///
/// # Errors
/// The sizes do not fit each other.
pub fn layer_norm_modulate(
    x: &Tensor,
    by: &Modulation,
    rows: ShiftScale,
    eps: f64,
    kernels: KernelChoice,
) -> Result<Tensor> {
    NormModulate { x, by, rows, normalize: Normalize::Layer, eps }.perform(kernels)
}

/// `x (1 + scale) + shift`.
///
/// # Shapes
/// As [`rms_norm_modulate`].
///
/// # Errors
/// The sizes do not fit each other.
pub fn modulate(x: &Tensor, by: &Modulation, rows: ShiftScale, kernels: KernelChoice) -> Result<Tensor> {
    NormModulate { x, by, rows, normalize: Normalize::Not, eps: 0.0 }.perform(kernels)
}

struct NormModulate<'a> {
    x: &'a Tensor,
    by: &'a Modulation,
    rows: ShiftScale,
    normalize: Normalize,
    eps: f64,
}

impl Op<2> for NormModulate<'_> {
    const NAME: &'static str = "modulate";
    const ON_CPU: OnCpu<Self, 2> = OnCpu::F32(Self::kernel);

    fn inputs(&self) -> [&Tensor; 2] {
        [self.x, self.by.rows()]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::norm_modulate(self.x, &self.by.on_gpu(), self.rows, self.normalize, self.eps)
    }

    fn formula(&self) -> Result<Tensor> {
        let normed = match self.normalize {
            Normalize::Rms => norm::plain_rms_norm(self.x, None, self.eps)?,
            Normalize::Layer => norm::layer_norm(self.x, self.eps)?,
            Normalize::Not => self.x.clone(),
        };
        modulate_formula(&normed, &self.by.row(self.rows.shift)?, &self.by.row(self.rows.scale)?)
    }
}

impl NormModulate<'_> {
    fn perform(&self, kernels: KernelChoice) -> Result<Tensor> {
        self.by.check(self.x, &[self.rows.shift, self.rows.scale])?;
        perform(self, kernels)
    }

    fn kernel(&self, level: Level, [x, rows]: [&[f32]; 2], out: &mut [f32]) -> Result<()> {
        let Self { normalize, rows: shift_scale, .. } = *self;
        let (by, eps) = (self.by.table(rows)?, self.eps as f32);
        let kernel = cpu::NormModulate { level, eps, normalize, by, rows: shift_scale };
        Ok(kernel.compute(x, self.x.dim(1)?, out)?)
    }
}

fn modulate_formula(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)?)
}

/// `x + y · gate`, the gate a row of the modulation.
///
/// # Shapes
/// `x`, `y` `[B, T, D]` → the same.
///
/// # Errors
/// The sizes do not fit each other.
pub fn gated_residual(x: &Tensor, y: &Tensor, by: &Modulation, gate: usize, kernels: KernelChoice) -> Result<Tensor> {
    by.check(x, &[gate])?;
    perform(&GatedResidual { x, y, by, gate }, kernels)
}

struct GatedResidual<'a> {
    x: &'a Tensor,
    y: &'a Tensor,
    by: &'a Modulation,
    gate: usize,
}

impl Op<3> for GatedResidual<'_> {
    const NAME: &'static str = "gated residual";
    const ON_CPU: OnCpu<Self, 3> = OnCpu::F32(Self::kernel);

    fn inputs(&self) -> [&Tensor; 3] {
        [self.x, self.y, self.by.rows()]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::gated_residual(self.x, self.y, &self.by.on_gpu(), self.gate)
    }

    fn formula(&self) -> Result<Tensor> {
        Ok((self.x + self.y.broadcast_mul(&self.by.row(self.gate)?)?)?)
    }
}

impl GatedResidual<'_> {
    fn kernel(&self, level: Level, [x, y, rows]: [&[f32]; 3], out: &mut [f32]) -> Result<()> {
        let kernel = cpu::GatedResidual { level, by: self.by.table(rows)?, gate: self.gate };
        Ok(kernel.compute(x, y, self.x.dim(1)?, out)?)
    }
}

/// `x · 2σ(logits)`, a gate per head.
///
/// # Shapes
/// `x [B, T, heads · head_dim]`, `logits [B, T, heads]` → `x`'s.
///
/// # Errors
/// The sizes do not fit each other.
pub fn gate_heads(x: &Tensor, logits: &Tensor, kernels: KernelChoice) -> Result<Tensor> {
    perform(&GateHeads { x, logits }, kernels)
}

struct GateHeads<'a> {
    x: &'a Tensor,
    logits: &'a Tensor,
}

impl Op<2> for GateHeads<'_> {
    const NAME: &'static str = "gate heads";
    const ON_CPU: OnCpu<Self, 2> = OnCpu::F32(|_, level, [x, logits], out| Ok(cpu::gate_heads(level, x, logits, out)?));

    fn inputs(&self) -> [&Tensor; 2] {
        [self.x, self.logits]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::gate_heads(self.x, self.logits)
    }

    fn formula(&self) -> Result<Tensor> {
        let ((b, t, inner), heads) = (self.x.dims3()?, self.logits.dim(2)?);
        let gates = (candle_nn::ops::sigmoid(self.logits)? * 2.0)?;
        let gated = self.x.reshape((b, t, heads, inner / heads))?.broadcast_mul(&gates.unsqueeze(3)?)?;
        Ok(gated.reshape((b, t, inner))?)
    }
}

/// GELU in its tanh form. Source: Hendrycks & Gimpel, “Gaussian Error Linear Units” (2016).
///
/// # Shapes
/// Any → the same.
///
/// # Errors
/// A tensor operation failed.
pub fn gelu(x: &Tensor, kernels: KernelChoice) -> Result<Tensor> {
    perform(&Gelu { x }, kernels)
}

struct Gelu<'a> {
    x: &'a Tensor,
}

impl Op<1> for Gelu<'_> {
    const NAME: &'static str = "gelu";
    const ON_CPU: OnCpu<Self, 1> = OnCpu::F32(|_, level, [x], out| Ok(cpu::gelu(level, x, out)?));

    fn inputs(&self) -> [&Tensor; 1] {
        [self.x]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::gelu(self.x)
    }

    fn formula(&self) -> Result<Tensor> {
        Ok(self.x.gelu()?)
    }
}

/// `silu(x) · factor`, the gate of a SwiGLU perceptron.
///
/// # Shapes
/// Any, both alike → the same.
///
/// # Errors
/// The sizes do not fit each other.
pub fn silu_times(x: &Tensor, factor: &Tensor, kernels: KernelChoice) -> Result<Tensor> {
    perform(&SiluTimes { x, factor }, kernels)
}

struct SiluTimes<'a> {
    x: &'a Tensor,
    factor: &'a Tensor,
}

impl Op<2> for SiluTimes<'_> {
    const NAME: &'static str = "silu";
    const ON_CPU: OnCpu<Self, 2> = OnCpu::F32(Self::kernel);

    fn inputs(&self) -> [&Tensor; 2] {
        [self.x, self.factor]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        Ok(None)
    }

    fn formula(&self) -> Result<Tensor> {
        Ok((self.x.silu()? * self.factor)?)
    }
}

impl SiluTimes<'_> {
    fn kernel(&self, level: Level, [x, factor]: [&[f32]; 2], out: &mut [f32]) -> Result<()> {
        Ok(cpu::silu_times(level, x, factor, out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TokenIndex, relative_l2};
    use candle_core::{DType, Device};

    fn randn(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0.3f32, 2f32, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn kernels_equal_the_formulas_on_every_level() {
        for kernels in Level::available().into_iter().map(KernelChoice::at) {
            kernels_equal_the_formulas(kernels).unwrap();
            the_gate_kernel_equals_the_formula(kernels).unwrap();
            gelu_keeps_the_ends(kernels).unwrap();
        }
    }

    fn kernels_equal_the_formulas(kernels: KernelChoice) -> Result<()> {
        const ROWS: ShiftScale = ShiftScale { shift: 2, scale: 0 };
        for (tokens, width) in [(1, 1), (5, 37), (9, 64)] {
            for values in [1, 3] {
                let (x, y) = (randn((2, tokens, width)), randn((2, tokens, width)));
                let numbers = (0..tokens as u32).map(|token| token * 2 % 3).collect();
                let index = (values > 1).then(|| TokenIndex::new(numbers, &Device::Cpu).unwrap());
                let by = Modulation::new(&randn((values, 3, width)), index)?;
                let (shift, scale) = (by.row(ROWS.shift)?, by.row(ROWS.scale)?);
                let close = |found: Tensor, expected: Tensor| {
                    let error = relative_l2(&found, &expected).unwrap();
                    assert!(error < 3e-6, "{tokens}x{width}, {values} values: {error:.2e}");
                };
                let rms = modulate_formula(&norm::rms_norm_formula(&x, 1e-6)?, &shift, &scale)?;
                close(modulate(&x, &by, ROWS, kernels)?, modulate_formula(&x, &shift, &scale)?);
                close(rms_norm_modulate(&x, &by, ROWS, 1e-6, kernels)?, rms);
                if width > 1 {
                    let layer = modulate_formula(&norm::layer_norm(&x, 1e-6)?, &shift, &scale)?;
                    close(layer_norm_modulate(&x, &by, ROWS, 1e-6, kernels)?, layer);
                }
                close(gated_residual(&x, &y, &by, 1, kernels)?, (&x + y.broadcast_mul(&by.row(1)?)?)?);
                close(gelu(&x, kernels)?, x.to_dtype(DType::F64)?.gelu()?.to_dtype(DType::F32)?);
                assert!(gated_residual(&x, &y, &by, 3, kernels).is_err(), "there is no fourth row");
            }
        }
        Ok(())
    }

    fn the_gate_kernel_equals_the_formula(kernels: KernelChoice) -> Result<()> {
        for (tokens, heads, width) in [(1, 1, 1), (5, 3, 7), (300, 4, 32)] {
            let (x, logits) = (randn((2, tokens, heads * width)), randn((2, tokens, heads)));
            let error =
                relative_l2(&gate_heads(&x, &logits, kernels)?, &GateHeads { x: &x, logits: &logits }.formula()?)
                    .unwrap();
            assert!(error < 1e-6, "{tokens}x{heads}x{width}: {error:.1e}");
        }
        Ok(())
    }

    fn gelu_keeps_the_ends(kernels: KernelChoice) -> Result<()> {
        let x = Tensor::new(&[-100f32, -10.0, 0.0, 10.0, 100.0, f32::NAN], &Device::Cpu)?;
        let y = gelu(&x, kernels)?.to_vec1::<f32>()?;
        assert_eq!(y[..5], [0.0, 0.0, 0.0, 10.0, 100.0]);
        assert!(y[5].is_nan());
        Ok(())
    }
}
