//! How many denoising steps each stage takes.
//!
//! Must not know the noise levels; they are computed in `ltx-pipeline`.

use ltx_types::{Generation, REFINING_STEPS, SigmaList};

/// Denoising steps of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageSteps {
    /// Steps of [`Stage::Denoising`](ltx_types::Stage::Denoising).
    pub denoising: usize,
    /// Steps of [`Stage::Refining`](ltx_types::Stage::Refining), where there are two stages.
    pub refining: usize,
}

impl StageSteps {
    /// The steps that a request takes.
    pub fn of(request: &Generation) -> Self {
        let refining = request.refine_sigmas.as_ref().map_or(REFINING_STEPS, SigmaList::steps);
        Self { denoising: request.steps, refining }
    }
}
