//! How many denoising steps each stage takes.
//!
//! Must not know the noise levels; they are computed in `ltx-pipeline`.

use ltx_types::{Flow, Generation, GuidedSteps, REFINING_STEPS, SamplingStage, SigmaList};

/// Denoising steps of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageSteps {
    /// Steps of [`Stage::Denoising`](ltx_types::Stage::Denoising).
    pub denoising: usize,
    /// Steps of [`Stage::Refining`](ltx_types::Stage::Refining), where there are two stages.
    pub refining: usize,
}

impl StageSteps {
    /// How often the model is asked in each stage of a request, guidance not counted: as often as there are steps, but by a
    /// sampler that asks at a step's middle, too.
    pub fn evaluations(request: &Generation) -> Self {
        let Self { denoising, refining } = Self::of(request);
        let of = |steps| request.flow.map_or(steps, |flow| flow.evaluations(steps));
        Self { denoising: of(denoising), refining: of(refining) }
    }

    /// The steps that a request takes.
    pub fn of(request: &Generation) -> Self {
        let usual = request.flow.and_then(Flow::steps).map_or(REFINING_STEPS, |[_, second]| second);
        let refining = request.refine_sigmas.as_ref().map_or(usual, SigmaList::steps);
        Self { denoising: request.steps, refining }
    }

    /// How often the model is asked in each stage, the passes that guidance adds among them.
    pub fn passes(request: &Generation) -> Self {
        let Self { denoising, refining } = Self::evaluations(request);
        let of = |stage, evaluations| {
            let steps = request.guided_steps(stage, evaluations);
            steps.iter().map(|steps: &GuidedSteps| steps.count * steps.passes()).sum()
        };
        Self { denoising: of(SamplingStage::First, denoising), refining: of(SamplingStage::Second, refining) }
    }
}
