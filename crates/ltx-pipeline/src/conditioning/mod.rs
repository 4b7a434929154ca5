//! Conditioning: images become latents, and latents become tokens that the sampler keeps.
//!
//! Must not know sigmas.

mod images;
mod state;

pub(crate) use images::{ConditionedImage, PreparedImage};
pub(crate) use state::TokenState;
