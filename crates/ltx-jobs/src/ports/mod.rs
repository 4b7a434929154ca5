//! What the jobs of a node need of whoever keeps things for them: records and their changes, events, uploads, what was
//! measured, the node's clock, and files. Today that is one SQLite database and one folder.
//!
//! Must not know any of them. A generation's life is decided in [`lifecycle`](crate::lifecycle); who keeps it writes that
//! down as a whole or not at all, and says so only once it is safe.

mod blobs;
mod cached;
mod calibration;
mod event_log;
mod records;
mod retention;
mod uploads;

pub(crate) use blobs::{Blobs, Shelf};
pub(crate) use cached::CachedUses;
pub(crate) use calibration::Calibration;
pub(crate) use event_log::EventLog;
pub(crate) use records::{CancelledWhen, Changes, NeededImage, NewGeneration, Records, Recovered};
pub(crate) use retention::{FileOwners, KeptBytes, Retained, Upkeep};
pub(crate) use uploads::{NewUpload, Uploads};

/// Everything that a node keeps of its generations beside their files.
pub(crate) trait Store:
    Changes + Records + Uploads + Retained + Calibration + CachedUses + Upkeep + Send + Sync
{
}

impl<T: Changes + Records + Uploads + Retained + Calibration + CachedUses + Upkeep + Send + Sync> Store for T {}
