//! What has been kept long enough, how much is kept, and the node's own clock, by which that is counted.
//!
//! Must not know files, nor touch what has not ended.

use crate::{GenerationId, Result, clock::Now};

/// Generations to whom files belong.
#[derive(Debug, Default)]
pub struct FileOwners {
    /// They have outputs.
    pub with_outputs: Vec<GenerationId>,
    /// Their latent may be needed.
    pub unfinished: Vec<GenerationId>,
}

/// How much is kept, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBytes {
    /// Of outputs.
    pub outputs: u64,
    /// Of uploads.
    pub uploads: u64,
}

/// Whatever is kept for a while and then forgotten.
pub trait Retained {
    /// Marks outputs as gone, with the images they were made from, that ended before `before_age_ms`, and then the oldest until
    /// the rest takes at most `keep_bytes`. Returns whose.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    fn expire_outputs(&self, before_age_ms: i64, keep_bytes: u64) -> Result<Vec<GenerationId>>;

    /// Forgets generations that ended before `before_age_ms`. Returns which.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    fn expire_records(&self, before_age_ms: i64) -> Result<Vec<GenerationId>>;

    /// Forgets uploads made before `before_age_ms`, and then the oldest until the rest takes at most `keep_bytes`. Returns
    /// how many.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    fn expire_uploads(&self, before_age_ms: i64, keep_bytes: u64) -> Result<usize>;

    /// Generations that have outputs, and those whose latent may be needed.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn owners_of_files(&self) -> Result<FileOwners>;

    /// Bytes of kept outputs and of kept uploads.
    ///
    /// # Errors
    /// `Database`.
    fn kept_bytes(&self) -> Result<KeptBytes>;
}

/// Whether it is a node's turn to remove what has been kept long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepTurn {
    /// Another node of the service does it.
    NotNow,
    /// It removes what has expired.
    Expired,
    /// The same, and files that belong to nothing.
    ExpiredAndOrphans,
}

/// What a store does for itself between two starts.
pub trait Upkeep {
    /// Whether this node sweeps now. A node with a store of its own always does, and removes orphans when it starts.
    ///
    /// # Errors
    /// `Unavailable`.
    fn sweep_turn(&self) -> Result<SweepTurn> {
        Ok(SweepTurn::Expired)
    }

    /// The node's own time and the wall's, as they were stored last.
    ///
    /// # Errors
    /// `Database`.
    fn stored_clock(&self) -> Result<Option<Now>>;

    /// Keeps the node's own time for the next start.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    fn store_clock(&self, now: Now) -> Result<()>;

    /// Makes the next start quick.
    ///
    /// # Errors
    /// `Database`.
    fn checkpoint(&self) -> Result<()>;
}
