//! Which sampler a stage of a request is sampled by.
//!
//! Must not know what they do.

use super::{Sampler, euler::Euler};
use ltx_types::Generation;

/// A sampler by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SamplerKind {
    /// Euler's method.
    Euler,
}

impl SamplerKind {
    /// A sampler for one stage.
    pub(super) fn sampler(self) -> Box<dyn Sampler> {
        match self {
            Self::Euler => Box::new(Euler),
        }
    }
}

/// The samplers of the first and of the second stage.
pub(crate) fn samplers(_: &Generation) -> [SamplerKind; 2] {
    [SamplerKind::Euler; 2]
}
