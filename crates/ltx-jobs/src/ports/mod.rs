//! What the jobs of a node need of whoever keeps things for them: records and their changes, events, uploads, what was
//! measured, the node's clock, and files. A node alone has one SQLite database
//! and one folder; the nodes of a service share one in NATS (`ltx-cluster`).
//!
//! Must not know any of them. A generation's life is decided in [`lifecycle`](crate::lifecycle); who keeps it writes that
//! down as a whole or not at all, and says so only once it is safe.

mod blobs;
mod cached;
mod calibration;
mod event_log;
mod previews;
mod records;
mod retention;
mod shares;
mod uploads;

pub use blobs::{Blobs, Shelf};
pub use cached::CachedUses;
pub use calibration::Calibration;
pub use event_log::EventLog;
pub use previews::{NobodyElse, PreviewExchange, Shown};
pub use records::{CancelledWhen, Changes, NeededImage, NewGeneration, Records, Recovered};
pub use retention::{FileOwners, KeptBytes, Retained, SweepTurn, Upkeep};
pub use shares::Shares;
pub use uploads::{NewUpload, Uploads};

// What stores are made of, and what they are told in.
pub use crate::{
    clock::{Now, absence},
    document::{Document, DocumentImage},
    estimate::{Basis, Measured, Workload},
    hub::Hub,
    latent::reach,
    lifecycle::{Ending, Happening},
    line::{Claim, FairQueue, Line, Place, Waiting},
    news::{Listener, Listeners},
    sqlite::{Mirror, Mirrored, MirroredUpload, TakenIn},
    watch::WatchedGeneration,
};
use std::sync::Arc;

/// Whatever keeps things for the jobs of a node.
pub struct Backing {
    /// Records and what belongs to them.
    pub store: Arc<dyn Store>,
    /// Their events.
    pub events: Arc<dyn EventLog>,
    /// Files.
    pub blobs: Arc<dyn Blobs>,
    /// What waits. It fills itself.
    pub line: Box<dyn Line>,
    /// How often clients may ask.
    pub shares: Arc<dyn Shares>,
    /// Who else shows and wants previews.
    pub previews: Arc<dyn PreviewExchange>,
}

/// Everything that a node keeps of its generations beside their files.
pub trait Store: Changes + Records + Uploads + Retained + Calibration + CachedUses + Upkeep + Send + Sync {}

impl<T: Changes + Records + Uploads + Retained + Calibration + CachedUses + Upkeep + Send + Sync> Store for T {}
