//! How long things will take: unknown before the first run, then told for every stage and for everything that waits.

mod common;

use common::{behind, client, ended, eventually, open, submit};
use ltx_jobs::{EventKind, GenerationId, Jobs, Watched};
use ltx_policy::{Ask, admit};
use ltx_testkit::fake::{FakeModels, FakeOptions, Gate, draft, policy};
use ltx_types::Stage;
use std::time::Duration;

/// What the first event says of the wait.
fn told(jobs: &Jobs, id: GenerationId) -> Option<f64> {
    let Watched::Event(event) = jobs.watch(&client("a"), id, 0).unwrap().poll().unwrap() else { panic!("no event") };
    let EventKind::Queued { seconds_left, .. } = event.kind else { panic!("{event:?}") };
    seconds_left
}

/// Of a new request: what its estimate and its client's standing say, which must be the same while nothing moves.
fn wait_of(jobs: &Jobs, owner: &str) -> Option<f64> {
    let admitted = admit(&Ask::default(), draft("a lake", 1), &policy()).unwrap().check(&FakeModels::RULES).unwrap();
    let estimate = jobs.estimate(&client(owner), &admitted).unwrap();
    assert_eq!(estimate.wait_seconds, jobs.standing(&client(owner)).1);
    estimate.wait_seconds
}

/// Waits are told in whole milliseconds.
fn rounded(seconds: f64) -> Option<f64> {
    Some((seconds * 1000.0).round() / 1000.0)
}

#[test]
fn waits_are_unknown_until_a_run_was_measured_and_then_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    // Eight steps and two chunks: a run takes 0.2 seconds at least, whatever the machine.
    let options = FakeOptions { step_time: Duration::from_millis(20), ..behind(&gate) };
    let jobs = open(folder.path(), options.clone());
    assert_eq!(wait_of(&jobs, "a"), Some(0.0), "nothing is before it");
    let ids: Vec<_> = (0..5).map(|seed| submit(&jobs, "a", seed)).collect();
    gate.reached(0, Stage::TextEncoding, 0);
    let record = |at: usize| jobs.get(&client("a"), ids[at]).unwrap();
    assert_eq!((record(2).predicted.seconds, record(2).predicted.stages.len()), (None, 0));
    assert_eq!((told(&jobs, ids[3]), record(3).wait_seconds, wait_of(&jobs, "b")), (None, None, None));

    // The first run is measured; what waits already is estimated anew. The second is held on the device.
    gate.bring_to(1, Stage::Denoising, 0);
    let measured = ended(&jobs, "a", ids[0]).outcome.unwrap().measured_seconds;
    assert!(measured >= 0.2, "{measured}");
    // The second has nothing left by its estimate once it is overdue: from then on nothing moves.
    eventually("the second is overdue", || record(2).wait_seconds == Some(0.0));
    let last = submit(&jobs, "a", 9);
    let late = jobs.get(&client("a"), last).unwrap();
    let one = late.predicted.seconds.unwrap();
    assert!((0.2..=measured).contains(&one), "{one} {measured}");
    assert_eq!([2, 3, 4].map(|at| record(at).wait_seconds), [rounded(0.0), rounded(one), rounded(2.0 * one)]);
    let said = told(&jobs, last);
    assert_eq!((said, late.wait_seconds), (rounded(3.0 * one), rounded(3.0 * one)));
    // A new client has its turn sooner: behind the one that is next.
    assert_eq!((wait_of(&jobs, "a"), wait_of(&jobs, "b")), (rounded(4.0 * one), rounded(one)));
    assert_eq!(late.predicted.stages.last().map(|time| time.stage), Some(Stage::Decoding));
    let sum: f64 = late.predicted.stages.iter().map(|time| time.seconds).sum();
    assert!((sum - one).abs() < 1e-9);

    // A restart knows it too, and a replayed event says what the live one said. The second goes on; three are between.
    drop(jobs);
    let jobs = open(folder.path(), options);
    gate.reached(1, Stage::TextEncoding, 0);
    let wait = jobs.get(&client("a"), last).unwrap().wait_seconds;
    assert!(wait >= rounded(3.0 * one) && wait <= rounded(4.0 * one), "{wait:?} {one}");
    assert_eq!(told(&jobs, last), said);
    assert_eq!(jobs.get(&client("a"), last).unwrap().predicted, late.predicted);
}
