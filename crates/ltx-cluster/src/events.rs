//! The log of events: a stream, one subject a generation. Documents hold the events of their last change as well, so what a crash
//! kept from the log is read there.
//!
//! Must not know who watches.

use crate::{Cluster, claims::Standing, connection::PATIENCE, error::unavailable};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;
use ltx_jobs::{
    Event, EventKind, GenerationId, GenerationRecord, JobsError, Result, State,
    ports::{EventLog, Hub, Listeners, Now, WatchedGeneration},
};
use parking_lot::Mutex;
use std::{
    cell::Cell,
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// The most events read at once.
const BATCH: usize = 256;

/// The most bookmarks that are kept.
const BOOKMARKS: usize = 1000;

/// Where in the log an event of a generation is.
struct Bookmark {
    id: GenerationId,
    number: u64,
    place: u64,
}

/// Places in the log that were found last, so that whoever reads on does not begin at the front.
#[derive(Default)]
pub(crate) struct Bookmarks(Mutex<VecDeque<Bookmark>>);

impl Bookmarks {
    fn keep(&self, bookmark: Bookmark) {
        let mut kept = self.0.lock();
        if kept.len() == BOOKMARKS {
            kept.pop_front();
        }
        kept.push_back(bookmark);
    }

    /// The place of an event of that number, or of the nearest before it that is known.
    fn of(&self, id: GenerationId, number: u64) -> Option<u64> {
        let kept = self.0.lock();
        let before = kept.iter().filter(|kept| kept.id == id && kept.number <= number);
        before.max_by_key(|kept| kept.number).map(|kept| kept.place)
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl EventLog for Cluster {
    /// Waits while the servers cannot be reached: the step that is done is not lost.
    fn append(&self, generation: &GenerationRecord, kind: EventKind, now: Now) -> Result<bool> {
        let id = generation.id;
        let stop = Cell::new(false);
        let told = self.insist(|| {
            let Some(Standing::Ours(attempt)) = self.claims.standing(id) else {
                stop.set(true);
                return Ok(());
            };
            let changed = self.change(id, &|document| {
                let ours = document.attempts == attempt && document.worker == self.node;
                let runs = ours && document.state == State::Running;
                stop.set(!runs || document.cancel_requested);
                if !runs {
                    self.claims.with(id, |held| held.lose());
                }
                Ok((!stop.get()).then(|| document.told(kind.clone(), now)))
            });
            changed.map(drop)
        });
        match told {
            Err(JobsError::NotFound { .. }) => Ok(true),
            told => told.map(|()| stop.get()),
        }
    }

    fn after(&self, of: WatchedGeneration, number: u64) -> Result<Vec<Arc<Event>>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let failed = match self.events_after(of.id, number) {
                Ok(Some(found)) => return Ok(found),
                // Some came between two looks.
                Ok(None) => "the log and its document do not meet".to_owned(),
                Err(JobsError::Unavailable { why, .. }) => why,
                Err(error) => return Err(error),
            };
            self.connection.again_until(until, failed)?;
        }
    }

    fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    fn watchers(&self) -> &Hub {
        &self.hub
    }
}

impl Cluster {
    /// Events after a number; none where there are none, `None` where there are and were not found.
    fn events_after(&self, id: GenerationId, number: u64) -> Result<Option<Vec<Arc<Event>>>> {
        let mut found = self.logged_after(id, number)?;
        let mut last = u64::MAX;
        // One that a crash kept from the log, or that is on its way there.
        if found.len() < BATCH {
            match self.document(id) {
                Ok((document, _)) => {
                    last = document.events;
                    found.extend(document.news());
                }
                Err(JobsError::NotFound { .. }) => return Ok(Some(Vec::new())),
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|event| event.number);
        let mut next = number + 1;
        found.retain(|event| {
            let follows = event.number == next;
            next += u64::from(follows);
            follows
        });
        let is_there = !found.is_empty() || last <= number;
        Ok(is_there.then(|| found.into_iter().take(BATCH).map(Arc::new).collect()))
    }

    /// Events of the log after a number, in the order in which they came; some perhaps twice.
    fn logged_after(&self, id: GenerationId, number: u64) -> Result<Vec<Event>> {
        let (events, subject) = (self.connection.events.clone(), self.connection.names.event(id));
        let deliver_policy = match self.bookmarks.of(id, number) {
            Some(place) => DeliverPolicy::ByStartSequence { start_sequence: place + 1 },
            None => DeliverPolicy::All,
        };
        let read = async move {
            let config = pull::Config {
                deliver_policy,
                ack_policy: AckPolicy::None,
                filter_subject: subject,
                inactive_threshold: Duration::from_secs(10),
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            };
            let consumer = events.create_consumer(config).await.map_err(unavailable)?;
            let mut left = consumer.cached_info().num_pending as usize;
            let (mut found, mut newest) = (Vec::new(), None::<Bookmark>);
            while left > 0 && found.len() < BATCH {
                let batch = consumer.fetch().max_messages(left.min(BATCH)).messages().await.map_err(unavailable)?;
                let batch = batch.filter_map(|message| std::future::ready(message.ok())).collect::<Vec<_>>();
                let batch = tokio::time::timeout(PATIENCE / 2, batch).await.map_err(unavailable)?;
                if batch.is_empty() {
                    break;
                }
                left = left.saturating_sub(batch.len());
                for message in &batch {
                    let event: Event =
                        serde_json::from_slice(&message.payload).map_err(|_| JobsError::Corrupt { what: "event" })?;
                    let place = message.info().map_err(unavailable)?.stream_sequence;
                    if newest.as_ref().is_none_or(|newest| newest.number < event.number) {
                        newest = Some(Bookmark { id, number: event.number, place });
                    }
                    if event.number > number {
                        found.push(event);
                    }
                }
            }
            // It goes by itself as well.
            let name = consumer.cached_info().name.clone();
            tokio::spawn(async move { events.delete_consumer(&name).await.map(drop) });
            Ok::<_, JobsError>((found, newest))
        };
        let (found, newest) = self.connection.wait(read)??;
        if let Some(newest) = newest {
            self.bookmarks.keep(newest);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::numbered;

    #[test]
    fn reading_goes_on_behind_the_nearest_event_that_is_known_and_few_places_are_kept() {
        let (bookmarks, [one, other]) = (Bookmarks::default(), [1, 2].map(numbered));
        for (id, number, place) in [(one, 256, 900), (other, 3, 7), (one, 512, 2000)] {
            bookmarks.keep(Bookmark { id, number, place });
        }
        assert_eq!(
            [0, 256, 300, 512, 9000].map(|at| bookmarks.of(one, at)),
            [None, Some(900), Some(900), Some(2000), Some(2000)]
        );
        for number in 0..BOOKMARKS as u64 {
            bookmarks.keep(Bookmark { id: other, number, place: number });
        }
        assert_eq!((bookmarks.of(one, 512), bookmarks.0.lock().len()), (None, BOOKMARKS));
        bookmarks.clear();
        assert_eq!(bookmarks.of(other, 5), None);
    }
}
