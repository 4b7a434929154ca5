//! Conditioning: images become latents, and latents become tokens that the sampler keeps.
//!
//! Must not know sigmas.

mod images;
mod state;

pub(crate) use images::{ConditionedImage, PreparedImage};
pub(crate) use state::TokenState;

use ltx_types::{ConditioningMode, Method, Schedule};

/// The official pipelines' choice: keyframe interpolation on the guided schedule appends both images, everything else
/// replaces the first latent frame.
pub fn default_conditioning(method: Method, schedule: Schedule) -> ConditioningMode {
    match (method, schedule) {
        (Method::StartEndFrames, Schedule::Guided) => ConditioningMode::AppendAll,
        _ => ConditioningMode::ReplaceFirst,
    }
}
