//! Previews at a node that does not compute: shown while somebody watches there, the same as at the worker, and none unasked.

mod common;

use common::{FACE, LONG, Nats, Node, Plan, Raw, client, ended, eventually, frames_of, node, submit, undisturbed};
use ltx_jobs::{EventKind, GenerationId, PreviewWatch, Watch, Watched, ports::PreviewExchange};
use ltx_types::Stage;
use std::{collections::BTreeSet, sync::Arc};

/// Somebody who watches at a node, with previews.
struct Watcher {
    watch: Watch,
    previews: PreviewWatch,
}

impl Watcher {
    fn at(node: &Node, id: GenerationId) -> Self {
        let watch = node.jobs.watch(&client("a"), id, 0).unwrap();
        Self { watch, previews: node.jobs.previews(&client("a"), id).unwrap() }
    }

    /// The preview of a step, once the step was told; `None` at the end.
    fn of(&mut self, step: usize) -> Option<Arc<[u8]>> {
        loop {
            let Watched::Event(event) = self.watch.next_within(LONG).unwrap() else { return None };
            if matches!(event.kind, EventKind::Progress { stage: Stage::Denoising, done, .. } if done == step) {
                let mut preview = None;
                // It comes by another way than the event.
                eventually("its preview comes", || {
                    preview = self.previews.of(&event);
                    preview.is_some()
                });
                return preview;
            }
        }
    }
}

#[test]
fn whoever_watches_at_any_face_sees_what_the_worker_shows_and_the_frames_stay_the_same() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let faces = ["one", "two"].map(|name| node(&nats.address, root.path(), name, &Plan::of(FACE)));
    let worker = node(&nats.address, root.path(), "worker", &Plan::held());
    let id = submit(&faces[0].jobs, "a", 3);
    worker.gate.bring_to(3, Stage::Denoising, 0);
    assert!(!worker.cluster.wanted(id), "nobody watches");
    let mut watchers = [&faces[0], &faces[1], &worker].map(|node| Watcher::at(node, id));
    let raw = Raw::of(&nats);
    let mut heard = BTreeSet::new();
    eventually("both faces listen", || {
        heard.extend(raw.want_previews(id));
        ["one", "two"].iter().all(|face| heard.contains(*face))
    });
    eventually("the worker knows that others watch", || worker.cluster.wanted(id));
    for step in 1..=8 {
        worker.gate.open_n(1);
        let shown = watchers.each_mut().map(|watcher| watcher.of(step).unwrap());
        assert!(shown[0].starts_with(b"\x89PNG"));
        assert!(shown.iter().all(|other| *other == shown[0]), "step {step}");
    }
    worker.gate.open();
    assert_eq!(frames_of(&ended(&faces[0].jobs, "a", id)), undisturbed([3])[0].1);
}

#[test]
fn a_worker_makes_none_when_the_last_who_watched_elsewhere_has_gone() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let worker = node(&nats.address, root.path(), "worker", &Plan::held());
    let (id, other) = (submit(&face.jobs, "a", 3), submit(&face.jobs, "a", 4));
    worker.gate.bring_to(3, Stage::Denoising, 2);
    let of_another = face.jobs.previews(&client("a"), other).unwrap();
    let watchers = [(); 2].map(|()| Watcher::at(&face, id));
    eventually("the worker knows that others watch", || worker.cluster.wanted(id));
    assert!(!worker.cluster.wanted(other), "it does not run");
    drop(watchers);
    eventually("the worker knows that nobody does", || !worker.cluster.wanted(id));
    worker.gate.open();
    ended(&face.jobs, "a", id);
    drop(of_another);
    ended(&face.jobs, "a", other);
}
