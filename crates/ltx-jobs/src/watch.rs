//! Watching a generation: every event after a number, in order, none lost and none twice.
//!
//! Must not know who writes events. The database holds them all; a watched generation's newest also lie in memory, shared
//! by all its watchers, so that a watcher costs a few hundred bytes and wakes without a query.

use crate::{Event, GenerationId, Result, store::Store};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::watch::{Receiver, Sender, channel};

/// Events kept in memory for each watched generation.
const TAIL: usize = 128;

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

/// The newest events of a watched generation.
struct Tail {
    state: Mutex<TailState>,
    woken: Condvar,
    /// Changes with every event and at the end; its value says nothing.
    signal: Sender<()>,
}

#[derive(Default)]
struct TailState {
    events: VecDeque<Arc<Event>>,
    last: u64,
    end: Option<WatchEnd>,
}

impl Tail {
    fn lock(&self) -> MutexGuard<'_, TailState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.woken.notify_all();
        self.signal.send_replace(());
    }

    fn end(&self, end: WatchEnd) {
        self.lock().end.get_or_insert(end);
        self.wake();
    }
}

/// The tails of everything that is watched.
#[derive(Default)]
pub(crate) struct Hub {
    tails: Mutex<Tails>,
}

#[derive(Default)]
struct Tails {
    by_id: HashMap<GenerationId, Weak<Tail>>,
    stopping: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Tails> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an event to the generation's watchers. Called in the order of the numbers.
    pub(crate) fn publish(&self, id: GenerationId, event: &Arc<Event>) {
        let Some(tail) = self.tail(id) else { return };
        {
            let mut state = tail.lock();
            if event.number <= state.last {
                return; // The tail was made after this event was written; its watchers find it in the database.
            }
            if event.number != state.last + 1 {
                state.events.clear();
            }
            if state.events.len() == TAIL {
                state.events.pop_front();
            }
            state.events.push_back(Arc::clone(event));
            state.last = event.number;
        }
        tail.wake();
    }

    /// Ends the watches of one generation.
    pub(crate) fn end(&self, id: GenerationId, end: WatchEnd) {
        let tail = self.lock().by_id.remove(&id).and_then(|tail| tail.upgrade());
        if let Some(tail) = tail {
            tail.end(end);
        }
    }

    /// Ends every watch, those to come included.
    pub(crate) fn stop(&self) {
        let tails: Vec<_> = {
            let mut tails = self.lock();
            tails.stopping = true;
            tails.by_id.drain().filter_map(|(_, tail)| tail.upgrade()).collect()
        };
        tails.iter().for_each(|tail| tail.end(WatchEnd::Stopping));
    }

    fn tail(&self, id: GenerationId) -> Option<Arc<Tail>> {
        let mut tails = self.lock();
        let tail = tails.by_id.get(&id)?.upgrade();
        if tail.is_none() {
            tails.by_id.remove(&id);
        }
        tail
    }

    /// The generation's tail, made if need be. A new one knows no event yet.
    fn tail_or_new(&self, id: GenerationId) -> Arc<Tail> {
        let mut tails = self.lock();
        if let Some(tail) = tails.by_id.get(&id).and_then(Weak::upgrade) {
            return tail;
        }
        if tails.by_id.len() >= 1024 {
            tails.by_id.retain(|_, tail| tail.strong_count() > 0);
        }
        let end = tails.stopping.then_some(WatchEnd::Stopping);
        let state = Mutex::new(TailState { end, ..TailState::default() });
        let tail = Arc::new(Tail { state, woken: Condvar::new(), signal: channel(()).0 });
        tails.by_id.insert(id, Arc::downgrade(&tail));
        tail
    }
}

/// The events of one generation, from a number on.
pub struct Watch {
    store: Arc<Store>,
    tail: Arc<Tail>,
    signal: Receiver<()>,
    sequence: i64,
    seen: u64,
    ready: VecDeque<Arc<Event>>,
    end: Option<WatchEnd>,
}

impl Watch {
    /// Follows a generation from the event after `seen`. `last` asks the database for the newest event's number, after
    /// the tail is there, so that no event falls between the two.
    pub(crate) fn new(
        (hub, store): (&Hub, Arc<Store>),
        (id, sequence): (GenerationId, i64),
        seen: u64,
        last: impl FnOnce() -> Result<(u64, bool)>,
    ) -> Result<Self> {
        let tail = hub.tail_or_new(id);
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
        Ok(Self { store, tail, signal, sequence, seen, ready: VecDeque::new(), end })
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
            let state = self.tail.lock();
            if state.last > self.seen || state.end.is_some() {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Watched::Pending);
            }
            drop(self.tail.woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner));
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
        self.ready = self.store.events_after(self.sequence, self.seen)?.into();
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
