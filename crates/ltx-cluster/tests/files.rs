//! Files of a service, and what is left of a generation that is gone.

mod common;

use common::{FACE, Nats, Plan, Raw, TakenOver, WORKER, client, draft, ended, eventually, node, submission};
use ltx_jobs::{
    OutputKind,
    ports::{Blobs, Shelf, reach},
};
use ltx_testkit::fake::picture;
use sha2::{Digest, Sha256};

#[test]
fn outputs_of_the_attempt_that_counts_are_not_removed() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let TakenOver { face, first: _first, second, id, .. } = TakenOver::at(&nats, root.path(), [2, 2]);
    let raw = Raw::of(&nats);
    // What the first attempt left, and what the second one, which runs, may just have put.
    let names = [1, 2].map(|attempt| format!("{id}/{attempt}/{}", OutputKind::Video.file_name()));
    names.iter().for_each(|name| raw.put_output(name));
    face.jobs.list(&client("a"), &Default::default(), 1, None).unwrap();
    face.cluster.delete(Shelf::Outputs, id.to_string().as_ref()).unwrap();
    assert_eq!(names.each_ref().map(|name| raw.has_output(name)), [false, true]);
    second.gate.open();
    ended(&face.jobs, "a", id);
    face.cluster.delete(Shelf::Outputs, id.to_string().as_ref()).unwrap();
    assert!(face.jobs.open_output(&client("a"), id, OutputKind::Video).is_ok(), "they are kept");
}

#[test]
fn a_late_latent_of_an_attempt_that_was_taken_over_replaces_none() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let TakenOver { face, first, second, id, behind } = TakenOver::at(&nats, root.path(), [2, 6]);
    let reached = reach(&*face.cluster, id);
    // The first makes one more step and saves it, unless it has heard by then that it is another's.
    first.gate.open_n(1);
    eventually("it has saved it, or stopped", || first.gate.came(3) > 3 || first.gate.came(4) > 0);
    assert_eq!(reach(&*face.cluster, id), reached);
    first.gate.open();
    second.gate.open();
    ended(&face.jobs, "a", id);
    ended(&face.jobs, "a", behind);
    assert_eq!(reach(&*face.cluster, id), 0, "it is gone");
}

#[test]
fn an_image_that_is_being_removed_is_put_again() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let (image, bytes) = (format!("{:x}", Sha256::digest(picture())), picture().len() as u64);
    face.jobs.upload(&client("a"), picture()).unwrap();
    assert!(face.cluster.has(&image, bytes).unwrap());
    // As far as a node is that removes it: its key goes first.
    raw.delete(&format!("i.{image}"));
    assert!(!face.cluster.has(&image, bytes).unwrap());
    assert!(face.cluster.has(&image, bytes).unwrap(), "whoever asked has it put again");
}

#[test]
fn nothing_stays_of_a_generation_that_is_deleted() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let (face, raw) = (node(&nats.address, root.path(), "face", &Plan::of(FACE)), Raw::of(&nats));
    let _worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER));
    let of = |name: &str| raw.keys().iter().filter(|key| key.starts_with(name)).count();
    let mut several = submission(draft("a hill", 5), None);
    several.further = vec![ltx_types::Seed(6)];
    let several = face.jobs.submit(&client("a"), several).unwrap();
    assert_eq!((of("g."), of("r.")), (2, 0), "nobody asks again for what has no name");
    let named = face.jobs.submit(&client("a"), submission(draft("a sea", 1), Some("r"))).unwrap();
    assert_eq!((of("g."), of("r.")), (3, 1));
    for id in [several.record.id, several.further[0].id, named.record.id] {
        // A client may hear of the last event before the worker has put it into the log.
        let all = ended(&face.jobs, "a", id).last_event as usize;
        eventually("all events are in the log", || raw.events(id) == all);
        face.jobs.delete(&client("a"), id).unwrap();
        assert_eq!(raw.events(id), 0);
    }
    assert_eq!((of("g."), of("r.")), (0, 0));
}
