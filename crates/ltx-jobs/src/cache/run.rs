//! The cache as one generation of a node uses it: every tensor that it takes or keeps is noted as its own, so that it can go with the
//! last generation that used it.
//!
//! Must not know what is kept.

use crate::{GenerationId, core::Core};
use ltx_engine::{Cache, CacheKey, CachedTensor};
use std::sync::Arc;

/// The cache for one generation.
pub(crate) struct RunCache {
    core: Arc<Core>,
    id: GenerationId,
}

impl RunCache {
    pub(crate) fn new(core: &Arc<Core>, id: GenerationId) -> Self {
        Self { core: Arc::clone(core), id }
    }

    /// Notes that the generation uses a tensor; says whether that is stored.
    fn noted(&self, key: &CacheKey) -> bool {
        let noted = self.core.store.note_cached(self.id, key);
        noted.inspect_err(|error| self.core.note(error)).is_ok()
    }
}

impl Cache for RunCache {
    fn keeps(&self) -> bool {
        self.core.cache.keeps()
    }

    fn holds(&self, key: &CacheKey) -> bool {
        self.core.cache.holds(key)
    }

    fn get(&self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        let found = self.core.cache.get(key)?;
        self.noted(key);
        Some(found)
    }

    /// Noted first: a file that nobody has noted would outlive its generation.
    fn put(&self, key: &CacheKey, tensor: CachedTensor) {
        if !self.noted(key) {
            return;
        }
        match self.core.check_space(tensor.bytes()) {
            Ok(()) => self.core.cache.put(key, tensor),
            Err(_) => self.core.cache.put_in_memory(key, Arc::new(tensor)),
        }
    }
}
