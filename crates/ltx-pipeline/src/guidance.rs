//! Guidance on the predicted clean latent, or on the velocity: CFG, STG, and the rescale of the result.
//! Source: Ho & Salimans, “Classifier-Free Diffusion Guidance” (2022); Hyung et al., “Spatiotemporal Skip Guidance”
//! (2024); Lin et al., “Common Diffusion Noise Schedules and Sample Steps are Flawed” (2023) for the rescale;
//! Fan et al., “CFG-Zero*” (2025) for the unconditional prediction's scale.
//!
//! Must not know the transformer.

use candle_core::Tensor;
use ltx_nn::Result;
use ltx_types::Guidance;

/// The passes' predictions of one step.
pub(crate) struct Predictions {
    pub(crate) conditional: Tensor,
    pub(crate) unconditional: Option<Tensor>,
    pub(crate) perturbed: Option<Tensor>,
}

impl Predictions {
    /// `cond + (cfg−1)(cond−uncond) + stg(cond−perturbed)`, then times `r·std(cond)/std(pred) + 1−r`. The deviation is
    /// unbiased and over all tokens, keyframes included. With `scales_unconditional` uncond is first scaled to cond's projection on it.
    ///
    /// # Shapes
    /// `[1, T, C]`, f32, for each prediction and the result.
    pub(crate) fn combine(self, guidance: Option<&Guidance>, scales_unconditional: bool) -> Result<Tensor> {
        let Some(guidance) = guidance else { return Ok(self.conditional) };
        let cond = &self.conditional;
        let mut pred = cond.clone();
        if let Some(unconditional) = self.unconditional {
            let share = if scales_unconditional { projection(cond, &unconditional)? } else { 1.0 };
            let unconditional = if scales_unconditional { (unconditional * share)? } else { unconditional };
            pred = (pred + ((cond - unconditional)? * (guidance.cfg_scale - 1.0))?)?;
        }
        if let Some(perturbed) = &self.perturbed {
            pred = (pred + ((cond - perturbed)? * guidance.stg_scale)?)?;
        }
        if guidance.rescale_scale != 0.0 {
            let ratio = deviation(cond)? / deviation(&pred)?;
            pred = (pred * (guidance.rescale_scale * ratio + 1.0 - guidance.rescale_scale))?;
        }
        Ok(pred)
    }
}

/// How much of `onto` is in `x`: their scalar product over the square of `onto`, summed in f64. The authors add 1e-8 to the square.
fn projection(x: &Tensor, onto: &Tensor) -> Result<f64> {
    let (x, onto) = (x.flatten_all()?.to_vec1::<f32>()?, onto.flatten_all()?.to_vec1::<f32>()?);
    let product: f64 = x.iter().zip(&onto).map(|(x, onto)| f64::from(*x) * f64::from(*onto)).sum();
    Ok(product / (onto.iter().map(|onto| f64::from(*onto).powi(2)).sum::<f64>() + 1e-8))
}

/// Unbiased standard deviation of all values, summed in f64.
fn deviation(x: &Tensor) -> Result<f64> {
    let values = x.flatten_all()?.to_vec1::<f32>()?;
    let count = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let squares = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
    Ok((squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn full_rescale_restores_the_deviation() -> Result<()> {
        let randn = || Tensor::randn(0f32, 1f32, (1, 9, 8), &Device::Cpu);
        let predictions =
            Predictions { conditional: randn()?, unconditional: Some(randn()?), perturbed: Some(randn()?) };
        let expected = deviation(&predictions.conditional)?;
        let guidance = Guidance { cfg_scale: 5.0, stg_scale: 1.0, rescale_scale: 1.0, stg_blocks: vec![0] };
        let found = deviation(&predictions.combine(Some(&guidance), false)?)?;
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        Ok(())
    }

    #[test]
    fn a_scaled_unconditional_prediction_leaves_what_is_at_right_angles() -> Result<()> {
        let tensor = |values: [f32; 2]| Tensor::new(&[[values]], &Device::Cpu);
        let predictions = |unconditional| -> Result<Predictions> {
            Ok(Predictions {
                conditional: tensor([2.0, 1.0])?,
                unconditional: Some(tensor(unconditional)?),
                perturbed: None,
            })
        };
        let guidance = Guidance { cfg_scale: 3.0, stg_scale: 0.0, rescale_scale: 0.0, stg_blocks: vec![] };
        let guided = |unconditional| -> Result<Vec<f32>> {
            Ok(predictions(unconditional)?.combine(Some(&guidance), true)?.flatten_all()?.to_vec1()?)
        };
        let near = |found: Vec<f32>, expected: [f32; 2]| found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-5);
        assert!(near(guided([0.5, 0.0])?, [2.0, 3.0]) && near(guided([8.0, 0.0])?, [2.0, 3.0]), "whatever its length");
        assert!(near(guided([0.0, 0.0])?, [6.0, 3.0]), "one without length counts as it is");
        Ok(())
    }
}
