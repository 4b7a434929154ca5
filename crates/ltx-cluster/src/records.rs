//! Records of generations: every change of one, and every question about them.
//!
//! Must not decide anything: a document's life is `ltx-jobs`' to decide. What was written counts only at the revision that was
//! read, so of two nodes that would end the same generation one does.

use crate::{Cluster, claims::Standing, documents::Current, error::unavailable, intents::Intent, keys, nodes::Nodes};
use async_nats::jetstream::message::PublishMessage;
use ltx_jobs::{
    ClientId, Failure, FailureCode, Filter, GenerationId, GenerationRecord, JobsError, Page, PageToken, Result, State,
    ports::{CancelledWhen, Changes, Document, Ending, Happening, NewGeneration, Now, Records, Recovered, Shelf},
};
use ltx_types::sentence;
use std::{cell::Cell, sync::atomic::Ordering};

fn record((document, revision): &Current) -> GenerationRecord {
    document.record(document.sequence.unwrap_or(*revision as i64))
}

impl Cluster {
    /// A generation's document, where a client asks: one that is not there never was, or is gone.
    fn known(&self, id: GenerationId) -> Result<Current> {
        match self.document(id) {
            Err(JobsError::NotFound { .. }) => {
                self.confirm()?;
                self.document(id)
            }
            found => found,
        }
    }

    /// Latents that came after the end of a generation, from the worker that had lost it. Of one that has not ended, whoever ends it
    /// removes them.
    fn clear_late_latents(&self, id: GenerationId) {
        if self.document(id).is_ok_and(|(document, _)| document.state.is_final()) {
            let _ = ltx_jobs::ports::Blobs::delete(self, Shelf::Latents, id.to_string().as_ref());
        }
    }
}

impl Changes for Cluster {
    fn insert(&self, new: &[NewGeneration<'_>], now: Now) -> Result<()> {
        let Some(first) = new.first() else { return Ok(()) };
        let documents: Vec<_> = new.iter().map(|new| Document::queued(new, now)).collect();
        let ids: Vec<_> = documents.iter().map(|document| document.id).collect();
        self.admit(first.client, &ids)?;
        let inserted = self.insert_admitted(first, documents);
        // Nothing of it is stored, nor ever will be.
        if let Err(JobsError::AlreadyExists { .. } | JobsError::Fields(_)) = inserted {
            self.give_back(first.client, &ids);
        }
        inserted
    }

    fn start(&self, id: GenerationId, now: Now) -> Result<Option<u32>> {
        let work = self.claims.with(id, |held| (held.standing != Standing::Lost).then_some(held.work)).flatten();
        let Some(work) = work else { return Ok(None) };
        let is_ours = |document: &Document| {
            document.state == State::Running && document.worker == self.node && document.work == work
        };
        let (document, _) = self.change(id, &|document| {
            if document.state != State::Queued {
                return Ok(None);
            }
            let mut started = document.after(Happening::Start, now)?;
            if let Some(started) = &mut started {
                (started.worker, started.work) = (self.node.clone(), work);
            }
            Ok(started)
        })?;
        let ours = is_ours(&document);
        self.claims.with(id, |held| {
            held.standing = if ours { Standing::Ours(document.attempts) } else { Standing::Over };
        });
        Ok(ours.then_some(document.attempts))
    }

    fn settle(&self, id: GenerationId, ending: &Ending, now: Now) -> Result<Option<State>> {
        let Some(Standing::Ours(attempt)) = self.claims.standing(id) else {
            self.clear_late_latents(id);
            return Ok(None);
        };
        // The servers were away until this node stopped: another one goes on with it.
        let gave_up = self.gave_up.load(Ordering::Relaxed) && matches!(ending, Ending::Failed(_));
        let ending = if gave_up { &Ending::Stopped } else { ending };
        let ours = |document: &Document| document.attempts == attempt && document.worker == self.node;
        let changed = self.change(id, &|document| match ours(document) && document.state == State::Running {
            true => Ok(document.after(Happening::Settle(ending), now)?),
            false => Ok(None),
        });
        let (document, changed) = match changed {
            Err(JobsError::NotFound { .. }) => {
                self.claims.with(id, |held| held.lose());
                return Ok(None);
            }
            Err(error @ JobsError::Fields(_)) if matches!(ending, Ending::Done(_)) => {
                let failure = Failure { code: FailureCode::Engine, message: sentence(&error) };
                return self.settle(id, &Ending::Failed(failure), now);
            }
            changed => changed?,
        };
        // It may have been written before, and the answer lost.
        let settled = changed || (ours(&document) && document.state.is_final());
        self.claims.with(id, |held| match settled {
            true if document.state.is_final() => held.standing = Standing::Over,
            true => held.standing = Standing::Taken,
            false => held.lose(),
        });
        if !settled {
            // Files of an attempt that does not count.
            let _ = self.remove_of(Shelf::Outputs, id, [attempt]);
            self.clear_late_latents(id);
        }
        Ok(settled.then_some(document.state))
    }

    fn cancel(&self, client: &ClientId, id: GenerationId, now: Now) -> Result<CancelledWhen> {
        self.known(id)?;
        let (document, _) = self.change(id, &|document| {
            if document.client != *client {
                return Err(JobsError::NotFound { id });
            }
            let cancelled = document.after(Happening::Cancel, now);
            cancelled.map_err(|refused| JobsError::Ended { id, state: refused.from })
        })?;
        Ok(if document.state == State::Cancelled { CancelledWhen::Queued } else { CancelledWhen::Running })
    }

    fn delete(&self, client: &ClientId, id: GenerationId) -> Result<()> {
        let (document, revision) = self.known(id)?;
        if document.client != *client {
            return Err(JobsError::NotFound { id });
        }
        if !document.state.is_final() {
            return Err(JobsError::NotEnded { id, state: document.state });
        }
        self.forget(&document, revision)
    }

    /// What this node ran when it died; other nodes take up what others ran, when those have been silent for long enough.
    fn recover(&self, max_fruitless: u32, reach: &dyn Fn(GenerationId) -> u64, now: Now) -> Result<Recovered> {
        let mut recovered = Recovered::default();
        for id in self.waits.run_by(&self.node) {
            let died = |document: &Document| document.state == State::Running && document.worker == self.node;
            let reached = reach(id);
            let changed = self.change(id, &|document| match died(document) {
                true => Ok(document.after(Happening::Recover { reached, max_fruitless }, now)?),
                false => Ok(None),
            });
            let (document, changed) = match changed {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::warn!(%id, %error, "it goes on when this node has been silent for long enough");
                    continue;
                }
            };
            match document.state {
                _ if !changed => {}
                State::Queued => {
                    // The message that it had comes again as well, and is of no use then.
                    self.enqueue(&document, true);
                    recovered.requeued.push(id);
                }
                _ => {
                    let _ = ltx_jobs::ports::Blobs::delete(self, Shelf::Latents, id.to_string().as_ref());
                    recovered.ended.push(id);
                }
            }
        }
        Ok(recovered)
    }
}

