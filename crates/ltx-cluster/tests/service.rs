//! Nodes of one service in one process: any of them answers for everything, and bounds hold over all.
//!
//! Must not know how anything is kept.

mod common;

use common::{
    FACE, Kept, LONG, Nats, Plan, Raw, TakenOver, WORKER, client, draft, ended, eventually, frames_of, node,
    submission, submit, try_node, undisturbed,
};
use ltx_cluster::ClusterError;
use ltx_jobs::{
    EventKind, Filter, GenerationId, GivenImage, Jobs, JobsError, OutputKind, State, Watched, ports::Blobs,
};
use ltx_testkit::fake::{FakeOptions, Gate, picture};
use ltx_types::{ImageSource, Stage};
use std::{
    io::Read,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// The numbers and kinds of all events after a number, to the end.
fn events(jobs: &Jobs, owner: &str, id: ltx_jobs::GenerationId, after: u64) -> Vec<(u64, EventKind)> {
    let watch = jobs.watch(&client(owner), id, after).unwrap();
    watch.map(|event| event.map(|event| (event.number, event.kind.clone())).unwrap()).collect()
}

#[test]
fn any_node_answers_for_what_another_one_made() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let here = |name: &str, plan: &Plan| node(&nats.address, root.path(), name, plan);
    let (one, two) = (here("one", &Plan::of(FACE)), here("two", &Plan::of(FACE)));
    let worker = here("worker", &Plan::held());
    let id = submit(&one.jobs, "a", 7);
    let waiting = submit(&two.jobs, "a", 8);
    worker.gate.bring_to(7, Stage::Denoising, 3);
    let record = two.jobs.get(&client("a"), id).unwrap();
    assert_eq!((record.state, record.attempts), (State::Running, 1));
    assert!(matches!(two.jobs.get(&client("b"), id), Err(JobsError::NotFound { .. })), "another client's");
    let listed = |jobs: &Jobs| {
        let page = jobs.list(&client("a"), &Filter::default(), 1, None).unwrap();
        let rest = two.jobs.list(&client("a"), &Filter::default(), 9, page.next).unwrap();
        page.records.iter().chain(&rest.records).map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&one.jobs), [waiting, id], "a page's token works anywhere");
    assert_eq!(two.jobs.cancel(&client("a"), waiting).unwrap().state, State::Cancelled);
    assert!(matches!(one.jobs.cancel(&client("a"), waiting), Err(JobsError::Ended { .. })));

    let mut early = two.jobs.watch(&client("a"), id, 0).unwrap();
    let seen =
        |watched: Watched| if let Watched::Event(event) = watched { event.number } else { panic!("{watched:?}") };
    let first: Vec<_> = (0..4).map(|_| seen(early.next_within(LONG).unwrap())).collect();
    assert_eq!(first, [1, 2, 3, 4]);
    worker.gate.open();
    let done = ended(&one.jobs, "a", id);
    assert_eq!(frames_of(&done), undisturbed([7])[0].1);
    let all = events(&two.jobs, "a", id, 0);
    assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=done.last_event).collect::<Vec<_>>());
    assert_eq!(all.last().unwrap().1, EventKind::Done);
    assert_eq!(events(&one.jobs, "a", id, 4), all[4..], "after any number, through any node");

    let bytes = |jobs: &Jobs| {
        let mut output = jobs.open_output(&client("a"), id, OutputKind::Video).unwrap();
        let mut bytes = Vec::new();
        output.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, output.bytes);
        bytes
    };
    assert_eq!(bytes(&one.jobs), bytes(&two.jobs));
    let mut given = Vec::new();
    two.jobs.open_image(&client("a"), id, GivenImage::Start).unwrap().file.read_to_end(&mut given).unwrap();
    assert_eq!(given, picture().as_ref());
    two.jobs.delete(&client("a"), id).unwrap();
    assert!(matches!(one.jobs.get(&client("a"), id), Err(JobsError::NotFound { .. })));
    assert!(matches!(one.jobs.open_output(&client("a"), id, OutputKind::Video), Err(JobsError::NotFound { .. })));
}

