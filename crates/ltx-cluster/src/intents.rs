//! Generations that belong together are announced by one document before any of them is stored: all of them or none. The document
//! of a request id is made only where there is none, so that the id is given once, whichever node is asked.
//!
//! Must not know what is asked for.

use crate::{
    Cluster,
    connection::{Kept, PATIENCE},
    error::{NotWritten, unavailable},
};
use ltx_jobs::{GenerationId, JobsError, Result, State, ports::Document};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The version of these documents.
const VERSION: u32 = 1;

/// After so long nobody works at an announcement any more: whoever sweeps completes it.
const ABANDONED: Duration = Duration::from_secs(60);

/// What was announced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    version: u32,
    pub(crate) body_sha256: String,
    ids: Vec<GenerationId>,
    /// What is to be stored; nothing once it is.
    documents: Vec<Document>,
}

impl Intent {
    pub(crate) fn of(body_sha256: &str, documents: Vec<Document>) -> Self {
        let ids = documents.iter().map(|document| document.id).collect();
        Self { version: VERSION, body_sha256: body_sha256.to_owned(), ids, documents }
    }

    pub(crate) fn first(&self) -> Option<GenerationId> {
        self.ids.first().copied()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.documents.is_empty()
    }

    fn written(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|_| JobsError::Corrupt { what: "announcement" })
    }
}

/// Announcements that were not complete when they were heard of.
#[derive(Default)]
pub(crate) struct OpenIntents(Mutex<HashMap<String, Instant>>);

impl OpenIntents {
    pub(crate) fn heard(&self, key: &str, value: Option<&[u8]>) {
        let open = value.and_then(|value| serde_json::from_slice::<Intent>(value).ok());
        let mut known = self.0.lock();
        match open.is_some_and(|intent| !intent.is_complete()) {
            true => _ = known.entry(key.to_owned()).or_insert_with(Instant::now),
            false => _ = known.remove(key),
        }
    }

    /// The keys of those that have been open for that long.
    fn open_for(&self, long: Duration) -> Vec<String> {
        let known = self.0.lock();
        known.iter().filter(|(_, since)| since.elapsed() >= long).map(|(key, _)| key.clone()).collect()
    }
}

impl Cluster {
    /// What is announced under a key, and its revision.
    pub(crate) fn intent(&self, key: &str) -> Result<Option<(Intent, u64)>> {
        match self.connection.get(key)? {
            Some(Kept { revision, value: Some(value), .. }) => {
                let corrupt = |_| JobsError::Corrupt { what: "announcement" };
                let intent: Intent = serde_json::from_slice(&value).map_err(corrupt)?;
                match intent.version > VERSION {
                    true => Err(unavailable("a newer version of ltxd keeps this request; ask a node of that version")),
                    false => Ok(Some((intent, revision))),
                }
            }
            _ => Ok(None),
        }
    }

    /// Announces generations, if nothing that still is there has the key. Returns the revision.
    ///
    /// # Errors
    /// `AlreadyExists`; `Unavailable`, `StorageFull`.
    pub(crate) fn announce(&self, key: &str, intent: &Intent, request_id: Option<&str>) -> Result<u64> {
        let until = Instant::now() + PATIENCE;
        let mut revision = 0;
        loop {
            match self.connection.put(key, intent.written()?, revision) {
                Ok(revision) => return Ok(revision),
                Err(NotWritten::Changed) => {}
                Err(failed) => self.connection.again_after(failed, until)?,
            }
            let Some(kept) = self.connection.get(key)? else {
                revision = 0;
                continue;
            };
            revision = kept.revision;
            let Some((other, _)) = kept.value.and_then(|_| self.intent(key).transpose()).transpose()? else { continue };
            if other.ids == intent.ids {
                return Ok(revision);
            }
            let Some(first) = other.first() else { continue };
            // What an id named and is deleted frees it.
            let there = !other.is_complete() || !matches!(self.document(first), Err(JobsError::NotFound { .. }));
            if there {
                let request_id = request_id.unwrap_or_default().to_owned();
                return Err(JobsError::AlreadyExists { request_id, generation: first });
            }
        }
    }

    /// Stores what was announced, and notes that it is. Doing it twice does it once.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `Corrupt`.
    pub(crate) fn complete(&self, key: &str, intent: &Intent, revision: u64) -> Result<()> {
        self.store(&intent.documents)?;
        // Without a name of its client's nobody asks for it again.
        let noted = match intent.documents.first().is_some_and(|document| document.request_id.is_none()) {
            true => self.connection.delete(key, revision),
            false => {
                let complete = Intent { documents: Vec::new(), ..intent.clone() };
                self.connection.put(key, complete.written()?, revision)
            }
        };
        if let Err(why) = noted {
            tracing::debug!(key, ?why, "whoever comes next finds everything stored and notes that");
        }
        Ok(())
    }

    /// Stores generations and brings them to the workers.
    pub(crate) fn store(&self, documents: &[Document]) -> Result<()> {
        documents.iter().try_for_each(|document| {
            self.create(document)?;
            // One that was moved here may have ended.
            if document.state == State::Queued {
                self.enqueue(document, false);
            }
            Ok(())
        })
    }

    /// Completes what a node that died had announced. What cannot be completed is tried again by the next sweep.
    pub(crate) fn complete_abandoned(&self) {
        for key in self.intents.open_for(self.turns.after(ABANDONED)) {
            let open = self.intent(&key).map(|found| found.filter(|(intent, _)| !intent.is_complete()));
            let done = open.and_then(|open| match open {
                Some((intent, revision)) => self.complete(&key, &intent, revision),
                None => Ok(()),
            });
            if let Err(error) = done {
                tracing::warn!(key, %error, "what was announced under it is not stored yet");
            }
        }
    }
}
