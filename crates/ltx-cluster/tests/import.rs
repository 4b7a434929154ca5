//! The data folder of a node alone is moved into a service: what was known of it is known there, and what had not ended goes on.
//!
//! Must not know how anything is kept.

mod common;

use common::{
    FACE, LONG, Nats, Node, Plan, Raw, WORKER, client, draft, ended, frames_of, node, submission, submit_draft,
    try_node, undisturbed,
};
use ltx_cluster::{ClusterError, Import, Imported};
use ltx_jobs::{
    Alone, Disk, Event, Filter, GenerationId, Jobs, JobsError, OutputKind, Surroundings, UploadId, Watched, ports::Now,
};
use ltx_testkit::fake::{FakeModels, FakeOptions, Gate, is_locked, opened, picture, policy, settings};
use ltx_types::{Seed, Stage};
use std::{
    cell::Cell,
    collections::HashSet,
    fs,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The step before which what ran was held, and its seed.
const HELD: (u64, usize) = (3, 4);

/// What is seen of a generation from outside.
#[derive(Debug, PartialEq)]
struct Seen {
    id: GenerationId,
    client: String,
    words: String,
    events: Vec<Event>,
    video: Option<Vec<u8>>,
}

/// What clients see of everything; its events come from there.
fn seen(jobs: &Jobs, events: &dyn Fn(&str, GenerationId) -> Vec<Event>) -> Vec<Seen> {
    let mut all = Vec::new();
    for owner in ["a", "b"] {
        for listed in jobs.list(&client(owner), &Filter::default(), 1000, None).unwrap().records {
            let record = jobs.get(&client(owner), listed.id).unwrap();
            let words = format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                (record.state, record.attempts, record.last_event, record.cancel_requested, listed.state),
                (&record.request_id, record.batch, record.created_ms, record.started_ms, record.ended_ms),
                record.request.draft.seed,
                record.method,
                record.model,
                record.predicted,
                record.failure,
                record.outcome,
                record.outputs_kept,
            );
            let video = video(jobs, owner, record.id);
            all.push(Seen { id: record.id, client: owner.to_owned(), words, events: events(owner, record.id), video });
        }
    }
    all
}

fn video(jobs: &Jobs, owner: &str, id: GenerationId) -> Option<Vec<u8>> {
    let mut output = jobs.open_output(&client(owner), id, OutputKind::Video).ok()?;
    let mut bytes = Vec::new();
    output.file.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// The events that are there after a number.
fn watched(jobs: &Jobs, owner: &str, id: GenerationId, after: u64) -> Vec<Event> {
    let mut watch = jobs.watch(&client(owner), id, after).unwrap();
    let mut events = Vec::new();
    while let Watched::Event(event) = watch.poll().unwrap() {
        events.push((*event).clone());
    }
    events
}

/// A folder in which a node alone has made, failed, cancelled, begun and kept waiting what it was asked for.
struct Old {
    root: tempfile::TempDir,
    /// What its clients saw at last.
    seen: Vec<Seen>,
    done: GenerationId,
    running: GenerationId,
    waiting: GenerationId,
    upload: UploadId,
}

impl Old {
    fn make() -> Self {
        let root = tempfile::tempdir().unwrap();
        let gate = Gate::default();
        let jobs = alone(&root.path().join("old"), &gate);
        let done = jobs.submit(&client("a"), submission(draft("a lake", 1), Some("r"))).unwrap().record.id;
        ended(&jobs, "a", done);
        let failed = submit_draft(&jobs, "a", draft("fail", 2)).unwrap().record.id;
        ended(&jobs, "a", failed);
        let upload = jobs.upload(&client("a"), picture()).unwrap();
        gate.close();
        let running = submit_draft(&jobs, "a", draft("a lake", HELD.0)).unwrap().record.id;
        let mut several = submission(draft("a hill", 4), Some("s"));
        several.further = vec![Seed(5), Seed(6)];
        let several = jobs.submit(&client("a"), several).unwrap();
        jobs.cancel(&client("a"), several.further[0].id).unwrap();
        let waiting = submit_draft(&jobs, "b", draft("a lake", 7)).unwrap().record.id;
        gate.bring_to(HELD.0, Stage::Denoising, HELD.1);
        assert!(jobs.shutdown(LONG));
        let unseen = seen(&jobs, &|_, _| Vec::new());
        drop(jobs);
        let mut old = Self { root, seen: Vec::new(), done, running, waiting, upload };
        let scratch = tempfile::tempdir().unwrap();
        let folder = old.open(scratch.path());
        let events = |id| {
            let leaving = folder.generation(id, 9, Now::at(0)).unwrap();
            folder.events(&leaving, 0).unwrap()
        };
        let with_events = unseen.into_iter().map(|seen| Seen { events: events(seen.id), ..seen });
        old.seen = with_events.collect();
        drop(folder);
        old
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("old")
    }

    fn open(&self, scratch: &Path) -> Alone {
        opened(|| Alone::open(&self.data(), scratch), is_locked)
    }

    fn import(&self, into: &Node, leave: &[GenerationId], progress: &dyn Fn(usize, usize)) -> Imported {
        let scratch = tempfile::tempdir().unwrap();
        let alone = self.open(scratch.path());
        let leave = leave.iter().copied().collect();
        into.cluster.import(&Import { alone: &alone, leave, fruitless_crashes: 9, progress }).unwrap()
    }

    /// Every file of the folder, with its bytes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
                }
            }
        }
        found.sort();
        found
    }
}

