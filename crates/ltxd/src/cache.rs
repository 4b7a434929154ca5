//! The cache of commands that compute here: one folder a user, with the bounds that a node has by default.
//!
//! Must not know what is kept.

use crate::hub;
use ltx_jobs::{CacheSettings, TensorCache};
use ltx_types::settings::{Bounded, OutOfBounds};

/// The folder under the user's own for caches.
const FOLDER: &str = "ltxd/cache";

/// Whether a command keeps what it computes for the next one.
#[derive(clap::Args)]
pub(crate) struct CacheFlag {
    /// Neither take contexts of prompts that earlier runs have kept, nor keep any: $XDG_CACHE_HOME/ltxd/cache, or
    /// ~/.cache/ltxd/cache, holds up to 1 GiB of those used in the last 30 days. The clip is the same either way.
    #[arg(long, env = "LTXD_NO_CACHE")]
    no_cache: bool,
}

impl CacheFlag {
    /// The user's cache; one that keeps nothing where that was asked for, or the user has no folder for caches.
    pub(crate) fn open(&self) -> Result<TensorCache, OutOfBounds> {
        let folder = hub::caches().filter(|_| !self.no_cache);
        let bytes = if folder.is_some() { 1 << 30 } else { 0 };
        let settings =
            CacheSettings { bytes: Bounded::new(bytes)?, memory_bytes: Bounded::new(0)?, days: Bounded::new(30)? };
        Ok(TensorCache::new(&folder.unwrap_or_default().join(FOLDER), &settings))
    }
}
