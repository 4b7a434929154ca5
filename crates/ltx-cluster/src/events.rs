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
use serde::{Deserialize, Serialize};
use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

/// The most events read at once.
const BATCH: usize = 256;

/// An event as the log has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    number: u64,
    at_ms: i64,
    event: EventKind,
}

impl From<Event> for Stored {
    fn from(Event { number, at_ms, kind }: Event) -> Self {
        Self { number, at_ms, event: kind }
    }
}

impl From<Stored> for Event {
    fn from(Stored { number, at_ms, event }: Stored) -> Self {
        Self { number, at_ms, kind: event }
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
        let read = async move {
            let config = pull::Config {
                deliver_policy: DeliverPolicy::All,
                ack_policy: AckPolicy::None,
                filter_subject: subject,
                inactive_threshold: Duration::from_secs(10),
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            };
            let consumer = events.create_consumer(config).await.map_err(unavailable)?;
            let mut left = consumer.cached_info().num_pending as usize;
            let mut found = Vec::new();
            while left > 0 && found.len() < BATCH {
                let batch = consumer.fetch().max_messages(left.min(BATCH)).messages().await.map_err(unavailable)?;
                let batch = batch.filter_map(|message| std::future::ready(message.ok())).collect::<Vec<_>>();
                let batch = tokio::time::timeout(PATIENCE / 2, batch).await.map_err(unavailable)?;
                if batch.is_empty() {
                    break;
                }
                left = left.saturating_sub(batch.len());
                for message in &batch {
                    let stored: Stored =
                        serde_json::from_slice(&message.payload).map_err(|_| JobsError::Corrupt { what: "event" })?;
                    if stored.number > number {
                        found.push(Event::from(stored));
                    }
                }
            }
            // It goes by itself as well.
            let name = consumer.cached_info().name.clone();
            tokio::spawn(async move { events.delete_consumer(&name).await.map(drop) });
            Ok(found)
        };
        self.connection.wait(read)?
    }
}
