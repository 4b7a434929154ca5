//! The cache as one generation of a node uses it: every tensor that it takes or keeps is noted as its own, so that it can go with the
//! last generation that used it. Where nothing is kept, the generations of one request still share what they compute, in memory,
//! while no other comes between them.
//!
//! Must not know what is kept.

use super::TensorCache;
use crate::{Batch, GenerationId, GenerationRecord, core::Core};
use ltx_engine::{Cache, CacheKey, CachedTensor};
use parking_lot::Mutex;
use std::sync::Arc;

/// What the generations of the request that runs share, where nothing is kept for others.
#[derive(Default)]
pub(crate) struct SharedCache(Mutex<Option<(GenerationId, Arc<TensorCache>)>>);

impl SharedCache {
    /// What a generation shares with others of its request. What those of another shared is gone then.
    fn of(&self, batch: Option<Batch>) -> Option<Arc<TensorCache>> {
        let mut held = self.0.lock();
        let kept = held.take().filter(|(id, _)| batch.is_some_and(|batch| batch.id == *id));
        let new = || batch.map(|batch| (batch.id, Arc::new(TensorCache::for_one_request())));
        *held = kept.or_else(new);
        held.as_ref().map(|(_, shared)| Arc::clone(shared))
    }

    /// Nothing waits that could share it.
    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }
}

/// The cache for one generation.
pub(crate) struct RunCache {
    core: Arc<Core>,
    id: GenerationId,
    shared: Option<Arc<TensorCache>>,
}

impl RunCache {
    pub(crate) fn new(core: &Arc<Core>, &GenerationRecord { id, batch, .. }: &GenerationRecord) -> Self {
        let shared = core.shared.of(batch.filter(|_| !core.cache.keeps()));
        Self { core: Arc::clone(core), id, shared }
    }

    /// Notes that the generation uses a tensor; says whether that is stored.
    fn noted(&self, key: &CacheKey) -> bool {
        let noted = self.core.store.note_cached(self.id, key);
        noted.inspect_err(|error| self.core.note(error)).is_ok()
    }
}

impl Cache for RunCache {
    fn keeps(&self) -> bool {
        self.shared.is_some() || self.core.cache.keeps()
    }

    fn holds(&self, key: &CacheKey) -> bool {
        match &self.shared {
            Some(shared) => shared.holds(key),
            None => self.core.cache.holds(key),
        }
    }

    fn get(&self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        if let Some(shared) = &self.shared {
            return shared.get(key);
        }
        let found = self.core.cache.get(key)?;
        self.noted(key);
        Some(found)
    }

    /// Noted first: a file that nobody has noted would outlive its generation.
    fn put(&self, key: &CacheKey, tensor: CachedTensor) {
        if let Some(shared) = &self.shared {
            return shared.put(key, tensor);
        }
        if !self.noted(key) {
            return;
        }
        match self.core.check_space(tensor.bytes()) {
            Ok(()) => self.core.cache.put(key, tensor),
            Err(_) => self.core.cache.put_in_memory(key, Arc::new(tensor)),
        }
    }
}
