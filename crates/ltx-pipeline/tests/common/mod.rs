//! What tests of resumed clips share.
//!
//! Must not know what a state holds.

use ltx_engine::{LatentStore, NotKept, SavedLatent};
use std::sync::Mutex;

/// Keeps every state, and hands one of them to the next run.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) saved: Mutex<Vec<SavedLatent>>,
    pub(crate) resume: Option<SavedLatent>,
}

impl LatentStore for Recording {
    fn keeps(&self) -> bool {
        true
    }

    fn save(&self, latent: SavedLatent) -> Result<(), NotKept> {
        self.saved.lock().unwrap().push(latent);
        Ok(())
    }

    fn saved(&self) -> Option<SavedLatent> {
        self.resume.clone()
    }
}
