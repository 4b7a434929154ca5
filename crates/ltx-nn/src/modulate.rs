//! Modulation of a normalised sequence, and the gated way back into the residual stream.
//! Source: Peebles & Xie, “Scalable Diffusion Models with Transformers” (2022).
//!
//! Must not know where shifts, scales and gates come from.

use crate::{Result, kernels, norm};
use candle_core::{DType, Tensor};

/// `rms_norm(x) (1 + scale) + shift`.
///
/// # Shapes
/// `x [B, T, D]`; `shift`, `scale` `[B, T or 1, D]` → `[B, T, D]`.
///
/// # Errors
/// The sizes do not fit each other.
pub fn rms_norm_modulate(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    if on_cpu(x) {
        let op = kernels::NormModulate { eps: eps as f32, centred: false };
        return Ok(x.contiguous()?.apply_op3_no_bwd(&shift.contiguous()?, &scale.contiguous()?, &op)?);
    }
    modulate(&norm::rms_norm(x, eps)?, shift, scale)
}

/// `layer_norm(x) (1 + scale) + shift`.
///
/// # Shapes
/// As [`rms_norm_modulate`].
///
/// # Errors
/// The sizes do not fit each other.
pub fn layer_norm_modulate(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    if on_cpu(x) {
        let op = kernels::NormModulate { eps: eps as f32, centred: true };
        return Ok(x.contiguous()?.apply_op3_no_bwd(&shift.contiguous()?, &scale.contiguous()?, &op)?);
    }
    modulate(&norm::layer_norm(x, eps)?, shift, scale)
}

/// `x + y · gate`.
///
/// # Shapes
/// `x`, `y` `[B, T, D]`; `gate [B, T or 1, D]` → `[B, T, D]`.
///
/// # Errors
/// The sizes do not fit each other.
pub fn gated_residual(x: &Tensor, y: &Tensor, gate: &Tensor) -> Result<Tensor> {
    if on_cpu(x) {
        let (y, gate) = (y.contiguous()?, gate.contiguous()?);
        return Ok(x.contiguous()?.apply_op3_no_bwd(&y, &gate, &kernels::GatedResidual)?);
    }
    Ok((x + y.broadcast_mul(gate)?)?)
}

/// `x (1 + scale) + shift`, shapes as [`rms_norm_modulate`]'s.
///
/// # Errors
/// The sizes do not fit each other.
pub fn modulate(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)?)
}

/// GELU in its tanh form. Source: Hendrycks & Gimpel, “Gaussian Error Linear Units” (2016).
///
/// # Shapes
/// Any → the same.
///
/// # Errors
/// A tensor operation failed.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if on_cpu(x) {
        return Ok(x.contiguous()?.apply_op1_no_bwd(&kernels::Gelu)?);
    }
    Ok(x.gelu()?)
}

fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relative_l2;
    use candle_core::Device;

    fn randn(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0.3f32, 2f32, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn kernels_equal_the_formulas() -> Result<()> {
        for (tokens, width) in [(1, 1), (5, 37), (9, 64)] {
            for table in [1, tokens] {
                let (x, y) = (randn((2, tokens, width)), randn((2, tokens, width)));
                let (shift, scale) = (randn((2, table, width)), randn((2, table, width)));
                let close = |found: Tensor, expected: Tensor| {
                    let error = relative_l2(&found, &expected).unwrap();
                    assert!(error < 3e-6, "{tokens}x{width}, table of {table}: {error:.2e}");
                };
                let rms = modulate(&norm::rms_norm(&x, 1e-6)?, &shift, &scale)?;
                close(rms_norm_modulate(&x, &shift, &scale, 1e-6)?, rms);
                if width > 1 {
                    let layer = modulate(&norm::layer_norm(&x, 1e-6)?, &shift, &scale)?;
                    close(layer_norm_modulate(&x, &shift, &scale, 1e-6)?, layer);
                }
                close(gated_residual(&x, &y, &scale)?, (&x + y.broadcast_mul(&scale)?)?);
                close(gelu(&x)?, x.to_dtype(DType::F64)?.gelu()?.to_dtype(DType::F32)?);
            }
        }
        Ok(())
    }

    #[test]
    fn gelu_keeps_the_ends() -> Result<()> {
        let x = Tensor::new(&[-100f32, -10.0, 0.0, 10.0, 100.0, f32::NAN], &Device::Cpu)?;
        let y = gelu(&x)?.to_vec1::<f32>()?;
        assert_eq!(y[..5], [0.0, 0.0, 0.0, 10.0, 100.0]);
        assert!(y[5].is_nan());
        Ok(())
    }
}
