//! Several generations of one request: stored together or not at all, in their places, sharing what is encoded, each with an end of its
//! own, also after a restart.

mod common;

use common::{behind, client, ended, files, frames_of, settings, submission, submit, submit_draft, surroundings};
use ltx_jobs::{
    Batch, CacheSettings, Filter, GenerationRecord, Jobs, JobsError, Settings, State, Submission, Submitted,
};
use ltx_testkit::fake::{FakeOptions, Gate, draft};
use ltx_types::{Seed, Stage, settings::Bounded};
use std::path::Path;

fn open(data: &Path, options: FakeOptions, change: impl FnOnce(&mut Settings)) -> Jobs {
    let bytes = Bounded::new(0).unwrap();
    let cache = CacheSettings { bytes, memory_bytes: bytes, days: Bounded::new(0).unwrap() };
    let mut settings = Settings { cache, ..settings(data) };
    change(&mut settings);
    Jobs::open(settings.check().unwrap(), surroundings(options)).unwrap()
}

/// A request for these seeds.
fn several(seeds: &[u64], request_id: Option<&str>) -> Submission {
    let further = seeds[1..].iter().map(|seed| Seed(*seed)).collect();
    Submission { further, ..submission(draft("a lake", seeds[0]), request_id) }
}

fn all(Submitted { record, further, .. }: Submitted) -> Vec<GenerationRecord> {
    std::iter::once(record).chain(further).collect()
}

fn seeds(records: &[GenerationRecord]) -> Vec<u64> {
    records.iter().map(|record| record.request.draft.seed.0).collect()
}

#[test]
fn each_is_what_a_request_of_its_own_makes_and_the_text_is_encoded_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = FakeOptions { contexts: true, ..FakeOptions::default() };
    let jobs = open(folder.path(), options, |_| {});
    let alone = [7, 3, 9].map(|seed| {
        let id = submit_draft(&jobs, "a", draft("a lake", seed)).unwrap().record.id;
        frames_of(&ended(&jobs, "a", id))
    });
    let made = all(jobs.submit(&client("a"), several(&[7, 3, 9], None)).unwrap());
    let ends: Vec<_> = made.iter().map(|record| ended(&jobs, "a", record.id)).collect();
    assert!(ends.iter().map(frames_of).eq(alone), "{ends:?}");
    let encoded = |record: &GenerationRecord| {
        let stages = &record.outcome.as_ref().unwrap().stages;
        stages.iter().any(|time| time.stage == Stage::TextEncoding)
    };
    assert_eq!(ends.iter().map(encoded).collect::<Vec<_>>(), [true, false, false]);
    // A request of the same prompt that comes later shares nothing: nothing is kept.
    let later = submit(&jobs, "a", 7);
    assert!(encoded(&ended(&jobs, "a", later)));
    // The further ones are expected to have everything encoded.
    let again = all(jobs.submit(&client("a"), several(&[7, 3], None)).unwrap());
    let expected = |at: usize| again[at].predicted.stages.iter().map(|time| time.stage).collect::<Vec<_>>();
    assert_eq!(expected(0).first(), Some(&Stage::TextEncoding));
    assert_eq!(expected(1), expected(0)[2..]);
}

#[test]
fn they_wait_in_their_places_and_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate), |_| {});
    submit(&jobs, "a", 100);
    gate.reached(100, Stage::TextEncoding, 0);
    submit(&jobs, "b", 50);
    let made = all(jobs.submit(&client("a"), several(&[1, 2, 3], Some("r"))).unwrap());
    let id = made[0].id;
    let batch = |index| Some(Batch { id, index, size: 3 });
    let places = |records: &[GenerationRecord]| records.iter().map(|record| record.position).collect::<Vec<_>>();
    assert_eq!(made.iter().map(|record| record.batch).collect::<Vec<_>>(), [batch(0), batch(1), batch(2)]);
    assert_eq!((seeds(&made), places(&made)), (vec![1, 2, 3], vec![Some(1), Some(2), Some(3)]));
    drop(jobs);
    let jobs = open(folder.path(), FakeOptions::default(), |_| {});
    let again = jobs.submit(&client("a"), several(&[1, 2, 3], Some("r"))).unwrap();
    assert!(again.existed);
    let again = all(again);
    assert!(again.iter().map(|record| (record.id, record.batch)).eq(made.iter().map(|r| (r.id, r.batch))));
    for record in &made {
        assert_eq!(ended(&jobs, "a", record.id).state, State::Done);
    }
    // One that is deleted leaves the others.
    jobs.delete(&client("a"), made[1].id).unwrap();
    let left = |of: &str| {
        let filter = Filter { batch: Some(id), ..Filter::default() };
        seeds(&jobs.list(&client(of), &filter, 10, None).unwrap().records)
    };
    assert_eq!((left("a"), left("b")), (vec![3, 1], vec![]));
    assert_eq!(seeds(&jobs.with_its_batch(&client("a"), made[2].id).unwrap()), [1, 3]);
    assert_eq!(seeds(&all(jobs.submit(&client("a"), several(&[1, 2, 3], Some("r"))).unwrap())), [1, 3]);
    assert!(matches!(jobs.with_its_batch(&client("b"), id), Err(JobsError::NotFound { .. })));
}

#[test]
fn all_have_room_or_none_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate), |settings| {
        settings.limits.queued_per_client = Bounded::new(3).unwrap();
        settings.limits.queued = Bounded::new(4).unwrap();
    });
    submit(&jobs, "x", 100);
    gate.reached(100, Stage::TextEncoding, 0);
    let full = |owner: &str, seeds: &[u64]| match jobs.submit(&client(owner), several(seeds, None)) {
        Err(JobsError::QueueFull { limit, of_client }) => Some((limit, of_client)),
        other => other.map(|_| None).unwrap(),
    };
    assert_eq!(full("a", &[1, 2, 3, 4]), Some((3, true)));
    assert!(jobs.list(&client("a"), &Filter::default(), 10, None).unwrap().records.is_empty());
    assert_eq!(full("a", &[1, 2, 3]), None);
    assert_eq!(full("a", &[4]), Some((3, true)));
    assert_eq!((full("b", &[5, 6]), full("b", &[5])), (Some((4, false)), None));
    assert_eq!(files(&folder.path().join("images")).len(), 1, "the same picture is kept once");
    gate.open();
}

#[test]
fn one_that_is_cancelled_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate), |_| {});
    let made = all(jobs.submit(&client("a"), several(&[1, 2, 3], None)).unwrap());
    gate.reached(1, Stage::TextEncoding, 0);
    jobs.cancel(&client("a"), made[1].id).unwrap();
    gate.open();
    let states: Vec<_> = made.iter().map(|record| ended(&jobs, "a", record.id).state).collect();
    assert_eq!(states, [State::Done, State::Cancelled, State::Done]);
}
