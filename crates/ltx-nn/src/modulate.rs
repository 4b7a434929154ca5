//! Modulation of a normalised sequence, and the gated way back into the residual stream.
//! Source: Peebles & Xie, “Scalable Diffusion Models with Transformers” (2022).
//!
//! Must not know where shifts, scales and gates come from.

use crate::{
    Level, Modulation, NnError, Result, ShiftScale,
    kernels::{cuda, with_values, written},
    norm, profile,
};
use candle_core::{DType, Tensor};
use ltx_kernels::{Normalize, cpu};

/// `rms_norm(x) (1 + scale) + shift`.
///
/// # Shapes
/// `x [B, T, D]` → the same.
///
/// # Errors
/// The sizes do not fit each other.
pub fn rms_norm_modulate(x: &Tensor, by: &Modulation, rows: ShiftScale, eps: f64) -> Result<Tensor> {
    normalized(x, (by, rows), Normalize::Rms, eps, || norm::rms_norm(x, eps))
}

/// `layer_norm(x) (1 + scale) + shift`.
///
/// # Shapes
/// As [`rms_norm_modulate`].
///
/// # Errors
/// The sizes do not fit each other.
pub fn layer_norm_modulate(x: &Tensor, by: &Modulation, rows: ShiftScale, eps: f64) -> Result<Tensor> {
    normalized(x, (by, rows), Normalize::Layer, eps, || norm::layer_norm(x, eps))
}

/// `x (1 + scale) + shift`.
///
/// # Shapes
/// As [`rms_norm_modulate`].
///
/// # Errors
/// The sizes do not fit each other.
pub fn modulate(x: &Tensor, by: &Modulation, rows: ShiftScale) -> Result<Tensor> {
    normalized(x, (by, rows), Normalize::Not, 0.0, || Ok(x.clone()))
}

/// A kernel where there is one, else the formula over `plain`'s result.
fn normalized(
    x: &Tensor,
    (by, rows): (&Modulation, ShiftScale),
    normalize: Normalize,
    eps: f64,
    plain: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    by.check(x, &[rows.shift, rows.scale])?;
    let compute = || {
        if on_cpu(x) {
            let (x, level, eps, tokens) = (x.contiguous()?, Level::current(), eps as f32, x.dim(1)?);
            return by.with_table(|by| {
                let kernel = cpu::NormModulate { level, eps, normalize, by, rows };
                with_values([&x], |[x_]| Ok(written(x.shape(), |out| kernel.compute(x_, tokens, out))?))
            });
        }
        match cuda::norm_modulate(x, &by.on_gpu(), rows, normalize, eps)? {
            Some(y) => Ok(y),
            None => modulate_formula(&plain()?, &by.row(rows.shift)?, &by.row(rows.scale)?),
        }
    };
    profile::timed("modulate", || 0, compute)
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
pub fn gated_residual(x: &Tensor, y: &Tensor, by: &Modulation, gate: usize) -> Result<Tensor> {
    by.check(x, &[gate])?;
    let compute = || {
        if on_cpu(x) {
            let (x, y, level, tokens) = (x.contiguous()?, y.contiguous()?, Level::current(), x.dim(1)?);
            return by.with_table(|by| {
                let kernel = cpu::GatedResidual { level, by, gate };
                with_values([&x, &y], |[a, b]| Ok(written(x.shape(), |out| kernel.compute(a, b, tokens, out))?))
            });
        }
        match cuda::gated_residual(x, y, &by.on_gpu(), gate)? {
            Some(sum) => Ok(sum),
            None => Ok((x + y.broadcast_mul(&by.row(gate)?)?)?),
        }
    };
    profile::timed("gated residual", || 0, compute)
}

/// `x · 2σ(logits)`, a gate per head.
///
/// # Shapes
/// `x [B, T, heads · head_dim]`, `logits [B, T, heads]` → `x`'s.
///
/// # Errors
/// The sizes do not fit each other.
pub fn gate_heads(x: &Tensor, logits: &Tensor) -> Result<Tensor> {
    profile::timed("gate heads", || 0, || gate_heads_dispatch(x, logits))
}

fn gate_heads_dispatch(x: &Tensor, logits: &Tensor) -> Result<Tensor> {
    if on_cpu(x) {
        let (x, logits, level) = (x.contiguous()?, logits.contiguous()?, Level::current());
        return with_values([&x, &logits], |[a, b]| {
            Ok::<_, NnError>(written(x.shape(), |out| cpu::gate_heads(level, a, b, out))?)
        });
    }
    match cuda::gate_heads(x, logits)? {
        Some(y) => Ok(y),
        None => gate_heads_formula(x, logits),
    }
}

fn gate_heads_formula(x: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let ((b, t, inner), heads) = (x.dims3()?, logits.dim(2)?);
    let gates = (candle_nn::ops::sigmoid(logits)? * 2.0)?;
    let gated = x.reshape((b, t, heads, inner / heads))?.broadcast_mul(&gates.unsqueeze(3)?)?;
    Ok(gated.reshape((b, t, inner))?)
}

/// GELU in its tanh form. Source: Hendrycks & Gimpel, “Gaussian Error Linear Units” (2016).
///
/// # Shapes
/// Any → the same.
///
/// # Errors
/// A tensor operation failed.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    profile::timed("gelu", || 0, || gelu_dispatch(x))
}

