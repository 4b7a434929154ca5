//! Which generations used what of the cache.
//!
//! Must not know what is cached, or whether it still is.

use crate::{GenerationId, Result};
use ltx_engine::CacheKey;

/// The records of what generations used.
pub trait CachedUses {
    /// Notes that a generation uses what has this key. Noted again it is the same.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    fn note_cached(&self, id: GenerationId, key: &CacheKey) -> Result<()>;

    /// Those of `keys` that no generation used of which anything is known.
    ///
    /// # Errors
    /// `Database`.
    fn unused_cached(&self, keys: Vec<CacheKey>) -> Result<Vec<CacheKey>>;
}