#[test]
fn a_request_id_is_given_once_whichever_face_is_asked() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let faces = ["one", "two"].map(|name| node(&nats.address, root.path(), name, &Plan::of(FACE)));
    let ids: Vec<_> = thread::scope(|scope| {
        let of = |at: usize| {
            let jobs = &faces[at % 2].jobs;
            scope.spawn(move || jobs.submit(&client("a"), submission(draft("a lake", 1), Some("r"))).unwrap())
        };
        let asked: Vec<_> = (0..8).map(of).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|submitted| submitted.record.id == ids[0].record.id));
    assert_eq!(ids.iter().filter(|submitted| !submitted.existed).count(), 1);
    let other = faces[1].jobs.submit(&client("a"), submission(draft("a sea", 1), Some("r")));
    assert!(matches!(other, Err(JobsError::AlreadyExists { .. })));
    faces[0].jobs.cancel(&client("a"), ids[0].record.id).unwrap();
    faces[0].jobs.delete(&client("a"), ids[0].record.id).unwrap();
    let again = faces[1].jobs.submit(&client("a"), submission(draft("a sea", 1), Some("r"))).unwrap();
    assert!(!again.existed, "what is deleted frees its name");
    let mut several = submission(draft("a hill", 5), Some("s"));
    several.further = vec![ltx_types::Seed(6), ltx_types::Seed(7)];
    let first = faces[0].jobs.submit(&client("a"), several.clone()).unwrap();
    let same = faces[1].jobs.submit(&client("a"), several).unwrap();
    let ids = |it: &ltx_jobs::Submitted| it.further.iter().map(|record| record.id).collect::<Vec<_>>();
    assert_eq!((same.existed, ids(&same), ids(&first).len()), (true, ids(&first), 2));
}

#[test]
fn bounds_and_rates_of_a_client_hold_over_all_faces() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let plan = Plan { queued_per_client: 5, ..Plan::of(FACE) };
    let faces = ["one", "two"].map(|name| node(&nats.address, root.path(), name, &plan));
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        for at in 0..16 {
            let (jobs, taken) = (&faces[at % 2].jobs, &taken);
            scope.spawn(move || match jobs.submit(&client("a"), submission(draft("a lake", at as u64), None)) {
                Ok(_) => _ = taken.fetch_add(1, Ordering::SeqCst),
                Err(error) => assert!(matches!(error, JobsError::QueueFull { limit: 5, of_client: true }), "{error}"),
            });
        }
    });
    assert_eq!(taken.into_inner(), 5);
    submit(&faces[1].jobs, "b", 1);

    let plan = Plan { burst: 3, ..Plan::of(FACE) };
    let faces = ["three", "four"].map(|name| node(&nats.address, root.path(), name, &plan));
    for at in 0..3 {
        submit(&faces[at % 2].jobs, "c", 1);
    }
    for face in &faces {
        let refused = face.jobs.submit(&client("c"), submission(draft("a lake", 9), None));
        assert!(matches!(refused, Err(JobsError::RateLimited { .. })));
    }
}

#[test]
fn places_that_a_second_node_was_given_for_the_same_request_are_free_again() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let plan = Plan { queued_per_client: 8, ..Plan::of(FACE) };
    let faces = ["one", "two"].map(|name| node(&nats.address, root.path(), name, &plan));
    for name in ["r", "s", "t"] {
        thread::scope(|scope| {
            for face in &faces {
                let given = submission(draft("a lake", 1), Some(name));
                scope.spawn(|| face.jobs.submit(&client("a"), given).unwrap());
            }
        });
    }
    // Three wait: there is room for five more, and for none beyond.
    for seed in 0..5 {
        submit(&faces[0].jobs, "a", seed);
    }
    let refused = faces[1].jobs.submit(&client("a"), submission(draft("a lake", 9), None));
    assert!(matches!(refused, Err(JobsError::QueueFull { limit: 8, of_client: true })));
}

#[test]
fn a_request_whose_record_the_servers_do_not_take_is_refused_for_good() {
    let (nats, root) = (Nats::with("max_payload: 32768"), tempfile::tempdir().unwrap());
    let plan = Plan { queued_per_client: 60, ..Plan::of(FACE) };
    let face = node(&nats.address, root.path(), "face", &plan);
    let mut many = submission(draft("a lake", 0), None);
    many.further = (1..60).map(ltx_types::Seed).collect();
    let refused = face.jobs.submit(&client("a"), many).unwrap_err();
    assert!(matches!(&refused, JobsError::Fields(_)) && refused.to_string().starts_with("request: "), "{refused}");
    let ids: Vec<_> = (0..60).map(|seed| submit(&face.jobs, "a", seed)).collect();
    let _worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER));
    assert_eq!(ended(&face.jobs, "a", ids[0]).state, State::Done, "files come in pieces that the servers take");
}

