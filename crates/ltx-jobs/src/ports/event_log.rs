//! The events of generations: appended with the next number, read back in order, and told to whoever subscribed.
//!
//! Must not know who watches.

use crate::{
    Event, EventKind, GenerationRecord, Result, clock::Now, hub::Hub, news::Listeners, watch::WatchedGeneration,
};
use std::sync::Arc;

/// The log of everything that happens to generations. Changes of a record append their own events; what a running
/// generation reports is appended here.
pub trait EventLog: Send + Sync {
    /// Appends an event to a generation that runs and that nobody has asked to stop; to any other, nothing: no step follows the
    /// event that says it is being cancelled. `true` when its client has asked, or another node has
    /// taken the generation over: whoever reports learns it from the first step after that, however short the steps are.
    ///
    /// # Errors
    /// `Database`, `StorageFull`; nothing was appended then, and no number is lost.
    fn append(&self, generation: &GenerationRecord, kind: EventKind, now: Now) -> Result<bool>;

    /// The events after a number, in order; a part of them where there are many.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn after(&self, of: WatchedGeneration, number: u64) -> Result<Vec<Arc<Event>>>;

    /// Who hears of every event that this node writes, those that changes of a record append included.
    fn listeners(&self) -> &Listeners;

    /// Who watches generations here, and is handed their newest events as they come.
    fn watchers(&self) -> &Hub;
}
