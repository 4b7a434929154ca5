//! The cache of commands that compute here: one folder a user, with the bounds that a node has by default.
//!
//! Must not know what is kept.

use crate::{
    config::{ConfigError, default_cache},
    hub,
};
use ltx_jobs::TensorCache;

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
    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        !self.no_cache
    }

    /// The user's cache; one that keeps nothing where that was asked for, or the user has no folder for caches.
    pub(crate) fn open(&self) -> Result<TensorCache, ConfigError> {
        let settings = default_cache()?;
        let folder = hub::caches().filter(|_| !self.no_cache);
        Ok(folder.map_or_else(TensorCache::off, |folder| TensorCache::new(&folder.join(FOLDER), &settings)))
    }
}
