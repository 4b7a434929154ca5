//! Previews: made while somebody asks for them, labelled, kept nowhere, and without effect on the clip.

mod common;

use common::{LONG, client, ended, files, frames_of, millis, open, submit, undisturbed_seeds};
use ltx_jobs::{Event, EventKind, GenerationId, Jobs, JobsError, Watched};
use ltx_types::Stage;
use std::sync::Arc;

/// An event and its preview.
type Seen = (Arc<Event>, Option<Arc<[u8]>>);

/// Follows a generation to its end and asks for the preview of every event.
fn followed(jobs: &Jobs, id: GenerationId, from: u64) -> Vec<Seen> {
    let mut watch = jobs.watch(&client("a"), id, from).unwrap();
    let previews = jobs.previews(&client("a"), id).unwrap();
    let mut seen = Vec::new();
    loop {
        match watch.next_within(LONG).unwrap() {
            Watched::Event(event) => {
                let preview = previews.of(&event);
                seen.push((event, preview));
            }
            Watched::End(_) => return seen,
            Watched::Pending => panic!("{id} does not end"),
        }
    }
}

#[test]
fn whoever_asks_gets_the_latest_step_and_the_frames_stay_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(30));
    let id = submit(&jobs, "a", 3);
    let seen = followed(&jobs, id, 0);
    let shown: Vec<_> = seen.iter().filter(|(_, preview)| preview.is_some()).collect();
    assert!(shown.len() >= 4, "{} of the eight steps", shown.len());
    for (event, preview) in shown {
        let EventKind::Progress { stage, done, .. } = event.kind else { panic!("{event:?}") };
        assert!(stage == Stage::Denoising && done > 0);
        let png = preview.as_ref().unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        let text = String::from_utf8_lossy(png);
        for word in ["preview", "usage_class", "UNLIMITED", "test-node", "not an output"] {
            assert!(text.contains(word), "{word}");
        }
    }
    let record = jobs.get(&client("a"), id).unwrap();
    assert_eq!([frames_of(&record)], undisturbed_seeds([3]));
    assert!(files(&folder.path().join("outputs")).iter().all(|name| !name.contains("preview")));
    // Nothing of it is kept behind the end.
    assert!(followed(&jobs, id, 0).iter().all(|(_, preview)| preview.is_none()));
}

#[test]
fn nobody_gets_previews_unasked_or_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(5));
    let first = submit(&jobs, "a", 1);
    let second = submit(&jobs, "a", 2);
    assert!(matches!(jobs.previews(&client("b"), first), Err(JobsError::NotFound { .. })));
    // Wanted for the second alone, and given up again for it before it runs.
    let wish = jobs.previews(&client("a"), second).unwrap();
    let mut watch = jobs.watch(&client("a"), first, 0).unwrap();
    while let Watched::Event(event) = watch.next_within(LONG).unwrap() {
        assert_eq!(wish.of(&event), None);
    }
    drop(wish);
    ended(&jobs, "a", second);
}
