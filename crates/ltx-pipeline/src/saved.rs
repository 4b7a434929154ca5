//! The state of a running generation, saved after every denoising step so that it can go on after a restart.
//!
//! Must not know where it is kept; `ltx-jobs` gives it a file.

use crate::Result;
use candle_core::Tensor;
use ltx_types::Stage;

/// Noisy tokens after some steps of a denoising stage.
#[derive(Debug, Clone)]
pub struct SavedLatent {
    /// [`Stage::Denoising`] or [`Stage::Refining`].
    pub stage: Stage,
    /// Steps of that stage that are done.
    pub steps_done: usize,
    /// `[1, T, C]`, f32, keyframes included.
    pub tokens: Tensor,
}

/// Keeps the newest state of one generation.
pub trait LatentStore {
    /// Called after every step, on the thread that works.
    ///
    /// # Errors
    /// The state cannot be kept; the generation fails with this error.
    fn save(&self, latent: &SavedLatent) -> Result<()>;

    /// The newest state of an earlier run of the same request, if there is one. A generation that goes on from it gives
    /// the same frames as one that was never disturbed.
    fn saved(&self) -> Option<SavedLatent>;
}

/// Keeps nothing.
pub struct NotSaved;

impl LatentStore for NotSaved {
    fn save(&self, _: &SavedLatent) -> Result<()> {
        Ok(())
    }

    fn saved(&self) -> Option<SavedLatent> {
        None
    }
}
