//! The line in this process' memory: a [`FairQueue`] and the one generation on the device.
//!
//! Must not know records.

use super::{Claim, Line, Place, Waiting, fair::FairQueue};
use crate::{ClientId, GenerationId, core::in_milliseconds, estimate::Workload};
use governor::clock::{Clock, MonotonicClock, Reference};
use ltx_types::CancelToken;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A line that is gone with the process.
pub(crate) struct MemoryLine<C: Clock = MonotonicClock> {
    state: Mutex<LineState<C::Instant>>,
    /// Something was pushed, or the line was closed.
    moved: Condvar,
    clock: C,
}

struct LineState<T> {
    queue: FairQueue,
    claimed: Option<Claimed<T>>,
    closed: bool,
}

/// What is on the device.
struct Claimed<T> {
    claim: Claim,
    /// Seconds it had left at `since`, as far as that can be estimated.
    left: Option<f64>,
    since: T,
}

impl<T: Reference> Claimed<T> {
    fn left(&self, now: T) -> Option<f64> {
        let elapsed = Duration::from(now.duration_since(self.since));
        self.left.map(|left| (left - elapsed.as_secs_f64()).max(0.0))
    }
}

impl Default for MemoryLine {
    fn default() -> Self {
        Self::by_clock(MonotonicClock)
    }
}

impl<C: Clock> MemoryLine<C> {
    fn by_clock(clock: C) -> Self {
        let state = LineState { queue: FairQueue::default(), claimed: None, closed: false };
        Self { state: Mutex::new(state), moved: Condvar::new(), clock }
    }

    fn state(&self) -> MutexGuard<'_, LineState<C::Instant>> {
        self.state.lock()
    }
}

impl<T: Reference> LineState<T> {
    /// Adds the seconds that the claimed generation has left. Whole milliseconds: told live or read back, the number is
    /// the same.
    fn with_claimed(&self, place: Place, now: T) -> Place {
        let claimed = self.claimed.as_ref().map_or(Some(0.0), |claimed| claimed.left(now));
        let seconds = place.seconds.zip(claimed).map(|(queued, claimed)| in_milliseconds(queued + claimed));
        Place { seconds, ..place }
    }

    fn claimed(&mut self, id: GenerationId) -> Option<&mut Claimed<T>> {
        self.claimed.as_mut().filter(|claimed| claimed.claim.id == id)
    }
}

impl<C: Clock + Send + Sync> Line for MemoryLine<C> {
    fn push(&self, client: &ClientId, waiting: Waiting) {
        self.state().queue.push(client, waiting);
        self.moved.notify_all();
    }

    fn claim(&self) -> Option<Claim> {
        let waits = |state: &mut LineState<C::Instant>| !state.closed && state.queue.is_empty();
        let mut state = self.state();
        self.moved.wait_while(&mut state, waits);
        if state.closed {
            return None;
        }
        let Waiting { id, seconds, .. } = state.queue.pop()?;
        let claim = Claim { id, cancel: CancelToken::new() };
        state.claimed = Some(Claimed { claim: claim.clone(), left: seconds, since: self.clock.now() });
        Some(claim)
    }

    fn extend(&self, id: GenerationId, seconds_left: Option<f64>) {
        if let Some(claimed) = self.state().claimed(id) {
            (claimed.left, claimed.since) = (seconds_left, self.clock.now());
        }
    }

    fn ack(&self, id: GenerationId) {
        self.state().claimed.take_if(|claimed| claimed.claim.id == id);
    }

    fn back(&self, client: &ClientId, waiting: Waiting) {
        let mut state = self.state();
        state.claimed.take_if(|claimed| claimed.claim.id == waiting.id);
        state.queue.push(client, waiting);
        self.moved.notify_all();
    }

    fn cancel(&self, client: &ClientId, id: GenerationId) {
        let mut state = self.state();
        state.queue.remove(client, id);
        if let Some(claimed) = state.claimed(id) {
            claimed.claim.cancel.cancel();
        }
    }

