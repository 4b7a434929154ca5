//! Ancestral Euler for rectified flow: a step goes below its next noise level, and noise brings it back up. Source: the public
//! `ltx_pipelines` reference, which samples the first stage of LTX-2.5's distilled flow so, with eta 1 and a generator of its own.
//!
//! Must not know the transformer, guidance, or which flow asks for it.

use crate::{Noise, Result, conditioning::TokenState};
use candle_core::Tensor;
use ltx_types::Seed;

/// How far the authors' generator of step noise is from the request's seed.
const SEED_OFFSET: u64 = 10_000;
/// How much of a step is made of new noise.
const ETA: f32 = 1.0;

/// A stage's noise, drawn step by step.
pub(crate) struct Ancestral {
    noise: Noise,
}

/// What a step multiplies: the tokens, their clean estimate, and the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Coefficients {
    tokens: f32,
    clean: f32,
    noise: f32,
}

impl Coefficients {
    /// Of a step from `sigma` to `next`, which is not 0. In f32, as the reference computes them.
    fn of(sigma: f32, next: f32) -> Self {
        let down = next * (1.0 + ETA * (next / sigma - 1.0));
        let ratio = down / sigma;
        let scale = (1.0 - next) / (1.0 - down);
        let variance = next * next - down * down * (1.0 - next) * (1.0 - next) / ((1.0 - down) * (1.0 - down));
        Self { tokens: scale * ratio, clean: scale * (1.0 - ratio), noise: variance.max(0.0).sqrt() }
    }
}

impl Ancestral {
    /// The noise of a request with that seed.
    pub(crate) fn new(seed: Seed) -> Self {
        Self { noise: Noise::new(Seed(seed.0.wrapping_add(SEED_OFFSET))) }
    }

    /// Passes by a step that ends at `next` and was taken by an earlier run.
    pub(crate) fn skip(&mut self, next: f32, state: &TokenState) {
        if next != 0.0 {
            drop(self.noise.draw(state.values()));
        }
    }

    /// Takes a step; `drawn` is shown the noise, which covers the whole sequence. A step to 0 ends at the clean estimate.
    ///
    /// # Shapes
    /// `x` and `clean` `[1, T, C]`, f32 → the same.
    pub(crate) fn step(
        &mut self,
        (x, clean): (&Tensor, &Tensor),
        (sigma, next): (f32, f32),
        state: &TokenState,
        drawn: impl FnOnce(&Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        if next == 0.0 {
            return Ok(clean.clone());
        }
        let noise = Tensor::from_vec(self.noise.draw(state.values()), x.dims3()?, x.device())?;
        drawn(&noise)?;
        let by = Coefficients::of(sigma, next);
        let kept = ((x * f64::from(by.tokens))? + (clean * f64::from(by.clean))?)?;
        state.hold(&(kept + (noise * f64::from(by.noise))?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_the_noise_level_that_it_promises() {
        for (sigma, next) in [(1.0, 0.993_75), (0.975, 0.909_375), (0.725, 0.421_875)] {
            let by = Coefficients::of(sigma, next);
            // Tokens are (1 − sigma)·clean + sigma·noise: so are the next ones, with two independent noises.
            let of_clean = by.tokens * (1.0 - sigma) + by.clean;
            let deviation = ((by.tokens * sigma).powi(2) + by.noise.powi(2)).sqrt();
            assert!((of_clean - (1.0 - next)).abs() < 1e-6, "{sigma} {next}: {of_clean}");
            assert!((deviation - next).abs() < 1e-6, "{sigma} {next}: {deviation}");
        }
    }
}
