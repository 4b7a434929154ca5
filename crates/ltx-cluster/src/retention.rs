//! What has been kept long enough, whose turn it is to remove it, and the service's own time, by which that is counted.
//!
//! Must not touch what has not ended. One node sweeps at a time: the one that takes the turn at the revision that it saw.

use crate::{
    Cluster,
    connection::Kept,
    error::{NotWritten, unavailable},
    keys::{self, Named},
};
use ltx_jobs::{
    GenerationId, JobsError, Result,
    ports::{Document, FileOwners, KeptBytes, Mirrored, Now, Retained, Shelf, SweepTurn, Upkeep, absence},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How long a turn lasts.
const TURN: Duration = Duration::from_secs(45);

/// Every so many turns files are looked for that belong to nothing.
const ORPHANS_EVERY: u64 = 30;

/// How long marks of what was deleted stay, for nodes that were away.
const MARKS: Duration = Duration::from_secs(24 * 3600);

/// A file that was put within this time may belong to a record that is still to come.
const YOUNG: Duration = Duration::from_secs(600);

/// Turns, and marks of what was deleted.
#[derive(Default)]
pub(crate) struct Turns {
    /// The revision of the last turn, and when it was heard of. Revisions of servers that restored a backup begin again lower.
    last: Mutex<Option<(u64, Instant)>>,
    marks: Mutex<HashMap<String, (u64, Instant)>>,
    /// Files, and when they were seen first.
    files: Mutex<HashMap<(&'static str, String), Instant>>,
    /// Generations that this node has just forgotten, with their outputs.
    forgotten: Mutex<VecDeque<GenerationId>>,
    /// In tests turns follow each other at once, and no file is young.
    at_once: AtomicBool,
}

/// A turn, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Turn {
    node: String,
    number: u64,
}

/// The service's time, as it is kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Clock {
    age_ms: i64,
}

impl Turns {
    pub(crate) fn heard(&self, revision: u64) {
        let mut last = self.last.lock();
        if last.is_none_or(|(known, _)| known != revision) {
            *last = Some((revision, Instant::now()));
        }
    }

    pub(crate) fn follow_at_once(&self) {
        self.at_once.store(true, Ordering::Relaxed);
    }

    /// A time after which something may be done, unless that is at once.
    pub(crate) fn after(&self, time: Duration) -> Duration {
        if self.at_once.load(Ordering::Relaxed) { Duration::ZERO } else { time }
    }

    /// How long a file is young.
    pub(crate) fn young(&self) -> Duration {
        self.after(YOUNG)
    }

    pub(crate) fn mark(&self, key: &str, revision: u64) {
        self.marks.lock().insert(key.to_owned(), (revision, Instant::now()));
    }

    /// Something is under the key again.
    pub(crate) fn unmark(&self, key: &str) {
        self.marks.lock().remove(key);
    }

    pub(crate) fn forget_marks(&self) {
        self.marks.lock().clear();
    }

    /// Marks that another node, whose turn it was, has removed by now.
    fn drop_removed_marks(&self) {
        self.marks.lock().retain(|_, (_, since)| since.elapsed() <= 2 * MARKS);
    }

    /// Those of these files of one kind that were there long ago.
    pub(crate) fn seen_long_ago<'a>(
        &self,
        kind: &'static str,
        files: impl Iterator<Item = &'a str>,
    ) -> HashSet<String> {
        let mut known = self.files.lock();
        let now: HashMap<_, _> = files
            .map(|file| (kind, file.to_owned()))
            .map(|file| {
                let since = known.get(&file).copied().unwrap_or_else(Instant::now);
                (file, since)
            })
            .collect();
        known.retain(|(other, _), _| *other != kind);
        let old = now
            .iter()
            .filter(|(_, since)| since.elapsed() >= self.young())
            .map(|((_, file), _)| file.clone())
            .collect();
        known.extend(now);
        old
    }

    /// Whether this node has just forgotten a generation.
    pub(crate) fn has_forgotten(&self, id: GenerationId) -> bool {
        self.forgotten.lock().contains(&id)
    }

    fn forgets(&self, id: GenerationId) {
        let mut forgotten = self.forgotten.lock();
        forgotten.push_back(id);
        if forgotten.len() > 1000 {
            forgotten.pop_front();
        }
    }

    fn is_over(&self) -> bool {
        self.last.lock().is_none_or(|(_, since)| since.elapsed() >= self.after(TURN))
    }

    fn old_marks(&self) -> Vec<(String, u64)> {
        let mut marks = self.marks.lock();
        let old = marks.iter().filter(|(_, (_, since))| since.elapsed() > MARKS);
        let old: Vec<_> = old.take(1000).map(|(key, (revision, _))| (key.clone(), *revision)).collect();
        old.iter().for_each(|(key, _)| _ = marks.remove(key));
        old
    }
}

