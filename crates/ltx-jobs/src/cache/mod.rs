//! What was computed once and is needed again: some of it in memory, more in a folder, each bounded in bytes, the folder in age too.
//!
//! Must not know what is kept, or for whom; [`RunCache`] notes that for a node.

mod entry;
mod folder;
mod memory;
mod run;

pub(crate) use run::{RunCache, SharedCache};

use folder::{Folder, Found};
use ltx_engine::{Cache, CacheKey, CachedTensor};
use ltx_types::settings::{Bounded, Bytes};
use memory::Recent;
use parking_lot::Mutex;
use serde::Deserialize;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How much is kept of what was computed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Bytes of files; those used longest ago go first. 0 keeps none.
    pub bytes: Bytes,
    /// Bytes in memory; 0 keeps none there.
    pub memory_bytes: Bytes,
    /// Days after which a file goes that nothing has used. 0 keeps none.
    pub days: Bounded<u64, 0, 36_500>,
}

/// Bytes that the generations of one request share at most where nothing is kept for others: a context of LTX-2.3 has 16 MiB, a
/// request up to three of them.
const FOR_ONE_REQUEST: u64 = 128 << 20;

impl CacheSettings {
    /// Whether files are kept.
    fn on_disk(&self) -> bool {
        self.bytes.get() > 0 && self.days.get() > 0
    }

    /// Bytes of memory that tensors take at most: those that are kept there or, where none is kept, those that one request shares.
    pub fn held_bytes(&self) -> u64 {
        let kept = self.memory_bytes.get();
        if kept > 0 || self.on_disk() { kept } else { FOR_ONE_REQUEST }
    }
}

/// What a cache holds, and what became of questions to it since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Tensors that were there.
    pub hits: u64,
    /// Tensors that were not.
    pub misses: u64,
    /// Files that were damaged and dropped; each is a miss as well.
    pub damaged: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
}

/// The tensors that are kept.
pub struct TensorCache {
    folder: Option<Folder>,
    recent: Mutex<Recent>,
    counts: Counts,
}

impl TensorCache {
    /// One that keeps its files in `folder`, which is made when the first is. Nothing is touched before.
    pub fn new(folder: &Path, settings: &CacheSettings) -> Self {
        let unused_for = Duration::from_secs(settings.days.get() * 24 * 60 * 60);
        Self {
            folder: settings.on_disk().then(|| Folder::new(folder, settings.bytes.get(), unused_for)),
            recent: Mutex::new(Recent::new(settings.memory_bytes.get())),
            counts: Counts::default(),
        }
    }

    /// One that keeps nothing.
    pub fn off() -> Self {
        Self::in_memory(0)
    }

    /// One for the generations of one request where nothing is kept for others: up to 128 MiB, for as long as it lives.
    pub fn for_one_request() -> Self {
        Self::in_memory(FOR_ONE_REQUEST)
    }

    /// Bytes of memory that its tensors take at most.
    pub fn held_bytes(&self) -> u64 {
        self.recent.lock().most()
    }

    fn in_memory(bytes: u64) -> Self {
        Self { folder: None, recent: Mutex::new(Recent::new(bytes)), counts: Counts::default() }
    }

    /// Files that were found damaged, and dropped, since it was opened.
    pub fn damaged(&self) -> u64 {
        self.counts.damaged.load(Ordering::Relaxed)
    }

    /// How it stands. Lists the folder.
    pub fn status(&self) -> CacheStatus {
        let Counts { hits, misses, damaged } = &self.counts;
        let [hits, misses, damaged] = [hits, misses, damaged].map(|count| count.load(Ordering::Relaxed));
        let bytes = self.folder.as_ref().map_or(0, Folder::bytes);
        CacheStatus { hits, misses, damaged, bytes, memory_bytes: self.recent.lock().bytes() }
    }

    /// Every key that is held.
    pub(crate) fn keys(&self) -> Vec<CacheKey> {
        let mut keys = self.folder.as_ref().map(Folder::keys).unwrap_or_default();
        keys.extend(self.recent.lock().keys());
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Drops a tensor.
    pub(crate) fn remove(&self, key: &CacheKey) {
        self.recent.lock().remove(key);
        if let Some(folder) = &self.folder {
            folder.remove(key);
        }
    }

    /// Drops files that were not used for too long.
    pub(crate) fn expire(&self) {
        if let Some(folder) = &self.folder {
            folder.prune(0);
        }
    }

    /// Removes what a crash left half written, of a folder that nobody else writes to.
    pub(crate) fn remove_partial(&self) {
        if let Some(folder) = &self.folder {
            folder.remove_partial();
        }
    }

    /// Keeps a tensor in memory alone.
    fn put_in_memory(&self, key: &CacheKey, tensor: Arc<CachedTensor>) {
        self.recent.lock().put(*key, tensor);
    }

    fn found(&self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        if let Some(here) = self.recent.lock().get(key) {
            if let Some(folder) = &self.folder {
                folder.touch(key);
            }
            return Some(here);
        }
        match self.folder.as_ref()?.get(key) {
            Found::Whole(tensor) => {
                let tensor = Arc::new(tensor);
                self.put_in_memory(key, Arc::clone(&tensor));
                Some(tensor)
            }
            Found::Nothing => None,
            Found::Damaged(file) => {
                self.counts.damaged.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(file = %file.display(), "a kept tensor is damaged; it is dropped and computed again");
                None
            }
        }
    }
}

impl Cache for TensorCache {
    fn keeps(&self) -> bool {
        self.folder.is_some() || self.held_bytes() > 0
    }

    fn holds(&self, key: &CacheKey) -> bool {
        self.recent.lock().holds(key) || self.folder.as_ref().is_some_and(|folder| folder.holds(key))
    }

    fn get(&self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        let found = self.found(key);
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn put(&self, key: &CacheKey, tensor: CachedTensor) {
        if let Some(folder) = &self.folder
            && let Err(error) = folder.put(key, &tensor)
        {
            tracing::warn!(%error, "a computed tensor cannot be kept");
        }
        self.put_in_memory(key, Arc::new(tensor));
    }
}

#[cfg(test)]
mod tests;
