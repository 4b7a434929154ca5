//! Weights of the right shapes and random values, drawn on the device, 8-bit floats on the CPU: for measurements at sizes whose
//! weights are not here.
//!
//! Must not know which model loads from them. Nothing is read but headers.

use crate::{TensorSet, sources::look_up};
use candle_core::Tensor;
use ltx_nn::{
    Compute, Packing, Weights,
    matrix::{Packed, Stored},
};
use std::sync::Arc;

/// Over the headers of a set of files. Matrices are scaled so that a unit input gives an output of about one, weights of norms
/// are about 1, everything else is small.
pub struct RandomWeights(pub Arc<TensorSet>);

impl Weights for RandomWeights {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        look_up(&self.0, key, shape)?;
        draw(key, shape, compute)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<Stored> {
        let (_, entry) = look_up(&self.0, key, &shape)?;
        match entry.packing() {
            Some(Packing::Fp8 { .. }) => Ok(Stored::packed(draw_8_bits(shape)?)),
            _ => Stored::floats(draw(key, &shape, compute)?),
        }
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        look_up(&self.0, key, &shape)?;
        draw(key, &[rows.len(), shape[1]], compute)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        look_up(&self.0, key, shape).map(|_| ())
    }
}

/// How many values on the CPU are drawn before they come again. A prime, so that no two rows are alike.
const STRETCH: usize = 1_048_573;

fn draw(key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
    let inputs: usize = shape.iter().skip(1).product();
    let (mean, deviation) = match shape.len() {
        1 if key.ends_with("norm.weight") || key.ends_with("std-of-means") => (1f32, 0.05),
        1 => (0f32, 0.02),
        _ => (0f32, 1.0 / (inputs.max(1) as f32).sqrt()),
    };
    let count: usize = shape.iter().product();
    if compute.device.is_cpu() && count > STRETCH {
        // Drawing takes longer there than what is to be measured.
        let stretch = Tensor::randn(mean, deviation, STRETCH, &compute.device)?.to_dtype(compute.dtype)?;
        let again = vec![&stretch; count.div_ceil(STRETCH)];
        return Ok(Tensor::cat(&again, 0)?.narrow(0, 0, count)?.reshape(shape)?);
    }
    Ok(Tensor::randn(mean, deviation, shape, &compute.device)?.to_dtype(compute.dtype)?)
}

/// A matrix of 8-bit floats: a stretch of random ones, again and again. Exponents are spread as those of normal values are, about.
fn draw_8_bits([outputs, inputs]: [usize; 2]) -> ltx_nn::Result<Packed> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    // Half of the values have the largest exponent, a quarter the next; mantissa and sign are uniform.
    let exponent = |bits: u32| 14 - (bits | 1 << 12).trailing_zeros() as u8;
    let stretch: Vec<u8> = (0..STRETCH).map(|_| exponent(next()) << 3 | (next() & 0x87) as u8).collect();
    let bytes = stretch.iter().copied().cycle().take(outputs * inputs).collect();
    // The root of the mean square of these values is near 141.
    Packed::new(bytes, Packing::Fp8 { scale: 0.0071 / (inputs as f32).sqrt() }, [outputs, inputs])
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn values_of_8_bits_are_finite_and_of_about_the_right_size() -> ltx_nn::Result<()> {
        let (outputs, inputs) = (300, 4096);
        let wide = draw_8_bits([outputs, inputs])?.widened(&Device::Cpu, Compute::cpu_f32().kernels.level)?;
        let mean_square = wide.sqr()?.mean_all()?.to_scalar::<f32>()? * inputs as f32;
        assert!((0.5..2.0).contains(&mean_square), "{mean_square}");
        Ok(())
    }
}