    fn place(&self, client: &ClientId, id: GenerationId) -> Option<Place> {
        let state = self.state();
        state.queue.place(client, id).map(|place| state.with_claimed(place, self.clock.now()))
    }

    fn place_of_new(&self, client: &ClientId, with_it: &[Option<f64>]) -> Place {
        let state = self.state();
        state.with_claimed(state.queue.place_of_new(client, with_it), self.clock.now())
    }

    fn len(&self) -> usize {
        self.state().queue.len()
    }

    fn len_of(&self, client: &ClientId) -> usize {
        self.state().queue.len_of(client)
    }

    fn claimed(&self) -> Option<GenerationId> {
        self.state().claimed.as_ref().map(|claimed| claimed.claim.id)
    }

    fn estimate_again(&self, seconds: &dyn Fn(&Workload) -> Option<f64>) {
        self.state().queue.estimate_again(seconds);
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        if let Some(claimed) = &state.claimed {
            claimed.claim.cancel.cancel();
        }
        self.moved.notify_all();
    }

    fn closed_within(&self, time: Duration) -> bool {
        let mut state = self.state();
        self.moved.wait_while_for(&mut state, |state| !state.closed, time);
        state.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn waiting(seconds: Option<f64>) -> Waiting {
        Waiting { id: GenerationId::new(), work: None, seconds }
    }

    #[test]
    fn what_is_claimed_counts_for_whoever_waits_until_it_has_ended() {
        let clock = FakeRelativeClock::default();
        let (line, client) = (MemoryLine::by_clock(clock.clone()), ClientId::new("a").unwrap());
        line.push(&client, waiting(None));
        let claim = line.claim().unwrap();
        assert_eq!((line.claimed(), line.len()), (Some(claim.id), 0));
        assert_eq!(line.place_of_new(&client, &[]), Place { before: 0, seconds: None }, "nobody knows");
        line.extend(claim.id, Some(10.0));
        assert_eq!(line.place_of_new(&client, &[]), Place { before: 0, seconds: Some(10.0) });
        let behind = waiting(Some(2.5));
        line.push(&client, behind.clone());
        for (seconds, left) in [(4, 6.0), (5, 1.0), (5, 0.0), (100, 0.0)] {
            clock.advance(Duration::from_secs(seconds));
            assert_eq!(line.place(&client, behind.id), Some(Place { before: 0, seconds: Some(left) }));
            assert_eq!(line.place_of_new(&client, &[]), Place { before: 1, seconds: Some(left + 2.5) }, "they add up");
        }
        line.extend(claim.id, Some(3.0));
        assert_eq!(line.place(&client, behind.id), Some(Place { before: 0, seconds: Some(3.0) }), "it was told anew");
        line.cancel(&client, behind.id);
        line.ack(claim.id);
        assert_eq!(line.place_of_new(&client, &[]), Place { before: 0, seconds: Some(0.0) });
    }

    #[test]
    fn what_is_given_back_waits_again_and_is_no_longer_claimed() {
        let (line, client) = (MemoryLine::default(), ClientId::new("a").unwrap());
        let first = waiting(Some(1.0));
        line.push(&client, first.clone());
        line.push(&client, waiting(Some(2.0)));
        let claim = line.claim().unwrap();
        line.back(&client, first.clone());
        assert_eq!(line.claimed(), None);
        assert_eq!(line.place(&client, claim.id), Some(Place { before: 1, seconds: Some(2.0) }));
    }

    #[test]
    fn a_closed_line_gives_nothing_out_and_stops_what_it_gave() {
        let (line, client) = (MemoryLine::default(), ClientId::new("a").unwrap());
        line.push(&client, waiting(None));
        line.push(&client, waiting(None));
        let claim = line.claim().unwrap();
        assert!(!line.closed_within(Duration::ZERO) && !claim.cancel.is_cancelled());
        line.close();
        assert!(line.closed_within(Duration::ZERO) && claim.cancel.is_cancelled());
        assert!(line.claim().is_none());
    }
}
