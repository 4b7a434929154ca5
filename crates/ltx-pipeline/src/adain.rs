//! Adaptive instance normalisation of latents: every channel gets mean and deviation of the same channel of another latent.
//! Source: Huang & Belongie, “Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization” (2017); between the two
//! passes of LTX-Video 0.9.8 as Lightricks/LTX-Video has it.
//!
//! Must not know what made either latent.

use crate::Result;
use candle_core::Tensor;

/// `latent` with the moments of `reference`, channel by channel. A channel without deviation is only moved.
///
/// # Shapes
/// `latent [1, C, F, H, W]` and `reference [1, C, f, h, w]`, f32 → `latent`'s.
///
/// # Errors
/// The tensors have other shapes.
pub(crate) fn with_moments_of(latent: &Tensor, reference: &Tensor) -> Result<Tensor> {
    let channels = latent.dim(1)?;
    let each = |tensor: &Tensor| -> Result<Vec<Vec<f32>>> { Ok(tensor.reshape((channels, ()))?.to_vec2::<f32>()?) };
    let (mut values, reference) = (each(latent)?, each(reference)?);
    for (channel, reference) in values.iter_mut().zip(&reference) {
        let (from, to) = (Moments::of(channel), Moments::of(reference));
        let scale = if from.deviation > 0.0 { to.deviation / from.deviation } else { 1.0 };
        for value in channel {
            *value = ((f64::from(*value) - from.mean) * scale + to.mean) as f32;
        }
    }
    Ok(Tensor::from_vec(values.concat(), latent.dims(), latent.device())?)
}

/// Mean and unbiased deviation; of a single value the deviation is 0.
struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count.max(1.0);
        let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn every_channel_has_the_moments_of_the_other_latents() -> Result<()> {
        let cpu = Device::Cpu;
        let latent = Tensor::randn(3f32, 2f32, (1, 4, 3, 4, 6), &cpu)?;
        let reference = Tensor::randn(-1f32, 0.5f32, (1, 4, 3, 2, 3), &cpu)?;
        let found = with_moments_of(&latent, &reference)?;
        assert_eq!(found.dims(), latent.dims());
        for channel in 0..4 {
            let moments = |of: &Tensor| -> Result<Moments> {
                Ok(Moments::of(&of.narrow(1, channel, 1)?.flatten_all()?.to_vec1::<f32>()?))
            };
            let (found, expected) = (moments(&found)?, moments(&reference)?);
            assert!((found.mean - expected.mean).abs() < 1e-5 && (found.deviation - expected.deviation).abs() < 1e-5);
        }
        let level =
            with_moments_of(&Tensor::full(7f32, (1, 1, 1, 2, 2), &cpu)?, &Tensor::full(2f32, (1, 1, 1, 1, 1), &cpu)?)?;
        assert_eq!(level.flatten_all()?.to_vec1::<f32>()?, [2.0; 4]);
        Ok(())
    }
}
