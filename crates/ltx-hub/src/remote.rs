//! A file as a hub has it: its commit, its size, its digest, and where its bytes are.
//!
//! Must not know how it is asked.

use crate::{Digest, RepoFile};

/// A file as the hub has it.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What was asked for.
    pub file: RepoFile,
    /// The state of the repository that the revision stands for.
    pub commit: String,
    /// Its size.
    pub bytes: u64,
    /// The name of its bytes.
    pub etag: String,
    /// Where its bytes are; may be of another server, and good for an hour.
    #[cfg(feature = "client")]
    pub(crate) location: reqwest::Url,
}

impl Remote {
    /// What its bytes must add up to; nothing where the hub's etag is no digest.
    pub fn digest(&self) -> Option<Digest> {
        Digest::of_etag(&self.etag)
    }
}
