//! Ancestral Euler for rectified flow: a step goes below its next noise level, and noise brings it back up. Source: the public
//! `ltx_pipelines` reference, which samples the first stage of LTX-2.5's distilled flow so, with eta 1 and a generator of its own.
//!
//! Must not know the transformer, guidance, or which flow asks for it.

use super::{Model, Sampler, Step, Stepped};
use crate::{Noise, Result, conditioning::TokenState};
use candle_core::Tensor;
use ltx_types::Seed;

/// One evaluation a step, and noise for the whole sequence in every step but one that ends at 0.
pub(super) struct EulerAncestral {
    /// How much of a step is made of new noise, 0..1.
    eta: f32,
    noise: Noise,
}

impl EulerAncestral {
    pub(super) fn new(eta: f32, seed: Seed) -> Self {
        Self { eta, noise: Noise::new(seed) }
    }
}

impl Sampler for EulerAncestral {
    fn skip(&mut self, step: Step, state: &TokenState) {
        if step.next != 0.0 {
            drop(self.noise.draw(state.values()));
        }
    }

    /// `tokens · x + clean · D + noise · z`, images held; a step to 0 ends at the clean estimate.
    fn step(&mut self, x: &Tensor, step: Step, model: &Model<'_>) -> Result<Stepped> {
        let clean = model.clean(x, step.sigma, "")?;
        if step.next == 0.0 {
            return Ok(Stepped { tokens: clean.clone(), clean });
        }
        let state = model.state();
        let noise = Tensor::from_vec(self.noise.draw(state.values()), x.dims3()?, x.device())?;
        model.taps("").record("sde_noise", || Ok(noise.clone()))?;
        let by = Coefficients::of(step, self.eta);
        let kept = ((x * f64::from(by.tokens))? + (&clean * f64::from(by.clean))?)?;
        let tokens = state.hold(&(kept + (noise * f64::from(by.noise))?)?)?;
        Ok(Stepped { tokens, clean })
    }
}

/// What a step multiplies: the tokens, their clean estimate, and the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Coefficients {
    tokens: f32,
    clean: f32,
    noise: f32,
}

impl Coefficients {
    /// Of a step that does not end at 0. In f32, as the reference computes them.
    fn of(Step { sigma, next, .. }: Step, eta: f32) -> Self {
        let down = next * (1.0 + eta * (next / sigma - 1.0));
        let ratio = down / sigma;
        let scale = (1.0 - next) / (1.0 - down);
        let variance = next * next - down * down * (1.0 - next) * (1.0 - next) / ((1.0 - down) * (1.0 - down));
        Self { tokens: scale * ratio, clean: scale * (1.0 - ratio), noise: variance.max(0.0).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_the_noise_level_that_it_promises() {
        for (sigma, next, eta) in
            [(1.0, 0.993_75, 1.0), (0.975, 0.909_375, 1.0), (0.725, 0.421_875, 0.5), (0.7, 0.4, 0.0)]
        {
            let by = Coefficients::of(Step { index: 0, sigma, next }, eta);
            assert!(eta > 0.0 || by.noise < 1e-3, "{by:?}");
            // Tokens are (1 − sigma)·clean + sigma·noise: so are the next ones, with two independent noises.
            let of_clean = by.tokens * (1.0 - sigma) + by.clean;
            let deviation = ((by.tokens * sigma).powi(2) + by.noise.powi(2)).sqrt();
            assert!((of_clean - (1.0 - next)).abs() < 1e-6, "{sigma} {next}: {of_clean}");
            assert!((deviation - next).abs() < 1e-6, "{sigma} {next}: {deviation}");
        }
    }
}
