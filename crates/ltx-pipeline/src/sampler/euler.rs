//! Euler's method: the velocity at a step's start, all the way to its end.
//!
//! Must not know the transformer.

use super::{Model, Sampler, Step, Stepped};
use crate::Result;
use candle_core::Tensor;

/// One evaluation a step, no noise.
pub(super) struct Euler;

impl Sampler for Euler {
    /// `x + (next − sigma)·(x − clean) / sigma`.
    fn step(&mut self, x: &Tensor, Step { sigma, next, .. }: Step, model: &Model<'_>) -> Result<Stepped> {
        let clean = model.clean(x, sigma, "")?;
        let velocity = ((x - &clean)? / f64::from(sigma))?;
        let tokens = (x + (velocity * f64::from(next - sigma))?)?;
        Ok(Stepped { tokens, clean })
    }
}