fn gelu_dispatch(x: &Tensor) -> Result<Tensor> {
    if on_cpu(x) {
        let (x, level) = (x.contiguous()?, Level::current());
        return with_values([&x], |[a]| Ok::<_, NnError>(written(x.shape(), |out| cpu::gelu(level, a, out))?));
    }
    match cuda::gelu(x)? {
        Some(y) => Ok(y),
        None => Ok(x.gelu()?),
    }
}

fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TokenIndex, relative_l2};
    use candle_core::Device;

    fn randn(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0.3f32, 2f32, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn kernels_equal_the_formulas_on_every_level() {
        crate::Level::on_each(|_| kernels_equal_the_formulas().unwrap());
        crate::Level::on_each(|_| the_gate_kernel_equals_the_formula().unwrap());
        crate::Level::on_each(|_| gelu_keeps_the_ends().unwrap());
    }

    fn kernels_equal_the_formulas() -> Result<()> {
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
                close(modulate(&x, &by, ROWS)?, modulate_formula(&x, &shift, &scale)?);
                close(rms_norm_modulate(&x, &by, ROWS, 1e-6)?, rms);
                if width > 1 {
                    let layer = modulate_formula(&norm::layer_norm(&x, 1e-6)?, &shift, &scale)?;
                    close(layer_norm_modulate(&x, &by, ROWS, 1e-6)?, layer);
                }
                close(gated_residual(&x, &y, &by, 1)?, (&x + y.broadcast_mul(&by.row(1)?)?)?);
                close(gelu(&x)?, x.to_dtype(DType::F64)?.gelu()?.to_dtype(DType::F32)?);
                assert!(gated_residual(&x, &y, &by, 3).is_err(), "there is no fourth row");
            }
        }
        Ok(())
    }

    fn the_gate_kernel_equals_the_formula() -> Result<()> {
        for (tokens, heads, width) in [(1, 1, 1), (5, 3, 7), (300, 4, 32)] {
            let (x, logits) = (randn((2, tokens, heads * width)), randn((2, tokens, heads)));
            let error = relative_l2(&gate_heads(&x, &logits)?, &gate_heads_formula(&x, &logits)?).unwrap();
            assert!(error < 1e-6, "{tokens}x{heads}x{width}: {error:.1e}");
        }
        Ok(())
    }

    fn gelu_keeps_the_ends() -> Result<()> {
        let x = Tensor::new(&[-100f32, -10.0, 0.0, 10.0, 100.0, f32::NAN], &Device::Cpu)?;
        let y = gelu(&x)?.to_vec1::<f32>()?;
        assert_eq!(y[..5], [0.0, 0.0, 0.0, 10.0, 100.0]);
        assert!(y[5].is_nan());
        Ok(())
    }
}
