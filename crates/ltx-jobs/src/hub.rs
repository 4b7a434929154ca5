//! The tails of every generation that is watched in this process.
//!
//! Must not know who writes events, or who watches.

use crate::{Event, GenerationId, WatchEnd, tail::Tail};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// The tails of everything that is watched.
#[derive(Default)]
pub struct Hub {
    tails: Mutex<Tails>,
}

#[derive(Default)]
struct Tails {
    by_id: HashMap<GenerationId, Weak<Tail>>,
    stopping: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Tails> {
        self.tails.lock()
    }

    /// Hands an event to the generation's watchers. Called in the order of the numbers.
    pub fn publish(&self, id: GenerationId, event: &Arc<Event>) {
        if let Some(tail) = self.tail(id) {
            tail.push(event);
        }
    }

    /// Ends the watches of one generation.
    pub fn end(&self, id: GenerationId, end: WatchEnd) {
        let tail = self.lock().by_id.remove(&id).and_then(|tail| tail.upgrade());
        if let Some(tail) = tail {
            tail.end(end);
        }
    }

    /// Ends every watch, those to come included.
    pub fn stop(&self) {
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
    pub fn tail_or_new(&self, id: GenerationId) -> Arc<Tail> {
        let mut tails = self.lock();
        if let Some(tail) = tails.by_id.get(&id).and_then(Weak::upgrade) {
            return tail;
        }
        if tails.by_id.len() >= 1024 {
            tails.by_id.retain(|_, tail| tail.strong_count() > 0);
        }
        let end = tails.stopping.then_some(WatchEnd::Stopping);
        let tail = Arc::new(Tail::new(end));
        tails.by_id.insert(id, Arc::downgrade(&tail));
        tail
    }
}
