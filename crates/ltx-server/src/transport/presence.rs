//! What the node knows of a connection beside its bytes: whether a known client speaks on it, and how many calls are open.
//!
//! Must not know how a connection is read, nor what the calls are.

use parking_lot::{Mutex, MutexGuard};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// One connection's presence. Clones are the same one; the transport puts it into every request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Presence(Arc<State>);

#[derive(Debug)]
struct State {
    accepted: Instant,
    known: AtomicBool,
    calls: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    count: usize,
    /// When the last one ended.
    since: Instant,
}

/// One open call; dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Visit(Presence);

impl Presence {
    pub(crate) fn new() -> Self {
        let accepted = Instant::now();
        let calls = Mutex::new(Open { count: 0, since: accepted });
        Self(Arc::new(State { accepted, known: AtomicBool::new(false), calls }))
    }

    /// A call begins.
    pub(crate) fn enter(&self) -> Visit {
        self.lock().count += 1;
        Visit(self.clone())
    }

    /// A call came from a client the node knows.
    pub(crate) fn is_known(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    /// Until when it may stay, as things are now: `idle` after its last call; calls of strangers do not prolong it.
    pub(crate) fn welcome_until(&self, idle: Duration) -> Instant {
        let open = self.lock();
        match (self.0.known.load(Ordering::Relaxed), open.count) {
            (false, _) => self.0.accepted + idle,
            (true, 0) => open.since + idle,
            (true, _) => Instant::now() + idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.calls.lock()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.0.lock();
        open.count -= 1;
        open.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[test]
    fn only_calls_of_a_known_client_prolong_a_connection() {
        let presence = Presence::new();
        let pause = || std::thread::sleep(Duration::from_millis(5));
        let visit = presence.enter();
        let stranger = presence.welcome_until(IDLE);
        pause();
        assert_eq!(presence.welcome_until(IDLE), stranger);
        presence.is_known();
        let open = presence.welcome_until(IDLE);
        assert!(open > stranger);
        drop(visit);
        let ended = presence.welcome_until(IDLE);
        pause();
        assert!(ended >= open && presence.welcome_until(IDLE) == ended);
    }
}
