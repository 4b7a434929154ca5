//! What a node cannot read: a newer version keeps it, or it is damaged. It is left alone, and keeps nothing from the rest.

mod common;

use common::{FACE, Kept, Nats, Node, Plan, Raw, WORKER, client, ended, eventually, node, submit};
use ltx_jobs::{
    GenerationId, JobsError, State,
    ports::{Blobs, Retained, Shelf},
};
use ltx_testkit::fake::picture;
use ltx_types::Stage;
use sha2::{Digest, Sha256};

/// Everything that was written before has come to a node.
fn caught_up(node: &Node) {
    node.jobs.list(&client("a"), &Default::default(), 1, None).unwrap();
}

#[test]
fn what_a_newer_version_keeps_is_left_alone() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let id = submit(&face.jobs, "a", 3);
    raw.age(id);
    let newer = raw.get(&format!("g.{id}"));
    let worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER));
    let other = submit(&face.jobs, "a", 4);
    ended(&face.jobs, "a", other);
    for refused in [face.jobs.get(&client("a"), id).map(drop), face.jobs.cancel(&client("a"), id).map(drop)] {
        assert!(matches!(refused, Err(JobsError::Unavailable { .. })), "{refused:?}");
    }
    eventually("the worker has nothing to do", || worker.jobs.status().unwrap().running.is_none());
    assert_eq!(raw.get(&format!("g.{id}")), newer);
}

#[test]
fn its_files_stay() {
    Kept::both().iter().for_each(its_files_stay_in);
}

fn its_files_stay_in(kept: &Kept) {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE).kept(kept)), Raw::of(&nats));
    let id = submit(&face.jobs, "a", 3);
    let image = format!("{:x}", Sha256::digest(picture()));
    let is_there = |node: &Node| node.cluster.length(Shelf::Images, &image).is_some();
    let before = raw.age(id);
    // Its copy never had it.
    let other = node(&nats.address, root.path(), "other", &Plan::of(FACE).kept(kept));
    other.cluster.sweep_at_once();
    other.jobs.sweep().unwrap();
    assert_eq!(other.cluster.list(Shelf::Images).unwrap(), [""; 0], "none may be removed");
    assert!(is_there(&other));
    // Nothing but that kept it.
    raw.put(&format!("g.{id}"), before.to_string());
    face.jobs.cancel(&client("a"), id).unwrap();
    eventually("nobody needs it", || {
        other.jobs.sweep().unwrap();
        !is_there(&other)
    });
}

#[test]
fn it_keeps_nothing_else_from_expiring() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let _worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER));
    let ids: [GenerationId; 3] = [1, 2, 3].map(|seed| submit(&face.jobs, "a", seed));
    ids.iter().for_each(|id| drop(ended(&face.jobs, "a", *id)));
    raw.age(ids[0]);
    raw.put(&format!("g.{}", ids[1]), "{");
    caught_up(&face);
    assert_eq!(face.cluster.expire_outputs(i64::MAX, u64::MAX).unwrap(), [ids[2]]);
    assert_eq!(face.cluster.expire_records(i64::MAX).unwrap(), [ids[2]]);
}

#[test]
fn a_worker_gives_up_what_a_newer_version_has_changed() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let worker = node(&nats.address, root.path(), "worker", &Plan::held());
    let [changed, other] = [3, 4].map(|seed| submit(&face.jobs, "a", seed));
    worker.gate.bring_to(3, Stage::Denoising, 2);
    raw.age(changed);
    let newer = raw.get(&format!("g.{changed}"));
    worker.gate.open();
    assert_eq!(ended(&face.jobs, "a", other).state, State::Done);
    assert_eq!(raw.get(&format!("g.{changed}")), newer);
}

#[test]
fn what_lost_its_message_is_found_beside_what_cannot_be_judged() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let [newer, damaged, lost] = [1, 2, 3].map(|seed| submit(&face.jobs, "a", seed));
    raw.age(newer);
    raw.put(&format!("g.{damaged}"), "{");
    raw.lose_message(lost);
    let _worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER));
    assert_eq!(ended(&face.jobs, "a", lost).state, State::Done);
}

#[test]
fn an_announcement_that_cannot_be_read_keeps_no_other_from_being_completed() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let id = submit(&face.jobs, "a", 1);
    let mut document = raw.get(&format!("g.{id}"));
    let announced: GenerationId = "018f0000-0000-7000-8000-000000000000".parse().unwrap();
    document["id"] = announced.to_string().into();
    for (key, version) in [("0", 99), ("1", 1), ("2", 99)] {
        let intent = serde_json::json!({
            "version": version, "body_sha256": "x", "ids": [announced.to_string()], "documents": [document.clone()],
        });
        raw.put(&format!("r.{key}"), intent.to_string());
    }
    caught_up(&face);
    face.cluster.sweep_at_once();
    face.jobs.sweep().unwrap();
    assert_eq!(face.jobs.get(&client("a"), announced).unwrap().state, State::Queued);
}
