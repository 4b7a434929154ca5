//! A disk that takes no more: typed, and never the end of the node.
//!
//! Before admission the room is asked for (a stand-in answers); while writing, the limit is a file size limit
//! (`ulimit -f`) on a child: this same test binary, told by the environment to generate.

mod common;

use common::{client, ended, files, settings, submit, submit_draft, surroundings};
use ltx_jobs::{FailureCode, Filter, Jobs, JobsError, Space, State, Surroundings};
use ltx_testkit::fake::{FakeOptions, draft, picture};
use ltx_types::{GenerationDraft, settings::Bounded};
use std::{
    env, io,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const FOLDER: &str = "LTX_JOBS_FULL_FOLDER";

/// As much room as a test says.
struct Room(Arc<AtomicU64>);

impl Space for Room {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn nothing_is_admitted_that_would_touch_the_reserve() {
    let folder = tempfile::tempdir().unwrap();
    let room = Arc::new(AtomicU64::new(1 << 40));
    let space = Box::new(Room(Arc::clone(&room)));
    let mut settings = settings(folder.path());
    settings.limits.reserve_bytes = Bounded::new(1 << 30).unwrap();
    let surroundings = Surroundings { space, ..surroundings(FakeOptions::default()) };
    let jobs = Jobs::open(settings.check().unwrap(), surroundings).unwrap();
    let first = submit(&jobs, "a", 1);
    ended(&jobs, "a", first);
    common::idle(&jobs);
    jobs.sweep().unwrap();
    room.store((1 << 30) + 100, Ordering::SeqCst);
    let before = files(folder.path());
    let refused = submit_draft(&jobs, "a", draft("a lake", 2));
    assert!(matches!(refused, Err(JobsError::StorageFull { free, needed, .. }) if free < needed), "{refused:?}");
    assert!(matches!(jobs.upload(&client("a"), picture()), Err(JobsError::StorageFull { .. })));
    assert_eq!(files(folder.path()), before);
    assert_eq!(jobs.list(&client("a"), &Filter::default(), 10, None).unwrap().records.len(), 1);
    room.store(1 << 40, Ordering::SeqCst);
    submit(&jobs, "a", 2);
}

/// The child, which may write files of 1 MiB: a clip of noise is larger, one of stripes is not.
#[test]
fn generate_in_a_child() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let noisy = env::var("LTX_JOBS_FULL_NOISE").is_ok();
    let options = FakeOptions { noise: noisy, ..FakeOptions::default() };
    let jobs = common::open(Path::new(&folder), options);
    let large = GenerationDraft { width: 256, height: 256, frames: 97, ..draft("a lake", 1) };
    let id = submit_draft(&jobs, "a", large).unwrap().record.id;
    let record = ended(&jobs, "a", id);
    match noisy {
        true => assert_eq!(record.failure.map(|failure| failure.code), Some(FailureCode::StorageFull)),
        false => assert_eq!((record.state, record.failure), (State::Done, None)),
    }
    println!("as expected");
}

#[test]
fn a_disk_that_fills_while_writing_fails_one_generation() {
    let folder = tempfile::tempdir().unwrap();
    for noise in [Some("1"), None] {
        // Ignored, the signal becomes the error EFBIG.
        let script = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact generate_in_a_child --nocapture";
        let mut child = Command::new("bash");
        child.args(["-c", script]).arg(env::current_exe().unwrap()).env(FOLDER, folder.path());
        noise.map(|noise| child.env("LTX_JOBS_FULL_NOISE", noise));
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("as expected"), "{said}");
    }
    assert_eq!(files(&folder.path().join("outputs")).len(), 3);
}
