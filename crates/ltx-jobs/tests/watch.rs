//! Watchers: none loses an event, none sees one twice, wherever they begin and however often they come back.

mod common;

use common::{Dice, LONG, client, millis, open, submit};
use ltx_jobs::{Event, GenerationId, Jobs, JobsError, WatchEnd, Watched};
use std::sync::Arc;

/// Follows a generation to its end, coming back now and then; `blocking` or through async.
fn collect(jobs: &Jobs, id: GenerationId, mut dice: Dice) -> Vec<Arc<Event>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut events: Vec<Arc<Event>> = Vec::new();
    loop {
        let seen = events.last().map_or(0, |event| event.number);
        let mut watch = jobs.watch(&client("a"), id, seen).unwrap();
        let mut patience = 1 + dice.below(9);
        let blocking = dice.below(2) == 0;
        while patience > 0 {
            let watched = match blocking {
                true => watch.next_within(LONG).unwrap(),
                false => watch.poll().unwrap(),
            };
            match watched {
                Watched::Event(event) => events.push(event),
                Watched::Pending => runtime.block_on(watch.changed()),
                Watched::End(end) => {
                    assert_eq!(end, WatchEnd::Finished);
                    return events;
                }
            }
            patience -= 1;
        }
    }
}

#[test]
fn fifty_watchers_see_everything_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(3));
    let ids: Vec<_> = (0..5).map(|seed| submit(&jobs, "a", seed)).collect();
    let seen: Vec<_> = std::thread::scope(|scope| {
        let watcher = |n: usize| {
            let (jobs, id) = (&jobs, ids[n % 5]);
            scope.spawn(move || (id, collect(jobs, id, Dice(n as u64))))
        };
        let watchers: Vec<_> = (0..50).map(watcher).collect();
        watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect()
    });
    for (id, events) in &seen {
        let last = jobs.get(&client("a"), *id).unwrap().last_event;
        let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
        assert!(events.last().unwrap().kind.is_final());
        let other = seen.iter().find(|(other, _)| other == id).unwrap();
        assert_eq!(events, &other.1, "all see the same");
    }
    let last = jobs.get(&client("a"), ids[0]).unwrap().last_event;
    let again = jobs.watch(&client("a"), ids[0], last).unwrap().poll().unwrap();
    assert_eq!(again, Watched::End(WatchEnd::Finished));
    let beyond = jobs.watch(&client("a"), ids[0], last + 1);
    assert!(matches!(beyond, Err(JobsError::EventsUnknown { last: known, .. }) if known == last));
}

#[test]
fn a_deleted_generation_ends_its_watches() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(1));
    let id = submit(&jobs, "a", 1);
    common::ended(&jobs, "a", id);
    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
    jobs.delete(&client("a"), id).unwrap();
    assert_eq!(watch.next_within(LONG).unwrap(), Watched::End(WatchEnd::Deleted));
    assert!(matches!(jobs.watch(&client("a"), id, 0), Err(JobsError::NotFound { .. })));
}
