//! How many denoising steps each stage takes.
//!
//! Must not know the noise levels; they are computed in `ltx-pipeline`.

use ltx_types::Schedule;

/// Steps of the distilled schedule.
pub const DISTILLED_STEPS: usize = 8;
/// Steps that refine the upscaled latent, whatever the schedule.
pub const REFINING_STEPS: usize = 3;

/// Denoising steps of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageSteps {
    /// Steps of [`Stage::Denoising`](ltx_types::Stage::Denoising).
    pub denoising: usize,
    /// Steps of [`Stage::Refining`](ltx_types::Stage::Refining), where there are two stages.
    pub refining: usize,
}

impl StageSteps {
    /// The steps of a schedule when `steps` were asked for; the distilled one always takes its own number.
    pub fn of(schedule: Schedule, steps: usize) -> Self {
        let denoising = match schedule {
            Schedule::Distilled => DISTILLED_STEPS,
            Schedule::Guided => steps,
        };
        Self { denoising, refining: REFINING_STEPS }
    }
}
