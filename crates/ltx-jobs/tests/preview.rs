//! Previews: made while somebody asks for them, labelled, kept nowhere, and without effect on the clip.

mod common;

use common::{LONG, behind, client, ended, files, frames_of, open, submit, undisturbed_seeds};
use ltx_jobs::{Event, EventKind, GenerationId, Jobs, JobsError, PreviewWatch, Watched};
use ltx_testkit::fake::Gate;
use ltx_types::Stage;
use std::sync::Arc;

/// An event and its preview.
type Seen = (Arc<Event>, Option<Arc<[u8]>>);

/// Follows a generation to its end by a wish for previews, of this one or of another, and asks for the preview of every event. A
/// step goes on once it is known what belongs to the one before.
fn followed(jobs: &Jobs, gate: &Gate, id: GenerationId, previews: &PreviewWatch) -> Vec<Seen> {
    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
    let mut seen = Vec::new();
    loop {
        match watch.next_within(LONG).unwrap() {
            Watched::Event(event) => {
                let preview = previews.of(&event);
                if matches!(event.kind, EventKind::Progress { done, total, .. } if done < total) {
                    gate.open_n(1);
                }
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
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate));
    let id = submit(&jobs, "a", 3);
    let seen = followed(&jobs, &gate, id, &jobs.previews(&client("a"), id).unwrap());
    let shown: Vec<_> = seen.iter().filter(|(_, preview)| preview.is_some()).collect();
    assert_eq!(shown.len(), 8, "of the eight steps");
    for (at, (event, preview)) in shown.into_iter().enumerate() {
        let EventKind::Progress { stage, done, .. } = event.kind else { panic!("{event:?}") };
        assert_eq!((stage, done), (Stage::Denoising, at + 1));
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
    let again = followed(&jobs, &gate, id, &jobs.previews(&client("a"), id).unwrap());
    assert!(again.len() == seen.len() && again.iter().all(|(_, preview)| preview.is_none()));
}

#[test]
fn nobody_gets_previews_unasked_or_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate));
    let first = submit(&jobs, "a", 1);
    let second = submit(&jobs, "a", 2);
    assert!(matches!(jobs.previews(&client("b"), first), Err(JobsError::NotFound { .. })));
    // Wanted for the second alone, and given up again for it before it runs.
    let wish = jobs.previews(&client("a"), second).unwrap();
    let seen = followed(&jobs, &gate, first, &wish);
    assert!(seen.len() > 8 && seen.iter().all(|(_, preview)| preview.is_none()));
    gate.reached(2, Stage::TextEncoding, 0);
    drop(wish);
    gate.open();
    ended(&jobs, "a", second);
}
