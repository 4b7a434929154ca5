//! Euler's method of LTX-Video 0.9.x: a token whose image allows less noise waits until the noise levels reach its own, and goes
//! to the next level below from there. Source: diffusers' `FlowMatchEulerDiscreteScheduler`, told a timestep a token.
//!
//! Must not know the transformer.

use super::{Model, Sampler, Step, Stepped};
use crate::{Result, Sigmas};
use candle_core::Tensor;

/// One evaluation a step, no noise.
pub(super) struct EulerOfPoints {
    sigmas: Sigmas,
}

impl EulerOfPoints {
    pub(super) fn new(sigmas: &Sigmas) -> Self {
        Self { sigmas: sigmas.clone() }
    }
}

impl Sampler for EulerOfPoints {
    fn step(&mut self, x: &Tensor, Step { sigma, .. }: Step, model: &Model<'_>) -> Result<Stepped> {
        let clean = model.clean(x, sigma, "")?;
        let tokens = model.state().towards(x, &clean, sigma, &self.sigmas)?;
        Ok(Stepped { tokens, clean })
    }
}
