//! The newest events of a watched generation, in memory, shared by all its watchers.
//!
//! Must not know where events are kept for good.

use crate::{Event, WatchEnd};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch::{Sender, channel};

/// Events kept in memory for each watched generation.
const TAIL: usize = 128;

/// The newest events of a watched generation.
pub struct Tail {
    state: Mutex<TailState>,
    pub(crate) woken: Condvar,
    /// Changes with every event and at the end; its value says nothing.
    pub(crate) signal: Sender<()>,
}

/// What a tail knows.
#[derive(Default)]
pub(crate) struct TailState {
    /// The newest events, without gaps.
    pub(crate) events: VecDeque<Arc<Event>>,
    /// The number of the newest event that was written.
    pub(crate) last: u64,
    /// Why nothing follows.
    pub(crate) end: Option<WatchEnd>,
}

impl Tail {
    /// A tail that knows no event yet; one that is made while the node stops has ended.
    pub(crate) fn new(end: Option<WatchEnd>) -> Self {
        let state = Mutex::new(TailState { end, ..TailState::default() });
        Self { state, woken: Condvar::new(), signal: channel(()).0 }
    }

    /// Adds an event and wakes whoever waits. Called in the order of the numbers.
    pub(crate) fn push(&self, event: &Arc<Event>) {
        {
            let mut state = self.lock();
            if event.number <= state.last {
                return; // The tail was made after this event was written; its watchers find it in the log.
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
        self.wake();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, TailState> {
        self.state.lock()
    }

    fn wake(&self) {
        self.woken.notify_all();
        self.signal.send_replace(());
    }

    /// Says that nothing follows, and why; the first reason counts.
    pub(crate) fn end(&self, end: WatchEnd) {
        self.lock().end.get_or_insert(end);
        self.wake();
    }
}
