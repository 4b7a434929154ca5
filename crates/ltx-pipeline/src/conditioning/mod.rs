//! Conditioning: images become latents, and latents become tokens that the sampler keeps.
//!
//! Must not know sigmas.

mod drawn;
mod images;
mod points;
mod state;

pub(crate) use drawn::Drawn;
pub(crate) use images::{ConditionedImage, PreparedImage, StageSize};
pub(crate) use points::Upsampled;
pub(crate) use state::TokenState;
