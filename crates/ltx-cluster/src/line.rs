//! The line of a service as a node sees it: what waits, by client and model, and what is ahead of whom. Places and waits in it are
//! estimates: every worker takes what it can, and none asks the others.
//!
//! Must not know how work comes to a worker.

use ltx_jobs::{
    ClientId, EventKind, GenerationId, State,
    ports::{Document, FairQueue, Place, Waiting},
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// A client's generations on one model.
pub(crate) type Lane = (ClientId, String);

/// What waits and what runs in the service.
#[derive(Default)]
pub(crate) struct Waits {
    state: Mutex<Line>,
    moved: Condvar,
}

#[derive(Default)]
struct Line {
    seen: HashMap<GenerationId, Seen>,
    queue: FairQueue,
    lanes: HashMap<Lane, BTreeMap<u64, GenerationId>>,
    /// The revision at which something of a client was started last: who was served longest ago is next.
    served: HashMap<ClientId, u64>,
    running: usize,
}

/// A generation that waits or runs.
struct Seen {
    revision: u64,
    lane: Lane,
    /// Its place in its lane, while it waits.
    place: Option<u64>,
    worker: String,
    since: Instant,
    seconds_left: Option<f64>,
}

impl Line {
    fn leave(&mut self, id: GenerationId, seen: &Seen) {
        match seen.place {
            Some(place) => {
                self.queue.remove(&seen.lane.0, id);
                if let Some(lane) = self.lanes.get_mut(&seen.lane) {
                    lane.remove(&place);
                    if lane.is_empty() {
                        self.lanes.remove(&seen.lane);
                    }
                }
            }
            None => self.running -= 1,
        }
    }
}

impl Waits {
    /// A document is like this at a revision. Called in the order of the revisions of each.
    pub(crate) fn observe(&self, document: &Document, revision: u64) {
        let (id, mut state) = (document.id, self.state.lock());
        let before = state.seen.remove(&id);
        let waited = before.as_ref().and_then(|seen| seen.place);
        let attempts_begun = before.as_ref().is_some_and(|seen| seen.place.is_some());
        if let Some(before) = &before {
            state.leave(id, before);
        }
        let lane = (document.client.clone(), document.model.clone());
        let place = match document.state {
            State::Queued => {
                let place = waited.unwrap_or(document.sequence.map_or(revision, |sequence| sequence as u64));
                let seconds = document.predicted_seconds();
                state.queue.push(&lane.0, Waiting { id, work: None, seconds });
                state.lanes.entry(lane.clone()).or_default().insert(place, id);
                Some(place)
            }
            State::Running => {
                if attempts_begun || before.is_none() {
                    let served = state.served.entry(lane.0.clone()).or_default();
                    *served = revision.max(*served);
                }
                state.running += 1;
                None
            }
            State::Done | State::Failed | State::Cancelled => {
                self.moved.notify_all();
                return;
            }
        };
        let told = document.news().last().and_then(|event| match event.kind {
            EventKind::Progress { seconds_left, .. } => seconds_left,
            _ => document.predicted_seconds(),
        });
        let (worker, since) = (document.worker.clone(), Instant::now());
        state.seen.insert(id, Seen { revision, lane, place, worker, since, seconds_left: told });
        self.moved.notify_all();
    }

    /// A generation is gone.
    pub(crate) fn forget(&self, id: GenerationId) {
        let mut state = self.state.lock();
        if let Some(seen) = state.seen.remove(&id) {
            state.leave(id, &seen);
        }
    }

    /// Generations that wait, and those that run.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.running)
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    pub(crate) fn len_of(&self, client: &ClientId) -> usize {
        self.state.lock().queue.len_of(client)
    }

    /// What runs on a node.
    pub(crate) fn run_by(&self, node: &str) -> Vec<GenerationId> {
        let state = self.state.lock();
        let of_it = state.seen.iter().filter(|(_, seen)| seen.place.is_none() && seen.worker == node);
        of_it.map(|(id, _)| *id).collect()
    }

    /// Lanes of these models that may have work, the client first that was served longest ago: something waits there, or runs on
    /// a worker of which nothing was heard for that long.
    pub(crate) fn lanes(&self, models: &[String], silent: Duration) -> Vec<Lane> {
        let state = self.state.lock();
        let waiting = state.lanes.iter().filter_map(|(lane, ids)| Some((lane, *ids.first_key_value()?.0)));
        let quiet = state.seen.values().filter(|seen| seen.place.is_none() && seen.since.elapsed() > silent);
        let quiet = quiet.map(|seen| (&seen.lane, seen.revision));
        let mut lanes: Vec<_> = waiting.chain(quiet).filter(|(lane, _)| models.contains(&lane.1)).collect();
        lanes.sort_by_key(|(lane, place)| (state.served.get(&lane.0).copied().unwrap_or(0), *place));
        let mut found: Vec<Lane> = Vec::with_capacity(lanes.len());
        for (lane, _) in lanes {
            if !found.contains(lane) {
                found.push(lane.clone());
            }
        }
        found
    }

    /// What has waited in a lane for that long.
    pub(crate) fn waiting_since(&self, lane: &Lane, long: Duration) -> Vec<GenerationId> {
        let state = self.state.lock();
        let of_it = state.lanes.get(lane).into_iter().flat_map(BTreeMap::values);
        let long_ago = |id: &&GenerationId| state.seen.get(id).is_some_and(|seen| seen.since.elapsed() > long);
        of_it.filter(long_ago).copied().collect()
    }

    /// What waits without a message has one again: it is not looked at for a while.
    pub(crate) fn note_found(&self, id: GenerationId) {
        if let Some(seen) = self.state.lock().seen.get_mut(&id) {
            seen.since = Instant::now();
        }
    }

    /// How many of a lane run.
    pub(crate) fn running_in(&self, lane: &Lane) -> usize {
        let state = self.state.lock();
        state.seen.values().filter(|seen| seen.place.is_none() && seen.lane == *lane).count()
    }

    pub(crate) fn place(&self, client: &ClientId, id: GenerationId, workers: usize) -> Option<Place> {
        let state = self.state.lock();
        state.queue.place(client, id).map(|place| state.among(place, workers))
    }

    pub(crate) fn place_of_new(&self, client: &ClientId, with_it: &[Option<f64>], workers: usize) -> Place {
        let state = self.state.lock();
        state.among(state.queue.place_of_new(client, with_it), workers)
    }

    /// Waits until something has moved, at most that long.
    pub(crate) fn wait(&self, long: Duration) {
        self.moved.wait_for(&mut self.state.lock(), long);
    }

    /// Wakes whoever waits.
    pub(crate) fn wake(&self) {
        self.moved.notify_all();
    }
}

impl Line {
    /// A place's wait where so many workers take turns: nothing while one of them is free for it, else an even share of the
    /// seconds that are ahead of it and that what runs has left.
    fn among(&self, place: Place, workers: usize) -> Place {
        let free = workers.saturating_sub(self.running);
        let seconds = match place.before < free {
            true => Some(0.0),
            false => {
                let left = |seen: &Seen| Some((seen.seconds_left? - seen.since.elapsed().as_secs_f64()).max(0.0));
                let running = self.seen.values().filter(|seen| seen.place.is_none()).map(left);
                let running: Option<f64> = running.sum();
                let share = workers.max(1) as f64;
                place.seconds.zip(running).map(|(ahead, running)| ((ahead + running) / share * 1000.0).round() / 1000.0)
            }
        };
        Place { seconds, ..place }
    }
}