impl Retained for Cluster {
    fn expire_outputs(&self, before_age_ms: i64, keep_bytes: u64) -> Result<Vec<GenerationId>> {
        self.catch_up()?;
        let without = |document: &Document| Ok((document.output_bytes > 0).then(|| document.without_outputs()));
        let old = self.mirror.expired_outputs(before_age_ms, keep_bytes)?;
        self.each_expired(old, |id| self.change(id, &without).map(|(_, changed)| changed))
    }

    fn expire_records(&self, before_age_ms: i64) -> Result<Vec<GenerationId>> {
        self.catch_up()?;
        let old = self.mirror.expired_records(before_age_ms)?;
        self.each_expired(old, |id| {
            let (document, revision) = self.document(id)?;
            self.forget(&document, revision).map(|()| true)
        })
    }

    fn expire_uploads(&self, before_age_ms: i64, keep_bytes: u64) -> Result<usize> {
        self.catch_up()?;
        let mut gone = 0;
        for key in self.mirror.expired_uploads(before_age_ms, keep_bytes)? {
            let Some(Kept { revision, value: Some(_), .. }) = self.connection.get(&key)? else { continue };
            match self.connection.delete(&key, revision) {
                Ok(revision) => {
                    self.take_in(true, &[(key, revision, Mirrored::UploadGone)])?;
                    gone += 1;
                }
                // Renewed meanwhile.
                Err(NotWritten::Changed) => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(gone)
    }

    fn owners_of_files(&self) -> Result<FileOwners> {
        self.catch_up()?;
        self.mirror.tables().owners_of_files()
    }

    fn kept_bytes(&self) -> Result<KeptBytes> {
        self.mirror.tables().kept_bytes()
    }
}

impl Upkeep for Cluster {
    fn sweep_turn(&self) -> Result<SweepTurn> {
        self.turns.drop_removed_marks();
        if !self.turns.is_over() {
            return Ok(SweepTurn::NotNow);
        }
        let kept = self.connection.get(keys::SWEEP)?;
        let revision = kept.as_ref().map_or(0, |kept| kept.revision);
        let last = kept.and_then(|kept| kept.value).and_then(|value| serde_json::from_slice(&value).ok());
        let last: Turn = last.unwrap_or_default();
        let turn = Turn { node: self.node.clone(), number: last.number + 1 };
        let value = serde_json::to_vec(&turn).map_err(|_| JobsError::Corrupt { what: "turn" })?;
        match self.connection.put(keys::SWEEP, value, revision) {
            Ok(revision) => self.turns.heard(revision),
            Err(NotWritten::Changed) => return Ok(SweepTurn::NotNow),
            Err(why) => return Err(why.into()),
        }
        self.complete_abandoned();
        self.remove_cards();
        self.purge_marks();
        Ok(if turn.number.is_multiple_of(ORPHANS_EVERY) { SweepTurn::ExpiredAndOrphans } else { SweepTurn::Expired })
    }

    /// With a wall's clock that is never behind: what has passed since was counted when this node joined.
    fn stored_clock(&self) -> Result<Option<Now>> {
        Ok(Some(Now { wall_ms: i64::MAX, age_ms: self.age_ms() }))
    }

    fn store_clock(&self, now: Now) -> Result<()> {
        let kept = self.connection.get(keys::CLOCK)?;
        let revision = kept.as_ref().map_or(0, |kept| kept.revision);
        let age_ms = kept_age(kept).max(now.age_ms);
        let value = serde_json::to_vec(&Clock { age_ms }).map_err(|_| JobsError::Corrupt { what: "clock" })?;
        match self.connection.put(keys::CLOCK, value, revision) {
            // Another node has just told the time.
            Ok(_) | Err(NotWritten::Changed) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    fn checkpoint(&self) -> Result<()> {
        self.mirror.tables().checkpoint()
    }
}

/// The service's time at a moment of the servers' clock: what was told last, and what has passed since. 0 for a service that begins.
pub(crate) fn age_at(kept: Option<Kept>, at_ms: i64) -> i64 {
    let since = kept.as_ref().map_or(0, |kept| absence(kept.at_ms, at_ms));
    kept_age(kept).saturating_add(since)
}

/// The service's time as it was told last; 0 for a service that begins.
fn kept_age(kept: Option<Kept>) -> i64 {
    let clock = kept.and_then(|kept| kept.value).and_then(|value| serde_json::from_slice::<Clock>(&value).ok());
    clock.map_or(0, |clock| clock.age_ms)
}

impl Cluster {
    /// Does something with everything that has been kept long enough; returns those with which it was done. What cannot be read, or
    /// fails, keeps nothing from the others.
    fn each_expired(
        &self,
        old: Vec<GenerationId>,
        act: impl Fn(GenerationId) -> Result<bool>,
    ) -> Result<Vec<GenerationId>> {
        let mut gone = Vec::new();
        for id in old.into_iter().filter(|id| !self.cannot_read(*id)) {
            match act(id) {
                Ok(true) => gone.push(id),
                Ok(false) | Err(JobsError::NotFound { .. }) => {}
                // The servers are away, for all of them.
                Err(error @ JobsError::Unavailable { .. }) if gone.is_empty() => return Err(error),
                Err(JobsError::Unavailable { .. }) => break,
                Err(error) => tracing::warn!(%id, %error, "it is kept longer"),
            }
        }
        Ok(gone)
    }

    /// Forgets a generation, if its document still has that revision.
    pub(crate) fn forget(&self, document: &Document, revision: u64) -> Result<()> {
        let id = document.id;
        let key = keys::generation(id);
        match self.connection.delete(&key, revision) {
            Ok(revision) => self.take_in(true, &[(key, revision, Mirrored::GenerationGone(id))])?,
            // Its outputs expired at that moment, or another node forgot it.
            Err(NotWritten::Changed) => match self.document(id) {
                Ok((document, revision)) => return self.forget(&document, revision),
                Err(JobsError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            },
            Err(why) => return Err(why.into()),
        }
        // What nobody would find again goes first; outputs without a record are found by a later sweep.
        self.purge_events(id);
        if let Some(request_id) = &document.request_id {
            let key = keys::request(&document.client, request_id);
            match self.intent(&key) {
                Ok(Some((intent, revision))) if intent.first() == Some(id) => {
                    // Whoever finds it finds its generation gone.
                    let _ = self.connection.delete(&key, revision);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%id, %error, "its request id stays"),
            }
        }
        self.remove_of(Shelf::Outputs, id, 1..=document.attempts)?;
        self.turns.forgets(id);
        Ok(())
    }

    pub(crate) fn purge_events(&self, id: GenerationId) {
        let (events, subject) = (self.connection.events.clone(), self.connection.names.event(id));
        let purge = async move { events.purge().filter(subject).await.map(drop).map_err(unavailable) };
        if let Err(error) = self.connection.wait(purge).flatten() {
            tracing::debug!(%id, %error, "its events stay until its mark goes");
        }
    }

    /// Removes the cards of nodes that have long been gone.
    fn remove_cards(&self) {
        for (key, revision) in self.nodes.forgotten() {
            match self.connection.delete(&key, revision) {
                // It is back.
                Ok(_) | Err(NotWritten::Changed) => {}
                Err(why) => tracing::debug!(key, ?why, "a node's card stays"),
            }
        }
    }

    /// Removes marks that every node has seen, and events of generations whose forgetting was cut short.
    fn purge_marks(&self) {
        for (key, revision) in self.turns.old_marks() {
            if let Named::Generation(id) = keys::named(&key) {
                self.purge_events(id);
            }
            let (records, subject) = (self.connection.records.clone(), self.connection.names.record(&key));
            // Only what is older than anything that came under the key since.
            let purge = async move {
                records.purge().sequence(revision + 1).filter(subject).await.map(drop).map_err(unavailable)
            };
            if let Err(error) = self.connection.wait(purge).flatten() {
                tracing::debug!(key, %error, "a mark stays");
            }
        }
    }
}
