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
    /// Neither take contexts of prompts and latents of images that earlier runs have kept, nor keep any: $XDG_CACHE_HOME/ltxd/cache, or
    /// ~/.cache/ltxd/cache, holds up to 1 GiB of those used in the last 30 days. The clip is the same either way.
    #[arg(long, env = "LTXD_NO_CACHE")]
    no_cache: bool,
}

impl CacheFlag {
    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        !self.no_cache
    }

    /// The user's cache for a run of so many clips; where nothing is kept for later runs, because that was asked for or the user has
    /// no folder for caches, several clips still share what they have in common.
    pub(crate) fn open(&self, clips: usize) -> Result<TensorCache, ConfigError> {
        let settings = default_cache()?;
        let folder = hub::caches().filter(|_| !self.no_cache);
        let for_this_run = || if clips > 1 { TensorCache::for_one_request() } else { TensorCache::off() };
        Ok(folder.map_or_else(for_this_run, |folder| TensorCache::new(&folder.join(FOLDER), &settings)))
    }
}
