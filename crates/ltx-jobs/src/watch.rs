//! Watching a generation: every event after a number, in order, none lost and none twice.
//!
//! Must not know who writes events. The log holds them all; a watched generation's newest also lie in memory, shared
//! by all its watchers, so that a watcher costs a few hundred bytes and wakes without a query.

use crate::{Event, GenerationId, Result, ports::EventLog, tail::Tail};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch::Receiver;

/// Why a watch has no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEnd {
    /// The last event was the generation's last.
    Finished,
    /// The generation was deleted.
    Deleted,
    /// The node stops; another watch can go on later, after the last event seen here.
    Stopping,
}

/// What a watch has now.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// The next event.
    Event(Arc<Event>),
    /// Nothing yet.
    Pending,
    /// Nothing any more.
    End(WatchEnd),
}

/// Which generation is watched.
#[derive(Debug, Clone, Copy)]
pub struct WatchedGeneration {
    /// Which.
    pub id: GenerationId,
    /// Its place among all generations of the store.
    pub sequence: i64,
}

/// The events of one generation, from a number on.
pub struct Watch {
    log: Arc<dyn EventLog>,
    tail: Arc<Tail>,
    signal: Receiver<()>,
    of: WatchedGeneration,
    seen: u64,
    ready: VecDeque<Arc<Event>>,
    end: Option<WatchEnd>,
}

impl Watch {
    /// Follows a generation from the event after `seen`. `last` asks the records for the newest event's number and whether
    /// it is the last one, after the tail is there, so that no event falls between the two.
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        of: WatchedGeneration,
        seen: u64,
        last: impl FnOnce() -> Result<(u64, bool)>,
    ) -> Result<Self> {
        let tail = log.watchers().tail_or_new(of.id);
        let signal = tail.signal.subscribe();
        let (last, is_final) = last()?;
        {
            let mut state = tail.lock();
            if state.last < last {
                state.events.clear();
                state.last = last;
            }
        }
        let end = (is_final && seen >= last).then_some(WatchEnd::Finished);
        Ok(Self { log, tail, signal, of, seen, ready: VecDeque::new(), end })
    }

    /// The number of the last event handed out.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What there is now; never waits (a watch that is far behind reads the database).
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn poll(&mut self) -> Result<Watched> {
        if let Some(end) = self.end {
            return Ok(Watched::End(end));
        }
        if self.ready.is_empty() {
            self.fetch()?;
        }
        let Some(event) = self.ready.pop_front() else {
            if self.end.is_none() {
                let state = self.tail.lock();
                // An event may have come since; it goes before the end.
                self.end = state.end.filter(|_| state.last <= self.seen);
            }
            return Ok(self.end.map_or(Watched::Pending, Watched::End));
        };
        self.seen = event.number;
        if event.kind.is_final() {
            self.end = Some(WatchEnd::Finished);
        }
        Ok(Watched::Event(event))
    }

    /// Waits until [`poll`](Self::poll) may have something, for async callers.
    pub async fn changed(&mut self) {
        if self.end.is_none() && self.ready.is_empty() {
            // The sender lives in the tail, which this watch holds.
            let _ = self.signal.changed().await;
        }
    }

    /// Waits for the next event on this thread; `Pending` when `timeout` has passed without one.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Watched> {
        let until = Instant::now() + timeout;
        loop {
            match self.poll()? {
                Watched::Pending => {}
                watched => return Ok(watched),
            }
            let mut state = self.tail.lock();
            if state.last > self.seen || state.end.is_some() {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Watched::Pending);
            }
            self.tail.woken.wait_for(&mut state, left);
        }
    }

    /// Fills `ready` with events that follow the last one seen, if there are any.
    fn fetch(&mut self) -> Result<()> {
        {
            let state = self.tail.lock();
            if state.last <= self.seen {
                return Ok(());
            }
            if state.events.front().is_some_and(|first| first.number <= self.seen + 1) {
                self.ready.extend(state.events.iter().filter(|event| event.number > self.seen).cloned());
                return Ok(());
            }
        }
        self.ready = self.log.after(self.of, self.seen)?.into();
        if self.ready.is_empty() {
            self.end = Some(WatchEnd::Deleted);
        }
        Ok(())
    }
}

impl Iterator for Watch {
    type Item = Result<Arc<Event>>;

    /// Waits for the next event, however long that takes; `None` at the end.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_within(Duration::from_secs(3600)) {
                Ok(Watched::Event(event)) => return Some(Ok(event)),
                Ok(Watched::Pending) => {}
                Ok(Watched::End(_)) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).field("end", &self.end).finish_non_exhaustive()
    }
}
