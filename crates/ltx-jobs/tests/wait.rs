//! How long things will take: unknown before the first run, then told for every stage and for everything that waits.

mod common;

use common::{client, ended, millis, open, submit};
use ltx_jobs::{EventKind, GenerationId, Jobs, Watched};
use ltx_policy::{Ask, admit};
use ltx_testkit::fake::{FakeModels, draft, policy};
use ltx_types::Stage;

/// What the first event says of the wait.
fn told(jobs: &Jobs, id: GenerationId) -> Option<f64> {
    let Watched::Event(event) = jobs.watch(&client("a"), id, 0).unwrap().poll().unwrap() else { panic!("no event") };
    let EventKind::Queued { seconds_left, .. } = event.kind else { panic!("{event:?}") };
    seconds_left
}

fn wait_of(jobs: &Jobs, owner: &str) -> Option<f64> {
    let admitted = admit(&Ask::default(), draft("a lake", 1), &policy()).unwrap().check(&FakeModels::RULES).unwrap();
    // Both are asked one after the other, while something may run: until both answers fall into one moment.
    for _ in 0..1000 {
        let estimate = jobs.estimate(&client(owner), &admitted).unwrap();
        let (_, standing) = jobs.standing(&client(owner));
        match (estimate.wait_seconds, standing) {
            (Some(first), Some(second)) if (first - second).abs() < 0.2 => return standing,
            (None, None) => return None,
            _ => {}
        }
    }
    panic!("the estimate and the standing never agree")
}

#[test]
fn waits_are_unknown_until_a_run_was_measured_and_then_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(60));
    assert_eq!(wait_of(&jobs, "a"), Some(0.0), "nothing is before it");
    let ids: Vec<_> = (0..5).map(|seed| submit(&jobs, "a", seed)).collect();
    let record = |at: usize| jobs.get(&client("a"), ids[at]).unwrap();
    assert_eq!((record(2).predicted.seconds, record(2).predicted.stages.len()), (None, 0));
    assert_eq!((told(&jobs, ids[3]), record(3).wait_seconds, wait_of(&jobs, "b")), (None, None, None));

    // The first run is measured; what waits already is estimated anew.
    let measured = ended(&jobs, "a", ids[0]).outcome.unwrap().measured_seconds;
    assert!(measured > 0.5, "{measured}");
    let waits: Vec<_> = (2..5).map(|at| record(at).wait_seconds.unwrap()).collect();
    assert!(waits.windows(2).all(|pair| (0.5..2.0 * measured).contains(&(pair[1] - pair[0]))), "{waits:?} {measured}");
    let last = submit(&jobs, "a", 9);
    let said = told(&jobs, last).unwrap();
    assert!(said > waits[2], "{said} {waits:?}");
    assert!(wait_of(&jobs, "a").unwrap() > wait_of(&jobs, "b").unwrap(), "a new client has its turn sooner");
    let late = jobs.get(&client("a"), last).unwrap();
    assert_eq!(late.predicted.stages.last().map(|time| time.stage), Some(Stage::Decoding));
    let sum: f64 = late.predicted.stages.iter().map(|time| time.seconds).sum();
    assert!((sum - late.predicted.seconds.unwrap()).abs() < 1e-9);

    // A restart knows it too, and a replayed event says what the live one said.
    drop(jobs);
    let jobs = open(folder.path(), millis(60));
    assert!(jobs.get(&client("a"), last).unwrap().wait_seconds.unwrap() > 0.5);
    assert_eq!(told(&jobs, last), Some(said));
    assert_eq!(jobs.get(&client("a"), last).unwrap().predicted, late.predicted);
}
