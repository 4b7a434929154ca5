//! Documents of generations in the bucket: read as the leader has them, changed at the revision that was read, and their events
//! in the log.
//!
//! Must not decide what follows what: whoever changes a document brings the change.

use crate::{
    Cluster,
    claims::Held,
    connection::{Kept, PATIENCE},
    error::{NotWritten, unavailable},
    keys,
};
use async_nats::jetstream::message::PublishMessage;
use ltx_jobs::{
    EventKind, GenerationId, JobsError, News, Result,
    ports::{Document, Mirrored},
};
use std::{sync::Arc, time::Instant};
use uuid::Uuid;

/// A document as it is kept now.
pub(crate) type Current = (Arc<Document>, u64);

impl Cluster {
    /// A generation's document, and its revision.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, also for one that a newer version keeps; `Corrupt`.
    pub(crate) fn document(&self, id: GenerationId) -> Result<Current> {
        match self.connection.get(&keys::generation(id))? {
            Some(Kept { revision, value: Some(value), .. }) => match Document::read(&value)? {
                Some(document) => Ok((Arc::new(document), revision)),
                None => {
                    // If this node runs it, a newer one goes on with it.
                    self.claims.with(id, Held::lose);
                    Err(unavailable("a newer version of ltxd keeps this generation; ask a node of that version"))
                }
            },
            _ => Err(JobsError::NotFound { id }),
        }
    }

    /// Changes a document by what `next` makes of it as it stands; nothing is written where that is `None`. Returns the document
    /// then, and whether it was changed.
    ///
    /// # Errors
    /// `next`'s; `NotFound`, `Unavailable`, `StorageFull`, `Corrupt`.
    pub(crate) fn change(
        &self,
        id: GenerationId,
        next: &dyn Fn(&Document) -> Result<Option<Document>>,
    ) -> Result<(Arc<Document>, bool)> {
        let until = Instant::now() + PATIENCE;
        let mut known = self.claims.with(id, |held| held.document.clone()).flatten();
        let (mut stamps, mut before) = (Vec::new(), None);
        loop {
            let (document, revision) = match known.take() {
                Some(known) => known,
                None => self.document(id)?,
            };
            if stamps.contains(&document.stamp) {
                // It was written, and the answer was lost.
                self.written(before.as_deref(), &document, revision);
                return Ok((document, true));
            }
            self.log(&document)?;
            let Some(mut changed) = next(&document)? else { return Ok((document, false)) };
            changed.sequence = Some(document.sequence.unwrap_or(revision as i64));
            changed.stamp = Uuid::now_v7().to_string();
            stamps.push(changed.stamp.clone());
            before = Some(Arc::clone(&document));
            match self.connection.put(&keys::generation(id), changed.write()?, revision) {
                Ok(revision) => {
                    let changed = Arc::new(changed);
                    self.written(before.as_deref(), &changed, revision);
                    return Ok((changed, true));
                }
                Err(NotWritten::Changed) => {}
                Err(failed) => self.connection.again_after(failed, until)?,
            }
        }
    }

    /// Stores a generation that is not there yet. One that is there already has been stored before.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `Corrupt`.
    pub(crate) fn create(&self, document: &Document) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.connection.put(&keys::generation(document.id), document.write()?, 0) {
                Ok(revision) => {
                    self.written(None, document, revision);
                    return Ok(());
                }
                Err(NotWritten::Changed) => return Ok(()),
                Err(failed) => self.connection.again_after(failed, until)?,
            }
        }
    }

    /// What follows once a document is written, where that was there before. Nothing here can undo that: what fails is made good by whoever comes next.
    fn written(&self, before: Option<&Document>, document: &Document, revision: u64) {
        for event in document.news() {
            let outcome = document.outcome().filter(|_| event.kind == EventKind::Done);
            let (generation, client) = (document.id, document.client.clone());
            // Whoever sees an event finds it counted.
            let traced = document.traced(before);
            self.listeners.tell(&News { generation, client, event: Arc::new(event), outcome, traced });
        }
        let key = keys::generation(document.id);
        let change = [(key, revision, Mirrored::Generation(Box::new(document.clone())))];
        if let Err(error) = self.take_in(true, &change) {
            tracing::warn!(id = %document.id, %error, "this node's copy lags behind");
        }
        if let Err(error) = self.log(document) {
            tracing::debug!(id = %document.id, %error, "its events follow");
        }
    }

    /// Puts the events of a document's last change into the log, unless they are known to be there. One that comes twice is
    /// dropped by the server, or by whoever reads.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`.
    fn log(&self, document: &Document) -> Result<()> {
        let id = document.id;
        let logged = self.logged.lock().get(&id).copied().unwrap_or(0);
        for event in document.news().filter(|event| event.number > logged) {
            let number = event.number;
            let stored = serde_json::to_vec(&event).map_err(|_| JobsError::Corrupt { what: "event" })?;
            let message = PublishMessage::build().payload(stored.into()).message_id(format!("{id}/{number}"));
            self.connection.publish(self.connection.names.event(id), message)?;
            if document.state.is_final() {
                self.logged.lock().remove(&id);
            } else {
                self.logged.lock().insert(id, number);
            }
        }
        Ok(())
    }
}
