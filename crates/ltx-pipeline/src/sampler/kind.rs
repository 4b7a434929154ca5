//! Which sampler a stage of a request is sampled by.
//!
//! Must not know what they do.

use super::{Sampler, ancestral::EulerAncestral, euler::Euler, points::EulerOfPoints, res_2s::Res2s};
use crate::Sigmas;
use ltx_types::{Flow, Generation, Seed};

/// How far the authors' generator of step noise is from the request's seed.
const STEP_NOISE: u64 = 10_000;

/// A sampler by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SamplerKind {
    /// Euler's method.
    Euler,
    /// Ancestral Euler, with that share of new noise, drawn from a generator of its own.
    EulerAncestral { eta: f32, seed: Seed },
    /// Euler's method where every token has a noise level of its own.
    EulerOfPoints,
    /// Two evaluations a step, and noise.
    Res2s,
}

impl SamplerKind {
    /// A sampler for one stage with such noise levels.
    pub(super) fn sampler(self, sigmas: &Sigmas) -> Box<dyn Sampler> {
        match self {
            Self::Euler => Box::new(Euler),
            Self::EulerAncestral { eta, seed } => Box::new(EulerAncestral::new(eta, seed)),
            Self::EulerOfPoints => Box::new(EulerOfPoints::new(sigmas)),
            Self::Res2s => Box::new(Res2s::new()),
        }
    }

    /// The first stage of LTX-2.5's distilled flow.
    pub(crate) fn ancestral(request: &Generation) -> Self {
        Self::EulerAncestral { eta: 1.0, seed: Seed(request.seed.0.wrapping_add(STEP_NOISE)) }
    }
}

/// The samplers of the first and of the second stage.
pub(crate) fn samplers(request: &Generation) -> [SamplerKind; 2] {
    match request.flow {
        Some(Flow::Hq) => [SamplerKind::Res2s; 2],
        _ => [SamplerKind::Euler; 2],
    }
}
