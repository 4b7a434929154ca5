//! The state of a running generation, saved after every denoising step so that it can go on after a restart.
//!
//! Must not know where it is kept; `ltx-jobs` gives it a file.

use ltx_types::Stage;
use std::{io, path::PathBuf};

/// Noisy tokens after some steps of a denoising stage.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedLatent {
    /// [`Stage::Denoising`] or [`Stage::Refining`].
    pub stage: Stage,
    /// Steps of that stage that are done.
    pub steps_done: usize,
    /// Batch, tokens (keyframes included) and channels: `[1, T, C]`.
    pub shape: [usize; 3],
    /// The tokens' values, channels next to each other: as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// Keeps the newest state of one generation.
pub trait LatentStore {
    /// Whether states are kept at all. Where they are not, no values are taken off the device for [`save`](Self::save).
    fn keeps(&self) -> bool;

    /// Keeps a state instead of the one before. Called after every step, on the thread that works, if anything is kept.
    ///
    /// # Errors
    /// The state cannot be kept; the generation fails with this error.
    fn save(&self, latent: SavedLatent) -> Result<(), NotKept>;

    /// The newest state of an earlier run of the same request, if there is one. A generation that goes on from it gives
    /// the same frames as one that was never disturbed.
    fn saved(&self) -> Option<SavedLatent>;
}

/// A state of a running generation that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: tensors cannot be written or read", file.display())]
pub struct NotKept {
    /// Where it was to be kept.
    pub file: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// A store that keeps nothing.
pub struct NotSaved;

impl LatentStore for NotSaved {
    fn keeps(&self) -> bool {
        false
    }

    fn save(&self, _: SavedLatent) -> Result<(), NotKept> {
        Ok(())
    }

    fn saved(&self) -> Option<SavedLatent> {
        None
    }
}