#[test]
fn an_image_is_missing_only_where_the_servers_say_so() {
    let (mut nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let upload = face.jobs.upload(&client("a"), picture()).unwrap();
    let image = face.jobs.uploaded(&client("a"), upload).unwrap();
    assert_eq!(image, ImageSource::Bytes(picture()));
    assert!(matches!(face.cluster.image("none").unwrap(), ImageSource::Path(_)), "opened, it is not there");
    nats.kill();
    eventually("the face sees that", || !face.cluster.status().connected);
    assert!(matches!(face.cluster.image("none"), Err(JobsError::Unavailable { .. })));
    assert!(matches!(face.cluster.has("none", 1), Err(JobsError::Unavailable { .. })));
}

#[test]
fn servers_that_restored_a_backup_are_followed() {
    let (mut nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let kept = submit(&face.jobs, "a", 1);
    nats.kill();
    nats.back_up();
    nats.restart();
    let again = |what: &str, done: &dyn Fn() -> bool| eventually(what, done);
    let lost = std::cell::Cell::new(None);
    again("something is submitted that the backup lacks", &|| {
        let submitted = face.jobs.submit(&client("a"), submission(draft("a sea", 2), None));
        lost.set(submitted.ok().map(|submitted| submitted.record.id));
        lost.get().is_some()
    });
    // What the backup has is changed as well, so that its revision in the copy is newer than the one that comes.
    again("it is cancelled", &|| face.jobs.cancel(&client("a"), kept).is_ok());
    nats.kill();
    nats.restore();
    nats.restart();
    let listed = || {
        let page = face.jobs.list(&client("a"), &Filter::default(), 9, None);
        page.map(|page| page.records.iter().map(|record| (record.id, record.state)).collect::<Vec<_>>())
    };
    again("what the backup has is there, as it has it", &|| listed().is_ok_and(|all| all == [(kept, State::Queued)]));
    let gone = face.jobs.get(&client("a"), lost.get().unwrap());
    assert!(matches!(gone, Err(JobsError::NotFound { .. })));
    let new = submit(&face.jobs, "a", 3);
    assert_eq!(listed().unwrap().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [new, kept]);
}

#[test]
fn a_client_with_many_does_not_delay_one_with_few_by_more_than_one() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let log = root.path().join("steps");
    let gate = Gate::closed();
    let plan = Plan {
        fake: FakeOptions { gate: gate.clone(), log: Some(log.clone()), ..FakeOptions::default() },
        ..Plan::of(WORKER)
    };
    let _worker = node(&nats.address, root.path(), "worker", &plan);
    for seed in 0..50 {
        submit(&face.jobs, "busy", seed);
    }
    gate.bring_to(0, Stage::Denoising, 0);
    let late = submit(&face.jobs, "late", 1000);
    gate.open();
    ended(&face.jobs, "late", late);
    let begun = ltx_testkit::fake::StepLog::read(&log).started_after(0);
    assert_eq!(begun.iter().position(|seed| *seed == 1000), Some(1), "{begun:?}");
}

#[test]
fn a_face_without_nats_says_so_and_a_worker_waits_and_goes_on() {
    let (mut nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let here = |name: &str, plan: Plan| node(&nats.address, root.path(), name, &Plan { silent_seconds: 1, ..plan });
    let (face, worker) = (here("face", Plan::of(FACE)), here("worker", Plan::held()));
    let id = submit(&face.jobs, "a", 3);
    worker.gate.bring_to(3, Stage::Denoising, 2);
    let mut watch = face.jobs.watch(&client("a"), id, 0).unwrap();
    nats.kill();
    eventually("the face sees that", || !face.cluster.status().connected);
    for refused in [
        face.jobs.get(&client("a"), id).map(drop),
        face.jobs.submit(&client("a"), submission(draft("a lake", 4), None)).map(drop),
        face.jobs.cancel(&client("a"), id).map(drop),
    ] {
        assert!(matches!(refused, Err(JobsError::Unavailable { .. })), "{refused:?}");
    }
    worker.gate.open();
    nats.restart();
    let mut numbers = Vec::new();
    loop {
        match watch.next_within(LONG) {
            Ok(Watched::Event(event)) => numbers.push(event.number),
            Ok(_) => break,
            // As a client does: it asks again, after what it has seen.
            Err(JobsError::Unavailable { .. }) => eventually("it is watched again", || {
                let again = face.jobs.watch(&client("a"), id, numbers.last().copied().unwrap_or(0));
                again.map(|again| watch = again).is_ok()
            }),
            Err(error) => panic!("{error}"),
        }
    }
    let done = ended(&face.jobs, "a", id);
    assert_eq!((done.state, frames_of(&done)), (State::Done, undisturbed([3])[0].1.clone()));
    assert_eq!(numbers, (1..=done.last_event).collect::<Vec<_>>(), "none lost, none twice");
    assert_eq!(done.attempts, 1, "nobody else was there to take it over");
}

#[test]
fn what_a_silent_worker_had_goes_on_elsewhere_and_its_own_result_counts_nothing() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let TakenOver { face, first, second, id, behind } = TakenOver::at(&nats, root.path(), &Kept::JetStream, [4, 4]);
    first.gate.open();
    assert_eq!(ended(&face.jobs, "a", behind).state, State::Done, "the first has stopped and makes what is next");
    let record = face.jobs.get(&client("a"), id).unwrap();
    assert_eq!((record.state, record.attempts), (State::Running, 2), "it is the other's");
    second.gate.open();
    let done = ended(&face.jobs, "a", id);
    assert_eq!(frames_of(&done), undisturbed([3])[0].1);
    assert_eq!((done.attempts, done.outcome.unwrap().resumed), (2, true));
    assert!(face.jobs.open_output(&client("a"), id, OutputKind::Video).is_ok());
}

#[test]
fn a_node_that_cannot_belong_is_told_why() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let first = node(&nats.address, root.path(), "one", &Plan::of(FACE));
    let plan = Plan { silent_seconds: 9, ..Plan::of(FACE) };
    let refused = try_node(&nats.address, &root.path().join("two"), "two", &plan).map(drop).unwrap_err();
    assert!(matches!(refused, ClusterError::Differs { key: "cluster.silent_seconds", .. }), "{refused}");
    let alone = root.path().join("alone");
    std::fs::create_dir_all(&alone).unwrap();
    std::fs::write(alone.join("jobs.sqlite"), "").unwrap();
    let refused = try_node(&nats.address, &alone, "alone", &Plan::of(FACE)).map(drop).unwrap_err();
    assert!(matches!(refused, ClusterError::OfANodeAlone { .. }), "{refused}");
    let nowhere = try_node("nats://127.0.0.1:1", &root.path().join("x"), "x", &Plan::of(FACE)).map(drop).unwrap_err();
    assert!(matches!(nowhere, ClusterError::Unreachable { .. }), "{nowhere}");
    eventually("one node is heard of", || first.cluster.status().nodes == 1);
    assert!(first.jobs.shutdown(Duration::from_secs(600)));
}

