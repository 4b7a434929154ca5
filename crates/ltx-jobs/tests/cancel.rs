//! Cancelling in every state, before every step and at random moments: the device is free within a step, and the next generation
//! is not harmed.

mod common;

use common::{Dice, LONG, behind, client, ended, eventually, files, frames_of, open, submit, undisturbed_seeds};
use ltx_jobs::{EventKind, GenerationId, Jobs, JobsError, State, Watched};
use ltx_testkit::fake::{FakeOptions, Gate};
use ltx_types::Stage;
use std::time::Duration;

/// What can be held: every step of a clip of 9 frames.
const STEPS: [(Stage, usize); 4] =
    [(Stage::TextEncoding, 2), (Stage::ImageEncoding, 2), (Stage::Denoising, 8), (Stage::Decoding, 2)];

/// How far a victim gets: so many events after the first, or the end.
fn follow(jobs: &Jobs, id: GenerationId, events: u64) {
    let mut watch = jobs.watch(&client("a"), id, 1).unwrap();
    for _ in 0..events {
        if !matches!(watch.next_within(LONG).unwrap(), Watched::Event(_)) {
            return;
        }
    }
}

/// What has happened to it.
fn events(jobs: &Jobs, id: GenerationId) -> Vec<EventKind> {
    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
    let mut events = Vec::new();
    while let Watched::Event(event) = watch.poll().unwrap() {
        events.push(event.kind.clone());
    }
    events
}

/// A cancel that comes when the outputs are complete is acknowledged a moment before they are removed.
fn gone(path: &std::path::Path) {
    eventually("the outputs are removed", || !path.exists());
}

/// Cancels what has not ended, and nothing comes of it.
fn cancelled(jobs: &Jobs, folder: &std::path::Path, victim: GenerationId) {
    jobs.cancel(&client("a"), victim).unwrap();
    assert_eq!(ended(jobs, "a", victim).state, State::Cancelled);
    assert!(matches!(jobs.cancel(&client("a"), victim), Err(JobsError::Ended { .. })));
    gone(&folder.join(format!("outputs/{victim}")));
}

#[test]
fn a_cancel_before_any_step_ends_with_that_step() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let jobs = open(folder.path(), behind(&gate));
    let expected = &undisturbed_seeds([1000])[0];
    let steps = STEPS.into_iter().flat_map(|(stage, count)| (0..count).map(move |step| (stage, step)));
    for (round, (stage, step)) in (0..).zip(steps) {
        gate.close();
        let (runs, waits) = (submit(&jobs, "a", round), submit(&jobs, "a", round + 500));
        let next = submit(&jobs, "b", 1000);
        gate.bring_to(round, stage, step);
        // One that waits ends at once, while the device is held by the other.
        cancelled(&jobs, folder.path(), waits);
        let last = events(&jobs, waits);
        assert!(matches!(last[..], [EventKind::Queued { .. }, EventKind::Cancelled]), "{last:?}");

        let (before, steps) = (events(&jobs, runs), gate.came(round));
        let held = before.last().unwrap();
        assert!(
            matches!(held, EventKind::Progress { stage: at, done, .. } if (*at, *done) == (stage, step)),
            "{stage:?} {step}: {held:?}"
        );
        cancelled(&jobs, folder.path(), runs);
        let all = events(&jobs, runs);
        assert!(all.iter().filter(|kind| matches!(kind, EventKind::Cancelling)).count() == 1, "{all:?}");
        assert_eq!(gate.came(round), steps, "{stage:?} {step}: no further step was begun");
        gate.open();
        assert_eq!(&frames_of(&ended(&jobs, "b", next)), expected, "{stage:?} {step}");
    }
    drop(jobs);
    assert_eq!(files(&folder.path().join("latents")), [""; 0]);
}

#[test]
fn a_hundred_cancels_at_random_moments() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let jobs = open(folder.path(), FakeOptions { step_time: Duration::from_millis(2), ..behind(&gate) });
    let expected = &undisturbed_seeds([1000])[0];
    let all: usize = STEPS.iter().map(|(_, count)| count).sum();
    let mut dice = Dice(7);
    for round in 0..100 {
        gate.close();
        let victims = [submit(&jobs, "a", round), submit(&jobs, "a", round + 500)];
        let next = submit(&jobs, "b", 1000);
        // The cancel comes somewhere on the way of so many steps, at the latest where the device is held behind them.
        let (steps, waits) = (dice.below(all as u64 + 1), dice.below(2) == 1);
        gate.open_n(steps as usize);
        let victim = victims[usize::from(waits)];
        if !waits {
            // It is started, and then there is an event before every step.
            follow(&jobs, victim, dice.below(steps + 2));
        }
        match jobs.cancel(&client("a"), victim) {
            Ok(_) => {
                assert_eq!(ended(&jobs, "a", victim).state, State::Cancelled);
                assert!(matches!(jobs.cancel(&client("a"), victim), Err(JobsError::Ended { .. })));
                gone(&folder.path().join(format!("outputs/{victim}")));
            }
            // Only where nothing held it.
            Err(JobsError::Ended { state, .. }) => {
                assert_eq!((state, steps, waits), (State::Done, all as u64, false), "round {round}");
            }
            Err(error) => panic!("{error}"),
        }
        gate.open();
        assert_eq!(&frames_of(&ended(&jobs, "b", next)), expected, "round {round}");
        for victim in victims {
            let _ = jobs.cancel(&client("a"), victim);
            ended(&jobs, "a", victim);
        }
    }
    drop(jobs);
    assert_eq!(files(&folder.path().join("latents")), [""; 0]);
}
