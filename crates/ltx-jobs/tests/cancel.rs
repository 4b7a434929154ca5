//! Cancelling in every state, in random order: the device is free within a step, and the next generation is not harmed.

mod common;

use common::{Dice, LONG, client, ended, files, frames_of, millis, open, submit, undisturbed_seeds};
use ltx_jobs::{EventKind, GenerationId, Jobs, JobsError, State, Watched};
use std::time::{Duration, Instant};

/// How far a victim gets: so many events after the first, or the end.
fn follow(jobs: &Jobs, id: GenerationId, events: u64) {
    let mut watch = jobs.watch(&client("a"), id, 1).unwrap();
    for _ in 0..events {
        if !matches!(watch.next_within(LONG).unwrap(), Watched::Event(_)) {
            return;
        }
    }
}

/// A cancel that comes when the outputs are complete is acknowledged a moment before they are removed.
fn gone(path: &std::path::Path) {
    let patience = Instant::now() + LONG;
    while path.exists() {
        assert!(Instant::now() < patience, "{}", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_hundred_cancels_at_random_moments() {
    const STEP: Duration = Duration::from_millis(5);
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(5));
    let expected = &undisturbed_seeds([1000])[0];
    let mut dice = Dice(7);
    let (mut cancelled_at, mut slowest) = (std::collections::BTreeMap::<String, usize>::new(), Duration::ZERO);
    for round in 0..100 {
        // Two, so that the first cancel often finds its generation queued.
        let victims = [submit(&jobs, "a", round), submit(&jobs, "a", round + 500)];
        let next = submit(&jobs, "b", 1000);
        let victim = victims[dice.below(2) as usize];
        follow(&jobs, victim, dice.below(24));
        let last = jobs.watch(&client("a"), victim, 0).and_then(|mut watch| {
            let mut last = "none".to_owned();
            while let Watched::Event(event) = watch.poll()? {
                last = match &event.kind {
                    EventKind::Progress { stage, .. } => format!("{stage:?}"),
                    EventKind::Queued { .. } => "Queued".to_owned(),
                    other => format!("{other:?}"),
                };
            }
            Ok(last)
        });
        *cancelled_at.entry(last.unwrap()).or_default() += 1;
        let asked = Instant::now();
        match jobs.cancel(&client("a"), victim) {
            Ok(_) => {
                let record = ended(&jobs, "a", victim);
                slowest = slowest.max(asked.elapsed());
                assert_eq!(record.state, State::Cancelled);
                assert!(matches!(jobs.cancel(&client("a"), victim), Err(JobsError::Ended { .. })));
                gone(&folder.path().join(format!("outputs/{victim}")));
            }
            Err(JobsError::Ended { state, .. }) => assert_eq!(state, State::Done),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(&frames_of(&ended(&jobs, "b", next)), expected, "round {round}");
        for victim in victims {
            let _ = jobs.cancel(&client("a"), victim);
            ended(&jobs, "a", victim);
        }
    }
    println!("cancelled at {cancelled_at:?}; slowest from cancel to its event {slowest:?} with steps of {STEP:?}");
    assert!(cancelled_at.len() >= 5, "{cancelled_at:?}");
    drop(jobs);
    assert_eq!(files(&folder.path().join("latents")), [""; 0]);
}
