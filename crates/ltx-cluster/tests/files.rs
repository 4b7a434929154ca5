//! Files of a service, in JetStream and in S3, and what is left of a generation that is gone.

mod common;

use common::{
    FACE, Kept, Nats, Plan, Raw, TakenOver, WORKER, client, draft, ended, eventually, node, submission, submit,
    try_node,
};
use ltx_cluster::ClusterError;
use ltx_jobs::{
    OutputKind, State,
    ports::{Blobs, Shelf, reach},
};
use ltx_testkit::fake::picture;
use sha2::{Digest, Sha256};
use std::io::Read;

#[test]
fn outputs_of_the_attempt_that_counts_are_not_removed() {
    for kept in &Kept::both() {
        let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
        let TakenOver { face, first: _first, second, id, .. } = TakenOver::at(&nats, root.path(), kept, [2, 2]);
        let raw = Raw::of(&nats);
        // What the first attempt left, and what the second one, which runs, may just have put.
        let names = [1, 2].map(|attempt| format!("{id}/{attempt}/{}", OutputKind::Video.file_name()));
        names.iter().for_each(|name| raw.put_output(kept, name));
        face.jobs.list(&client("a"), &Default::default(), 1, None).unwrap();
        face.cluster.delete(Shelf::Outputs, id.to_string().as_ref()).unwrap();
        assert_eq!(names.each_ref().map(|name| raw.has_output(kept, name)), [false, true]);
        // It comes late, and goes with what counts.
        raw.put_output(kept, &names[0]);
        second.gate.open();
        ended(&face.jobs, "a", id);
        assert_eq!(names.each_ref().map(|name| raw.has_output(kept, name)), [false, true]);
        face.cluster.delete(Shelf::Outputs, id.to_string().as_ref()).unwrap();
        assert!(face.jobs.open_output(&client("a"), id, OutputKind::Video).is_ok(), "they are kept");
    }
}

#[test]
fn a_late_latent_of_an_attempt_that_was_taken_over_replaces_none() {
    for kept in &Kept::both() {
        let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
        let TakenOver { face, first, second, id, behind } = TakenOver::at(&nats, root.path(), kept, [2, 6]);
        let reached = reach(&*face.cluster, id);
        // The first makes one more step and saves it, unless it has heard by then that it is another's.
        first.gate.open_n(1);
        eventually("it has saved it, or stopped", || first.gate.came(3) > 3 || first.gate.came(4) > 0);
        assert_eq!(reach(&*face.cluster, id), reached);
        first.gate.open();
        second.gate.open();
        ended(&face.jobs, "a", id);
        ended(&face.jobs, "a", behind);
        // What comes late goes once the first has heard whose it is.
        eventually("it is gone", || reach(&*face.cluster, id) == 0);
    }
}

#[test]
fn an_image_that_is_being_removed_is_put_again() {
    for kept in &Kept::both() {
        let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
        let face = node(&nats.address, root.path(), "face", &Plan::of(FACE).kept(kept));
        let raw = Raw::of(&nats);
        let (image, bytes) = (format!("{:x}", Sha256::digest(picture())), picture().len() as u64);
        face.jobs.upload(&client("a"), picture()).unwrap();
        assert!(face.cluster.has(&image, bytes).unwrap());
        assert_eq!(face.cluster.read(Shelf::Images, &image).unwrap()[..], picture()[..]);
        // As far as a node is that removes it: its key goes first.
        raw.delete(&format!("i.{image}"));
        assert!(!face.cluster.has(&image, bytes).unwrap());
        assert!(face.cluster.has(&image, bytes).unwrap(), "whoever asked has it put again");
    }
}

#[test]
fn nothing_stays_of_a_generation_that_is_deleted() {
    for kept in &Kept::both() {
        let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
        let face = node(&nats.address, root.path(), "face", &Plan::of(FACE).kept(kept));
        let _worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER).kept(kept));
        let raw = Raw::of(&nats);
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
        face.cluster.sweep_at_once();
        eventually("its files are gone", || {
            face.jobs.sweep().unwrap();
            raw.files(kept).is_empty()
        });
    }
}

#[test]
fn what_a_worker_makes_every_face_reads_to_the_last_byte() {
    for kept in &Kept::both() {
        let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
        let faces = ["one", "two"].map(|name| node(&nats.address, root.path(), name, &Plan::of(FACE).kept(kept)));
        let _worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER).kept(kept));
        let id = submit(&faces[0].jobs, "a", 3);
        assert_eq!(ended(&faces[1].jobs, "a", id).state, State::Done);
        for kind in OutputKind::ALL {
            for face in &faces {
                let mut output = face.jobs.open_output(&client("a"), id, kind).unwrap();
                let mut bytes = Vec::new();
                output.file.read_to_end(&mut bytes).unwrap();
                assert_eq!(
                    (bytes.len() as u64, format!("{:x}", Sha256::digest(&bytes))),
                    (output.bytes, output.sha256)
                );
            }
        }
    }
}

#[test]
fn a_service_with_its_files_in_s3_makes_no_buckets_in_nats_and_every_node_must_say_so() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let here = Kept::s3();
    let _first = node(&nats.address, root.path(), "one", &Plan::of(FACE).kept(&here));
    let _second = node(&nats.address, root.path(), "two", &Plan::of(FACE).kept(&here));
    let refused = |name: &str, kept: &Kept| {
        let refused = try_node(&nats.address, &root.path().join(name), name, &Plan::of(FACE).kept(kept));
        let refused = refused.map(drop).unwrap_err();
        assert!(matches!(refused, ClusterError::Differs { key: "cluster.s3_bucket", .. }), "{refused}");
    };
    refused("three", &Kept::JetStream);
    // The bucket of another service, or none of its files.
    refused("four", &Kept::s3());
    let mut streams = Raw::of(&nats).streams();
    streams.sort();
    assert_eq!(streams, ["KV_ltxd", "ltxd-events", "ltxd-work"]);
}

#[test]
fn a_service_with_its_files_in_nats_takes_no_node_that_has_them_in_s3() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let _first = node(&nats.address, root.path(), "one", &Plan::of(FACE));
    let plan = Plan::of(FACE).kept(&Kept::s3());
    let refused = try_node(&nats.address, &root.path().join("two"), "two", &plan).map(drop).unwrap_err();
    assert!(matches!(refused, ClusterError::Differs { key: "cluster.s3_bucket", .. }), "{refused}");
}