fn alone(data: &Path, gate: &Gate) -> Jobs {
    opened(|| try_alone(data, gate), is_locked)
}

fn try_alone(data: &Path, gate: &Gate) -> Result<Jobs, JobsError> {
    let models = Arc::new(FakeModels::new(FakeOptions { gate: gate.clone(), ..FakeOptions::default() }));
    let surroundings =
        Surroundings { models, policy: policy().into(), space: Box::new(Disk), credentials: None, tracer: None };
    Jobs::open(settings(data).check().unwrap(), surroundings)
}

fn shown(node: &Node) -> Vec<Seen> {
    seen(&node.jobs, &|owner, id| watched(&node.jobs, owner, id, 0))
}

#[test]
fn what_a_node_alone_held_is_the_services_and_goes_on_there() {
    let (old, nats, root) = (Old::make(), Nats::start(), tempfile::tempdir().unwrap());
    let before = old.files();
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let imported = old.import(&face, &[], &|_, _| {});
    assert_eq!((imported.moved, imported.uploads, imported.there), ([4, 0, 1, 1, 1], 1, 0), "{imported:?}");
    assert_eq!(imported.refused, []);
    assert_eq!(shown(&face), old.seen, "in the same order, with the same events and files");
    assert!(old.files() == before, "the folder is as it was");
    let last = old.seen.iter().find(|seen| seen.id == old.done).unwrap().events.len() as u64;
    let rest = watched(&face.jobs, "a", old.done, last - 2);
    assert_eq!(rest.iter().map(|event| event.number).collect::<Vec<_>>(), [last - 1, last]);
    let again = face.jobs.submit(&client("a"), submission(draft("a lake", 1), Some("r"))).unwrap();
    assert_eq!((again.existed, again.record.id), (true, old.done), "its request id is the service's now");
    let mut several = submission(draft("a hill", 4), Some("s"));
    several.further = vec![Seed(5), Seed(6)];
    let several = face.jobs.submit(&client("a"), several).unwrap();
    assert_eq!((several.existed, several.further.len()), (true, 2));
    assert!(matches!(face.jobs.get(&client("b"), old.done), Err(JobsError::NotFound { .. })), "another client's");
    face.jobs.uploaded(&client("a"), old.upload).unwrap();

    let keys = |raw: &Raw| {
        let mut keys = raw.keys();
        keys.retain(|key| key.starts_with("g.") || key.starts_with("u.") || key.starts_with("r."));
        keys.sort();
        keys
    };
    let raw = Raw::of(&nats);
    let aged = |id: GenerationId| raw.get(&format!("g.{id}"))["ended_age_ms"].as_i64().unwrap();
    let mut ended_ones: Vec<_> = old.seen.iter().filter(|seen| !seen.words.starts_with("(Queued")).collect();
    ended_ones.reverse();
    assert!(
        ended_ones.len() == 3 && ended_ones.is_sorted_by_key(|seen| aged(seen.id)),
        "who ended first expires first"
    );
    let kept = keys(&raw);
    let imported = old.import(&face, &[], &|_, _| {});
    assert_eq!((imported.generations(), imported.there, imported.uploads), (0, 7, 0), "all of it is there");
    assert_eq!((keys(&raw), shown(&face)), (kept, old.seen));

    let worker = node(&nats.address, root.path(), "worker", &Plan::of(WORKER));
    let frames = undisturbed([HELD.0, 7]);
    let resumed = ended(&face.jobs, "a", old.running);
    assert_eq!(frames_of(&resumed), frames[0].1);
    assert!(resumed.outcome.unwrap().resumed && resumed.attempts == 2, "from its saved latent");
    assert_eq!(frames_of(&ended(&face.jobs, "b", old.waiting)), frames[1].1);
    several.further.iter().chain([&several.record]).for_each(|one| _ = ended(&face.jobs, "a", one.id));
    drop(worker);
}