impl Cluster {
    /// Stores generations that have their places in the line.
    fn insert_admitted(&self, first: &NewGeneration<'_>, documents: Vec<Document>) -> Result<()> {
        // One document is there or is not; several, or one under a name of its client's, are announced by one first.
        if first.request_id.is_none() && documents.len() == 1 {
            return self.store(&documents);
        }
        let key = first.request_id.map_or_else(|| keys::several(first.id), |named| keys::request(first.client, named));
        let intent = Intent::of(first.body_sha256, documents);
        let revision = self.announce(&key, &intent, first.request_id)?;
        self.complete(&key, &intent, revision)
    }

    /// Takes over a generation whose worker has been silent. Returns its state then; `None` where it is not for this message.
    pub(crate) fn take_over(&self, id: GenerationId, work: u64) -> Result<Option<State>> {
        let reached = ltx_jobs::ports::reach(self, id);
        let (max_fruitless, now) = (self.bounds.fruitless_crashes, self.now());
        let mine = Cell::new(false);
        let (document, _) = self.change(id, &|document| {
            mine.set(document.state == State::Running && document.work == work);
            match mine.get() {
                true => Ok(document.after(Happening::Recover { reached, max_fruitless }, now)?),
                false => Ok(None),
            }
        })?;
        Ok((mine.get() || document.state != State::Running).then_some(document.state))
    }
}

impl Records for Cluster {
    /// A server that leads without knowing that it no longer does answers what it knew; one that takes a write has everything. The write is
    /// this node's card, which it leaves every few seconds anyway.
    fn confirm(&self) -> Result<()> {
        let card = PublishMessage::build().payload(Nodes::card(&self.node, self.nodes.own())?.into());
        // Whatever keeps it from being written: what was asked is not known.
        let left = self.connection.publish(self.connection.names.record(self.nodes.key()), card);
        left.map(drop).map_err(|why| unavailable(sentence(&JobsError::from(why))))
    }

    fn generation(&self, client: &ClientId, id: GenerationId) -> Result<GenerationRecord> {
        let current = self.known(id)?;
        if current.0.client == *client { Ok(record(&current)) } else { Err(JobsError::NotFound { id }) }
    }

    /// Whoever runs it has lost it where a newer version has changed it.
    fn any_generation(&self, id: GenerationId) -> Result<GenerationRecord> {
        if self.claims.standing(id) == Some(Standing::Lost) {
            return Err(JobsError::NotFound { id });
        }
        self.document(id).map(|current| record(&current))
    }

    fn by_request_id(&self, client: &ClientId, request_id: &str) -> Result<Option<(GenerationRecord, String)>> {
        let key = keys::request(client, request_id);
        let Some((intent, revision)) = self.intent(&key)? else { return Ok(None) };
        let Some(first) = intent.first() else { return Ok(None) };
        if !intent.is_complete() {
            self.complete(&key, &intent, revision)?;
        }
        match self.generation(client, first) {
            Ok(record) => Ok(Some((record, intent.body_sha256))),
            Err(JobsError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn batch(&self, client: &ClientId, batch: GenerationId) -> Result<Vec<GenerationRecord>> {
        self.catch_up()?;
        self.mirror.tables().batch(client, batch)
    }

    fn list(&self, client: &ClientId, filter: &Filter, size: usize, after: Option<PageToken>) -> Result<Page> {
        self.catch_up()?;
        self.mirror.tables().list(client, filter, size, after)
    }

    fn queued(&self) -> Result<Vec<GenerationRecord>> {
        self.catch_up()?;
        self.mirror.tables().queued()
    }
}
