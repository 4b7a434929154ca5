//! The line in this process' memory: a [`FairQueue`] and the one generation on the device.
//!
//! Must not know records.

use super::{Claim, Line, Place, Waiting, fair::FairQueue};
use crate::{ClientId, GenerationId, core::in_milliseconds, estimate::Workload};
use ltx_types::CancelToken;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A line that is gone with the process.
#[derive(Default)]
pub(crate) struct MemoryLine {
    state: Mutex<LineState>,
    /// Something was pushed, or the line was closed.
    moved: Condvar,
}

#[derive(Default)]
struct LineState {
    queue: FairQueue,
    claimed: Option<Claimed>,
    closed: bool,
}

/// What is on the device.
struct Claimed {
    claim: Claim,
    /// Seconds it had left at `since`, as far as that can be estimated.
    left: Option<f64>,
    since: Instant,
}

impl Claimed {
    fn left(&self) -> Option<f64> {
        self.left.map(|left| (left - self.since.elapsed().as_secs_f64()).max(0.0))
    }
}

impl MemoryLine {
    fn state(&self) -> MutexGuard<'_, LineState> {
        self.state.lock()
    }
}

impl LineState {
    /// Adds the seconds that the claimed generation has left. Whole milliseconds: told live or read back, the number is
    /// the same.
    fn with_claimed(&self, place: Place) -> Place {
        let claimed = self.claimed.as_ref().map_or(Some(0.0), Claimed::left);
        let seconds = place.seconds.zip(claimed).map(|(queued, claimed)| in_milliseconds(queued + claimed));
        Place { seconds, ..place }
    }

    fn claimed(&mut self, id: GenerationId) -> Option<&mut Claimed> {
        self.claimed.as_mut().filter(|claimed| claimed.claim.id == id)
    }
}

impl Line for MemoryLine {
    fn push(&self, client: &ClientId, waiting: Waiting) {
        self.state().queue.push(client, waiting);
        self.moved.notify_all();
    }

    fn claim(&self) -> Option<Claim> {
        let waits = |state: &mut LineState| !state.closed && state.queue.len() == 0;
        let mut state = self.state();
        self.moved.wait_while(&mut state, waits);
        if state.closed {
            return None;
        }
        let Waiting { id, seconds, .. } = state.queue.pop()?;
        let claim = Claim { id, cancel: CancelToken::new() };
        state.claimed = Some(Claimed { claim: claim.clone(), left: seconds, since: Instant::now() });
        Some(claim)
    }

    fn extend(&self, id: GenerationId, seconds_left: Option<f64>) {
        if let Some(claimed) = self.state().claimed(id) {
            (claimed.left, claimed.since) = (seconds_left, Instant::now());
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
        state.queue.place(client, id).map(|place| state.with_claimed(place))
    }

    fn place_of_new(&self, client: &ClientId) -> Place {
        let state = self.state();
        state.with_claimed(state.queue.place_of_new(client))
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

    fn waiting(seconds: Option<f64>) -> Waiting {
        Waiting { id: GenerationId::new(), work: None, seconds }
    }

    #[test]
    fn what_is_claimed_counts_for_whoever_waits_until_it_has_ended() {
        let (line, client) = (MemoryLine::default(), ClientId::new("a").unwrap());
        line.push(&client, waiting(None));
        let claim = line.claim().unwrap();
        assert_eq!((line.claimed(), line.len()), (Some(claim.id), 0));
        assert_eq!(line.place_of_new(&client), Place { before: 0, seconds: None }, "nobody knows");
        line.extend(claim.id, Some(1e9));
        assert!(line.place_of_new(&client).seconds.is_some_and(|seconds| seconds > 9e8));
        line.ack(claim.id);
        assert_eq!(line.place_of_new(&client), Place { before: 0, seconds: Some(0.0) });
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
