//! The events of generations: appended with the next number, read back in order, and told to whoever subscribed.
//!
//! Must not know who watches.

use crate::{Event, EventKind, GenerationId, GenerationRecord, Result, WatchEnd, clock::Now, tail::Tail};
use std::sync::Arc;

/// The log of everything that happens to generations. Changes of a record append their own events; what a running
/// generation reports is appended here.
pub(crate) trait EventLog: Send + Sync {
    /// Appends an event to a generation that runs; to any other, nothing. `true` when its client has asked to stop it:
    /// whoever reports learns it from the step that follows the cancel in the record, however short the steps are.
    ///
    /// # Errors
    /// `Database`, `StorageFull`; nothing was appended then, and no number is lost.
    fn append(&self, generation: &GenerationRecord, kind: EventKind, now: Now) -> Result<bool>;

    /// The events after a number, in order; a part of them where there are many.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn after(&self, sequence: i64, number: u64) -> Result<Vec<Arc<Event>>>;

    /// The generation's newest events as they come, from now on.
    fn subscribe(&self, id: GenerationId) -> Arc<Tail>;

    /// Ends the watches of one generation.
    fn end(&self, id: GenerationId, end: WatchEnd);

    /// Ends every watch, those to come included.
    fn stop(&self);
}
