//! The copy follows the bucket: everything that is there at first, then every change.
//!
//! Must not know what changes mean.

use crate::{
    Cluster,
    connection::last_number,
    keys::{self, Named},
};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;
use ltx_jobs::{
    JobsError, Result, WatchEnd,
    ports::{Document, Mirrored},
};
use parking_lot::{Condvar, Mutex};
use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

/// Changes that are taken in at once, at most.
const AT_ONCE: usize = 256;

/// After so long without a message marks of what was deleted may be gone: everything is taken in anew.
const FORGOTTEN: Duration = Duration::from_secs(6 * 3600);

/// How often a copy that cannot follow is warned of.
const WARNED: Duration = Duration::from_secs(10);

/// How often a server says that it has nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How far the copy is.
#[derive(Default)]
pub(crate) struct Position {
    /// The newest revision that was taken in; `None` before everything was there once.
    at: Mutex<Option<u64>>,
    /// When that was.
    since: Mutex<Option<Instant>>,
    moved: Condvar,
}

impl Position {
    /// Waits until the copy is that far; says whether it is.
    pub(crate) fn reaches(&self, revision: u64, until: Instant) -> bool {
        let mut at = self.at.lock();
        while at.is_none_or(|at| at < revision) {
            if self.moved.wait_until(&mut at, until).timed_out() {
                return at.is_some_and(|at| at >= revision);
            }
        }
        true
    }

    /// Where a copy goes on that is whole and was so a while ago, of servers whose last revision is this one. Where that is behind
    /// the copy, they have restored a backup: the copy is not whole then.
    fn recent(&self, last: u64) -> Option<u64> {
        let recent = self.since.lock().is_some_and(|since| since.elapsed() < FORGOTTEN);
        let mut at = self.at.lock();
        *at = at.filter(|at| *at <= last);
        at.filter(|_| recent)
    }

    fn advance(&self, revision: u64) {
        *self.since.lock() = Some(Instant::now());
        let mut at = self.at.lock();
        *at = Some(at.map_or(revision, |at| at.max(revision)));
        self.moved.notify_all();
    }
}

