//! A node that is stopped and started again: every state survives, and work goes on where it was.

mod common;

use common::{LONG, behind, client, ended, files, frames_of, open, settings, submit, surroundings, undisturbed_seeds};
use ltx_jobs::{Event, EventKind, GenerationId, Jobs, JobsError, State, WatchEnd, Watched};
use ltx_testkit::fake::{FakeOptions, Gate, StepLog};
use ltx_types::Stage;
use std::sync::Arc;

/// Waits for the first event that is so.
fn until(jobs: &Jobs, id: GenerationId, wanted: impl Fn(&Event) -> bool) -> Arc<Event> {
    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
    loop {
        match watch.next_within(LONG).unwrap() {
            Watched::Event(event) if wanted(&event) => return event,
            Watched::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn step_done(step: usize) -> impl Fn(&Event) -> bool {
    move |event| matches!(event.kind, EventKind::Progress { stage: Stage::Denoising, done, .. } if done == step)
}

#[test]
fn every_state_survives_a_stop_and_work_goes_on_from_its_last_step() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("steps.log");
    let gate = Gate::default();
    let options = FakeOptions { log: Some(log.clone()), ..behind(&gate) };
    let jobs = open(folder.path(), options.clone());
    let done = submit(&jobs, "a", 1);
    ended(&jobs, "a", done);
    let failed = common::submit_draft(&jobs, "a", ltx_testkit::fake::draft("fail", 2)).unwrap().record.id;
    ended(&jobs, "a", failed);
    gate.close();
    let running = submit(&jobs, "a", 3);
    let queued = submit(&jobs, "a", 4);
    let cancelled = submit(&jobs, "a", 5);
    assert_eq!(jobs.cancel(&client("a"), cancelled).unwrap().state, State::Cancelled);
    gate.bring_to(3, Stage::Denoising, 4);
    let seen = until(&jobs, running, step_done(4)).number;
    let mut watch = jobs.watch(&client("a"), running, seen).unwrap();
    let before = jobs.get(&client("a"), done).unwrap();
    let first_start = jobs.get(&client("a"), running).unwrap().started_ms.unwrap();
    assert!(jobs.shutdown(LONG));
    assert!(matches!(
        jobs.submit(&client("a"), common::submission(ltx_testkit::fake::draft("x", 1), None)),
        Err(JobsError::Stopping)
    ));
    let mut numbers = vec![seen];
    let end = loop {
        match watch.next_within(LONG).unwrap() {
            Watched::Event(event) => numbers.push(event.number),
            Watched::End(end) => break end,
            Watched::Pending => panic!("the watch hangs"),
        }
    };
    assert_eq!(end, WatchEnd::Stopping);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let state = |jobs: &Jobs, id| jobs.get(&client("a"), id).unwrap().state;
    assert_eq!(state(&jobs, running), State::Queued);
    assert_eq!(files(&folder.path().join("latents")), [running.to_string()]);
    drop((jobs, watch));

    gate.open();
    let jobs = open(folder.path(), options);
    // A client goes on after the last event it saw.
    let mut watch = jobs.watch(&client("a"), running, numbers[numbers.len() - 1]).unwrap();
    let Watched::Event(next) = watch.next_within(LONG).unwrap() else { panic!() };
    assert_eq!((next.number, &next.kind), (numbers[numbers.len() - 1] + 1, &EventKind::Running { attempt: 2 }));
    let resumed = ended(&jobs, "a", running);
    assert_eq!((resumed.state, resumed.attempts), (State::Done, 2));
    assert!(resumed.outcome.as_ref().unwrap().resumed);
    assert_eq!(resumed.started_ms, Some(first_start), "going on is not starting");
    let frames = undisturbed_seeds([3, 4]);
    assert_eq!(frames_of(&resumed), frames[0]);
    assert_eq!(frames_of(&ended(&jobs, "a", queued)), frames[1]);
    let states = [done, failed, cancelled].map(|id| state(&jobs, id));
    assert_eq!(states, [State::Done, State::Failed, State::Cancelled]);
    assert_eq!(jobs.get(&client("a"), done).unwrap().last_event, before.last_event);
    let steps = StepLog::read(&log);
    assert!(steps.repeated() <= 1 && steps.repeated_after_saving() == 0);
}

#[test]
fn a_second_node_is_locked_out() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), FakeOptions::default());
    let second = || Jobs::open(settings(folder.path()).check().unwrap(), surroundings(FakeOptions::default()));
    assert!(matches!(second(), Err(JobsError::Locked { .. })));
    drop(first);
    assert!(second().is_ok());
}

#[test]
fn whoever_asks_whether_a_folder_is_held_keeps_no_node_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    assert!(!ltx_jobs::is_held(folder.path()) && !path.exists(), "nothing is made");
    // Whoever took a lock to ask would find this one in the way.
    let asks = std::fs::File::create(&path).unwrap();
    asks.lock_shared().unwrap();
    assert!(!ltx_jobs::is_held(folder.path()), "a node's lock is another");
    drop(asks);
    let first = ltx_jobs::DataFolder::hold(folder.path()).unwrap();
    assert!(matches!(ltx_jobs::DataFolder::hold(folder.path()), Err(JobsError::Locked { .. })));
    let config = settings(folder.path()).check().unwrap();
    let jobs = Jobs::open_in(first, config, surroundings(FakeOptions::default())).unwrap();
    let id = submit(&jobs, "a", 1);
    assert_eq!(ended(&jobs, "a", id).state, State::Done);
}

#[test]
fn leftovers_of_a_crash_are_removed_and_damage_is_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate));
    let running = submit(&jobs, "a", 1);
    gate.bring_to(1, Stage::Denoising, 2);
    assert!(jobs.shutdown(LONG));
    drop(jobs);
    let at = |name: &str| folder.path().join(name);
    assert_eq!(files(&at("latents")), [running.to_string()]);
    std::fs::write(at(&format!("latents/{running}")), b"not a latent").unwrap();
    std::fs::write(at("latents/stray"), b"x").unwrap();
    std::fs::write(at("images/.stray.partial-1"), b"x").unwrap();
    std::fs::create_dir(at(&format!("outputs/.{running}.partial"))).unwrap();
    std::fs::write(at(&format!("outputs/.{running}.partial/video.mp4")), b"x").unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let record = ended(&jobs, "a", running);
    assert_eq!(frames_of(&record), undisturbed_seeds([1])[0]);
    assert!(!record.outcome.unwrap().resumed, "it began anew");
    jobs.sweep().unwrap();
    let images = files(&at("images"));
    assert!(
        images.len() == 1 && !images[0].starts_with('.'),
        "its own image, which is kept with its outputs: {images:?}"
    );
    drop(jobs);
    assert_eq!(files(&at("latents")), [""; 0]);
    assert_eq!(files(&at("outputs")).len(), 3);
}
