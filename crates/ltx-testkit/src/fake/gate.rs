//! A gate before every step of the fake: a test holds the device there and says how far it goes, so that what runs and what
//! waits is a fact, on a machine however slow.
//!
//! Must not know what a step does.

use super::LONG;
use ltx_types::{CancelToken, Stage};
use parking_lot::{Condvar, Mutex};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How often a run that is held looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(1);

/// The gate, one for all generations of a device. Clones are the same gate; by default it stands open.
///
/// A run comes to it with the progress that it has just reported, whenever that stage has a step left. One that is cancelled
/// is held no longer.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    way: Way,
    /// Where a run is held now.
    held: Option<Place>,
    /// Steps that came here, by seed.
    came: HashMap<u64, usize>,
}

/// A step of a generation, by the generation's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seed: u64,
    stage: Stage,
    step: usize,
}

/// Who may pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    /// Everything.
    #[default]
    Open,
    /// So many steps; none is a gate that is closed.
    Steps(usize),
    /// Everything before this step; then the gate is closed.
    Until(Place),
}

impl Gate {
    /// A gate that lets nothing pass.
    pub fn closed() -> Self {
        let gate = Self::default();
        gate.close();
        gate
    }

    /// Lets nothing pass from now on.
    pub fn close(&self) {
        self.set(Way::Steps(0));
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.set(Way::Open);
    }

    /// Lets `count` steps pass, beside those that it was already told to, and then nothing.
    pub fn open_n(&self, count: usize) {
        let mut state = self.0.state.lock();
        let before = if let Way::Steps(left) = state.way { left } else { 0 };
        state.way = Way::Steps(before + count);
        self.0.moved.notify_all();
    }

    /// Waits until the generation with this seed is held before this step (0 is the first) of a stage.
    ///
    /// # Panics
    /// It is not within [`LONG`].
    pub fn reached(&self, seed: u64, stage: Stage, step: usize) {
        let place = Place { seed, stage, step };
        let mut state = self.0.state.lock();
        self.0.moved.wait_while_for(&mut state, |state| state.held != Some(place), LONG);
        assert_eq!(state.held, Some(place), "the device does not come there: {state:?}");
    }

    /// Lets everything pass that comes before a step, and waits until the device is held there.
    ///
    /// # Panics
    /// As [`Gate::reached`].
    pub fn bring_to(&self, seed: u64, stage: Stage, step: usize) {
        self.set(Way::Until(Place { seed, stage, step }));
        self.reached(seed, stage, step);
    }

    /// How many steps of the generation with this seed have come to the gate, the one that is held among them.
    pub fn came(&self, seed: u64) -> usize {
        self.0.state.lock().came.get(&seed).copied().unwrap_or(0)
    }

    /// Passes with a step, as soon as the test lets it or the run is cancelled.
    pub(super) fn pass(&self, seed: u64, stage: Stage, step: usize, cancel: &CancelToken) {
        let here = Place { seed, stage, step };
        let mut state = self.0.state.lock();
        *state.came.entry(seed).or_default() += 1;
        loop {
            let way = state.way;
            match way {
                Way::Open => break,
                Way::Steps(0) => {}
                Way::Steps(left) => {
                    state.way = Way::Steps(left - 1);
                    break;
                }
                Way::Until(place) if place != here => break,
                Way::Until(_) => state.way = Way::Steps(0),
            }
            if cancel.is_cancelled() {
                break;
            }
            if state.held != Some(here) {
                state.held = Some(here);
                self.0.moved.notify_all();
            }
            self.0.moved.wait_for(&mut state, LOOK);
        }
        state.held = None;
    }

    fn set(&self, way: Way) {
        self.0.state.lock().way = way;
        self.0.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of three steps on a thread of its own.
    fn run(gate: &Gate, seed: u64, cancel: &CancelToken) -> std::thread::JoinHandle<()> {
        let (gate, cancel) = (gate.clone(), cancel.clone());
        std::thread::spawn(move || (0..3).for_each(|step| gate.pass(seed, Stage::Denoising, step, &cancel)))
    }

    #[test]
    fn a_run_goes_as_far_as_it_is_let_or_until_it_is_cancelled() {
        let (gate, cancel) = (Gate::closed(), CancelToken::new());
        let first = run(&gate, 1, &cancel);
        gate.reached(1, Stage::Denoising, 0);
        gate.open_n(1);
        gate.reached(1, Stage::Denoising, 1);
        gate.bring_to(1, Stage::Denoising, 2);
        gate.open();
        first.join().unwrap();
        gate.close();
        let second = run(&gate, 2, &cancel);
        gate.reached(2, Stage::Denoising, 0);
        cancel.cancel();
        second.join().unwrap();
        assert_eq!([1, 2, 3].map(|seed| gate.came(seed)), [3, 3, 0]);
    }
}
