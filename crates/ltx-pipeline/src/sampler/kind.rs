//! Which sampler a stage of a request is sampled by.
//!
//! Must not know what they do.

use super::{Sampler, euler::Euler, res_2s::Res2s};
use ltx_types::{Flow, Generation};

/// A sampler by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SamplerKind {
    /// Euler's method.
    Euler,
    /// Two evaluations a step, and noise.
    Res2s,
}

impl SamplerKind {
    /// A sampler for one stage.
    pub(super) fn sampler(self) -> Box<dyn Sampler> {
        match self {
            Self::Euler => Box::new(Euler),
            Self::Res2s => Box::new(Res2s::new()),
        }
    }
}

/// The samplers of the first and of the second stage.
pub(crate) fn samplers(request: &Generation) -> [SamplerKind; 2] {
    match request.flow {
        Some(Flow::Hq) => [SamplerKind::Res2s; 2],
        _ => [SamplerKind::Euler; 2],
    }
}
