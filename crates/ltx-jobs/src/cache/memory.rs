//! Tensors in memory: those used last, as many as their bytes have room.
//!
//! Must not know files.

use ltx_engine::{CacheKey, CachedTensor};
use std::{collections::VecDeque, sync::Arc};

/// Those used last first.
pub(super) struct Recent {
    tensors: VecDeque<(CacheKey, Arc<CachedTensor>)>,
    bytes: u64,
    limit: u64,
}

impl Recent {
    pub(super) fn new(limit: u64) -> Self {
        Self { tensors: VecDeque::new(), bytes: 0, limit }
    }

    pub(super) fn most(&self) -> u64 {
        self.limit
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = CacheKey> {
        self.tensors.iter().map(|(key, _)| *key)
    }

    pub(super) fn holds(&self, key: &CacheKey) -> bool {
        self.tensors.iter().any(|(here, _)| here == key)
    }

    pub(super) fn get(&mut self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        let tensor = self.remove(key)?;
        self.put(*key, Arc::clone(&tensor));
        Some(tensor)
    }

    /// One that is larger than all the room is not kept, nor anything let go for it.
    pub(super) fn put(&mut self, key: CacheKey, tensor: Arc<CachedTensor>) {
        self.remove(&key);
        if tensor.bytes() > self.limit {
            return;
        }
        self.bytes += tensor.bytes();
        self.tensors.push_front((key, tensor));
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.tensors.pop_back()
        {
            self.bytes -= oldest.bytes();
        }
    }

    pub(super) fn remove(&mut self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        let at = self.tensors.iter().position(|(here, _)| here == key)?;
        let (_, tensor) = self.tensors.remove(at)?;
        self.bytes -= tensor.bytes();
        Some(tensor)
    }
}
