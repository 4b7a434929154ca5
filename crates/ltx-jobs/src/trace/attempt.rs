//! The attempt that runs, for its tracer: what it does beside its events, with the times that takes.
//!
//! Must not know who traces. Without a tracer, or of a generation that is not traced, everything is done and nothing is told.

use super::{Deed, Did, TracedAttempt, Tracer};
use crate::GenerationRecord;
use ltx_engine::{LatentStore, NotKept, SavedLatent};
use std::{sync::Arc, time::SystemTime};

/// Tells a tracer what an attempt does.
#[derive(Clone)]
pub(crate) struct AttemptTrace(Option<(Arc<dyn Tracer>, Arc<GenerationRecord>)>);

impl AttemptTrace {
    pub(crate) fn of(tracer: Option<&Arc<dyn Tracer>>, record: &GenerationRecord) -> Self {
        let traced = tracer.filter(|_| record.trace.is_some());
        Self(traced.map(|tracer| (Arc::clone(tracer), Arc::new(record.clone()))))
    }

    /// Does something and tells it.
    pub(crate) fn doing<T, E>(&self, what: Deed, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if self.0.is_none() {
            return act();
        }
        let began = SystemTime::now();
        let done = act();
        self.tell(Did { what, began, well: done.is_ok() });
        done
    }

    fn tell(&self, did: Did) {
        let Some((tracer, record)) = &self.0 else { return };
        if let Some(attempt) = TracedAttempt::of(record) {
            tracer.did(&attempt, &did);
        }
    }

    /// A store of latents that tells what is saved, and where a run goes on.
    pub(crate) fn around(&self, inner: Box<dyn LatentStore + Send>) -> Box<dyn LatentStore + Send> {
        if self.0.is_none() { inner } else { Box::new(TracedLatents { inner, trace: self.clone() }) }
    }
}

struct TracedLatents {
    inner: Box<dyn LatentStore + Send>,
    trace: AttemptTrace,
}

impl LatentStore for TracedLatents {
    fn keeps(&self) -> bool {
        self.inner.keeps()
    }

    fn save(&self, latent: SavedLatent) -> Result<(), NotKept> {
        let saving = Deed::SaveLatent { stage: latent.stage, steps: latent.steps_done };
        self.trace.doing(saving, || self.inner.save(latent))
    }

    fn saved(&self) -> Option<SavedLatent> {
        let saved = self.inner.saved();
        if let Some(SavedLatent { stage, steps_done, .. }) = &saved {
            let what = Deed::Resume { stage: *stage, steps: *steps_done };
            self.trace.tell(Did { what, began: SystemTime::now(), well: true });
        }
        saved
    }
}
