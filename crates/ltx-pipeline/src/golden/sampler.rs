//! The samplers that a golden case names, and which of the engine's own ways of sampling they are.
//!
//! Must not know tensors.

use ltx_types::{Flow, Seed};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum SamplerName {
    #[serde(rename = "euler")]
    Euler,
    #[serde(rename = "euler_ancestral")]
    EulerAncestral,
    #[serde(rename = "res_2s")]
    Res2s,
}

/// The samplers of both stages; `euler` where a case names none.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSampler {
    stage1: SamplerName,
    stage2: SamplerName,
    noise_seed: i64,
    eta: f64,
    substep_noise_seed: Option<i64>,
    substep_eta: Option<f64>,
    last_sigma: Option<f64>,
}

/// A way of sampling that the engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownSampling {
    /// What a flow runs in both stages.
    Flow(Flow),
    /// Ancestral Euler in the first stage, or plain Euler, as 2.5's distilled flow and its predecessors have it.
    First { ancestral: bool },
}

impl RawSampler {
    /// Which way of the engine's it is, for a request's seed; `None` where it is none of them.
    pub(super) fn known(&self, seed: Seed) -> Option<KnownSampling> {
        let hq = Self {
            stage1: SamplerName::Res2s,
            stage2: SamplerName::Res2s,
            noise_seed: -1,
            eta: 0.5,
            substep_noise_seed: Some(9999),
            substep_eta: Some(0.5),
            last_sigma: Some(0.0011),
        };
        if *self == hq {
            return Some(KnownSampling::Flow(Flow::Hq));
        }
        let noise_seed = i64::try_from(seed.0.checked_add(10_000)?).ok()?;
        let first = Self {
            stage1: self.stage1,
            stage2: SamplerName::Euler,
            noise_seed,
            eta: 1.0,
            substep_noise_seed: None,
            substep_eta: None,
            last_sigma: None,
        };
        let ancestral = self.stage1 == SamplerName::EulerAncestral;
        (*self == first && self.stage1 != SamplerName::Res2s).then_some(KnownSampling::First { ancestral })
    }
}