#[test]
fn a_move_that_is_cut_short_goes_on_and_doubles_nothing() {
    let (old, nats, root) = (Old::make(), Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let mut moved = 0;
    for cut in [1, 2, 4] {
        let at = Cell::new(0);
        let stop = |done: usize, _: usize| {
            at.set(done);
            assert!(done < cut, "cut short on purpose");
        };
        let ended = catch_unwind(AssertUnwindSafe(|| old.import(&face, &[], &stop)));
        assert!(ended.is_err() && at.get() >= cut);
        let there = shown(&face).len();
        assert!(there >= moved && there < old.seen.len());
        moved = there;
    }
    let imported = old.import(&face, &[], &|_, _| {});
    assert_eq!((imported.there, imported.generations()), (moved, old.seen.len() - moved));
    assert_eq!(shown(&face), old.seen);
}

#[test]
fn what_cannot_be_moved_is_named_and_keeps_nothing_else() {
    let (old, nats, root) = (Old::make(), Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let other = face.jobs.submit(&client("a"), submission(draft("a sea", 9), Some("s"))).unwrap().record.id;
    let video = old.data().join("outputs").join(old.done.to_string()).join("video.mp4");
    let mut bytes = fs::read(&video).unwrap();
    bytes[100] ^= 1;
    fs::write(&video, bytes).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let folder = old.open(scratch.path());
    let import = Import { alone: &folder, leave: HashSet::new(), fruitless_crashes: 9, progress: &|_, _| {} };
    let looked = import.look().unwrap();
    assert_eq!((looked.moved, looked.uploads), ([4, 0, 0, 1, 1], 1));
    assert_eq!(looked.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [old.done]);
    drop(folder);
    let imported = old.import(&face, &[], &|_, _| {});
    let named = |imported: &Imported| imported.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let first = old.seen.iter().find(|seen| seen.words.contains("\"s\"")).unwrap().id;
    assert_eq!(named(&imported), [old.done, first]);
    assert!(imported.refused[0].1.contains("video.mp4") && imported.refused[1].1.contains(&other.to_string()));
    assert_eq!((imported.generations(), shown(&face).len()), (5, 6));
    let left = old.import(&face, &[old.done, first], &|_, _| {});
    assert_eq!((left.refused.len(), left.left, left.there), (0, 2, 5));
}

#[test]
fn a_folder_is_held_while_it_is_moved_and_marked_then() {
    let (old, nats, root) = (Old::make(), Nats::start(), tempfile::tempdir().unwrap());
    let (gate, scratch) = (Gate::closed(), tempfile::tempdir().unwrap());
    let copy = root.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(old.data().join("jobs.sqlite"), copy.join("jobs.sqlite")).unwrap();
    let runs = alone(&copy, &gate);
    assert!(matches!(Alone::open(&copy, scratch.path()).err(), Some(JobsError::Locked { .. })), "a node works in it");
    drop(runs);
    let nothing = root.path().join("nothing");
    assert!(matches!(Alone::open(&nothing, scratch.path()).err(), Some(JobsError::NotAlone { .. })));
    assert!(!nothing.exists(), "and it is not made");
    let unmoved = try_node(&nats.address, &old.data(), "node", &Plan::of(FACE));
    assert!(matches!(unmoved.err(), Some(ClusterError::OfANodeAlone { .. })));
    let folder = old.open(scratch.path());
    folder.is_moved_to("ltxd").unwrap();
    drop(folder);
    let moved = |error: &JobsError| matches!(error, JobsError::Moved { service, .. } if service == "ltxd");
    assert!(opened(
        || try_alone(&old.data(), &gate)
            .map_or_else(|error| if moved(&error) { Ok(true) } else { Err(error) }, |_| Ok(false)),
        is_locked
    ));
    let again = opened(
        || match Alone::open(&old.data(), scratch.path()) {
            Err(error) if moved(&error) => Ok(true),
            other => other.map(|_| false),
        },
        is_locked,
    );
    assert!(again);
    let joined = node(&nats.address, old.root.path(), "old", &Plan::of(FACE));
    assert_eq!(shown(&joined), [], "a node of the service may have it, and shows what the service has");
}