/// Follows for as long as the node belongs to its service.
pub(crate) async fn follow(cluster: Weak<Cluster>) {
    let (mut fails_since, mut warned): (Option<Instant>, Option<Instant>) = (None, None);
    while let Some(joined) = cluster.upgrade() {
        let began = Instant::now();
        if let Err(why) = follow_once(joined, &cluster).await {
            // What went well for a while has failed once; servers that are away have been warned of elsewhere.
            let lasted = began.elapsed() >= WARNED || cluster.upgrade().is_some_and(|it| !it.connection.is_connected());
            let since = *fails_since.insert(fails_since.filter(|_| !lasted).unwrap_or_else(Instant::now));
            let is_due = warned.is_none_or(|warned| warned.elapsed() >= WARNED);
            if since.elapsed() >= WARNED && is_due {
                tracing::warn!(why, "this node's copy cannot follow the cluster's store");
                warned = Some(Instant::now());
            } else {
                tracing::debug!(why, "following the cluster's store anew");
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn follow_once(joined: Arc<Cluster>, cluster: &Weak<Cluster>) -> std::result::Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let records = &joined.connection.records;
    let last = last_number(records).await?;
    // A copy that was whole a moment ago goes on from where it is.
    let known = joined.position.recent(last);
    let mut complete = known.is_some();
    let deliver_policy = match known {
        Some(at) => DeliverPolicy::ByStartSequence { start_sequence: at + 1 },
        None => DeliverPolicy::LastPerSubject,
    };
    let config = pull::Config {
        deliver_policy,
        filter_subject: joined.connection.names.record(">"),
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(30),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = records.create_consumer(config).await.map_err(|error| words(&error))?;
    let mut left = consumer.cached_info().num_pending;
    let mut reload = joined.reload.load(Ordering::Relaxed);
    if !complete {
        reload = joined.mirror.begin_reload(last).map_err(|error| words(&error))?;
        // They come again, as everything does; of servers that restored a backup they would be others'.
        joined.turns.forget_marks();
        joined.forget_log();
        joined.reload.store(reload, Ordering::Relaxed);
    }
    let messages = consumer.stream().max_messages_per_batch(2 * AT_ONCE).heartbeat(HEARTBEAT).expires(5 * HEARTBEAT);
    let mut messages = messages.messages().await.map_err(|error| words(&error))?.ready_chunks(AT_ONCE);
    if left == 0 {
        if !complete {
            complete = true;
            end_reload(&joined, reload)?;
        }
        joined.position.advance(last);
    }
    let reconnected = Arc::clone(&joined.connection.reconnected);
    drop(joined);
    let mut sequence = 0;
    loop {
        let chunk = tokio::select! {
            chunk = messages.next() => chunk.ok_or("the messages have ended")?,
            // The consumer may be gone with the server that had it.
            () = reconnected.notified() => return Err("there is another server".to_owned()),
        };
        let Some(joined) = cluster.upgrade() else { return Ok(()) };
        let (mut changes, mut newest) = (Vec::new(), 0);
        for message in chunk {
            let message = message.map_err(|error| words(&error))?;
            let info = message.info().map_err(|error| words(&error))?;
            if info.consumer_sequence != sequence + 1 {
                return Err("a message is missing".to_owned());
            }
            (newest, sequence) = (info.stream_sequence, info.consumer_sequence);
            left = left.saturating_sub(1);
            let deleted = message.headers.as_ref().is_some_and(|headers| headers.get("KV-Operation").is_some());
            if let Some(key) = joined.connection.names.key(&message.subject) {
                let value = (!deleted).then_some(&message.payload[..]);
                changes.extend(change(&joined, key, newest, value).map(|change| (key.to_owned(), newest, change)));
            }
        }
        joined.take_in(complete, &changes).map_err(|error| words(&error))?;
        if complete {
            for (_, _, change) in &changes {
                if let Mirrored::GenerationGone(id) = change {
                    joined.hub.end(*id, WatchEnd::Deleted);
                }
            }
        } else if left == 0 {
            complete = true;
            end_reload(&joined, reload)?;
        }
        if complete {
            joined.position.advance(newest);
        }
    }
}

fn end_reload(joined: &Cluster, reload: i64) -> std::result::Result<(), String> {
    for id in joined.mirror.end_reload(reload).map_err(|error| error.to_string())? {
        joined.waits.forget(id);
        if !joined.cannot_read(id) {
            joined.hub.end(id, WatchEnd::Deleted);
        }
    }
    joined.unread.lock().retain(|_, noted| *noted == reload);
    Ok(())
}

/// What a document is to the copy; `None` for one that a newer version keeps.
fn read(named: Named<'_>, value: Option<&[u8]>) -> Result<Option<Mirrored>> {
    match (named, value) {
        (Named::Generation(id), None) => Ok(Some(Mirrored::GenerationGone(id))),
        (Named::Generation(_), Some(value)) => Ok(Document::read(value)?.map(Box::new).map(Mirrored::Generation)),
        (_, None) => Ok(Some(Mirrored::UploadGone)),
        (_, Some(value)) => {
            let upload = serde_json::from_slice(value).map_err(|_| JobsError::Corrupt { what: "upload" })?;
            Ok(Some(Mirrored::Upload(upload)))
        }
    }
}

/// What the copy is told of a key. What belongs to the nodes themselves is noted where it belongs.
fn change(joined: &Cluster, key: &str, revision: u64, value: Option<&[u8]>) -> Option<Mirrored> {
    match value {
        None => joined.turns.mark(key, revision),
        Some(_) => joined.turns.unmark(key),
    }
    match (keys::named(key), value) {
        (named @ (Named::Generation(_) | Named::Upload), value) => {
            let read = read(named, value);
            match &read {
                Ok(Some(_)) => _ = joined.unread.lock().remove(key),
                _ => _ = joined.unread.lock().insert(key.to_owned(), joined.reload.load(Ordering::Relaxed)),
            }
            match read {
                Ok(Some(mirrored)) => return Some(mirrored),
                Ok(None) => tracing::warn!(key, "a newer version keeps it; it is left alone here"),
                Err(error) => tracing::error!(key, %error, "left alone"),
            }
        }
        (Named::Intent, value) => joined.intents.heard(key, value),
        (Named::Node(id), value) => joined.nodes.heard(id, revision, value),
        (Named::Sweep, Some(_)) => joined.turns.heard(revision),
        _ => {}
    }
    None
}