/// What is written is the node's card, which it leaves every few seconds anyway: this shows that it is there again, not why.
#[test]
fn who_is_told_that_something_never_was_is_told_so_behind_a_write() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let [face, worker] = [("face", FACE), ("worker", WORKER)]
        .map(|(name, roles)| node(&nats.address, root.path(), name, &Plan::of(roles)));
    let id = submit(&face.jobs, "a", 3);
    let events = ended(&face.jobs, "a", id).last_event;
    drop(worker);
    let raw = Raw::of(&nats);
    let (me, nobody) = (client("a"), "01a22d73-5275-724b-b956-f55feb6c7752".parse::<GenerationId>().unwrap());
    let cards: Vec<String> = raw.keys().into_iter().filter(|key| key.starts_with("n.")).collect();
    let gone = |asked: Result<(), JobsError>| matches!(asked, Err(JobsError::NotFound { .. }));
    for (what, asked) in [
        ("get", &(|| gone(face.jobs.get(&me, nobody).map(drop))) as &dyn Fn() -> bool),
        ("cancel", &|| gone(face.jobs.cancel(&me, nobody).map(drop))),
        ("delete", &|| gone(face.jobs.delete(&me, nobody).map(drop))),
        ("watch", &|| matches!(face.jobs.watch(&me, id, events + 1), Err(JobsError::EventsUnknown { .. }))),
    ] {
        cards.iter().for_each(|card| raw.delete(card));
        assert!(asked(), "{what}");
        assert!(raw.keys().iter().any(|key| cards.contains(key)), "{what}: nothing was written");
    }
}
