//! What a node knows of its service: the connection, the copy of the documents, its own claim, and who else is there.
//!
//! Must not know what a generation's life is: that is `ltx-jobs`' to decide, and is written in `documents`.

use crate::{
    ClusterConfig,
    claims::{Claims, Standing},
    connection::{Connection, PATIENCE, last_number},
    error::unavailable,
    events::Bookmarks,
    files::Files,
    follow::Position,
    intents::OpenIntents,
    keys,
    line::Waits,
    nodes::Nodes,
    retention::Turns,
};
use ltx_jobs::{
    DataFolder, GenerationId, Result, ServiceStatus, State,
    ports::{Blobs, Document, Hub, Listeners, Mirror, Mirrored, Now, TakenIn},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// Bounds that hold over all nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) queued: usize,
    pub(crate) queued_per_client: usize,
    pub(crate) requests_per_second: f64,
    pub(crate) request_burst: u32,
    pub(crate) fruitless_crashes: u32,
}

/// A node's part in its service. It implements every port but the line's.
pub struct Cluster {
    pub(crate) connection: Connection,
    pub(crate) config: ClusterConfig,
    /// This node's id.
    pub(crate) node: String,
    /// Models whose work it takes.
    pub(crate) models: Vec<String>,
    pub(crate) bounds: Bounds,
    pub(crate) mirror: Mirror,
    pub(crate) hub: Arc<Hub>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) claims: Claims,
    pub(crate) waits: Waits,
    pub(crate) nodes: Nodes,
    pub(crate) intents: OpenIntents,
    pub(crate) turns: Turns,
    /// Keys of generations and uploads that this version cannot read, and the reload in which that was seen. The copy does not have
    /// them, so no file may be judged by it to belong to nobody.
    pub(crate) unread: Mutex<HashMap<String, i64>>,
    pub(crate) position: Position,
    /// The current reload of the copy.
    pub(crate) reload: AtomicI64,
    /// Held while a change is taken in, so that copy and line see changes in one order.
    pub(crate) intake: Mutex<()>,
    /// The newest event of a generation that is known to be in the log.
    pub(crate) logged: Mutex<HashMap<GenerationId, u64>>,
    /// Where in the log events were found.
    pub(crate) bookmarks: Bookmarks,
    /// Where files lie that every node finds.
    pub(crate) files: Files,
    /// The folder that this node holds; outputs are written there before they are put where every node finds them.
    pub(crate) folder: DataFolder,
    /// Where files that were fetched lie while they are open.
    pub(crate) spool: PathBuf,
    /// The service's own time when this node joined.
    pub(crate) clock: (i64, Instant),
    pub(crate) closed: AtomicBool,
    /// What a run needed could not be brought to its end before the node stopped: it has not failed.
    pub(crate) gave_up: AtomicBool,
}

impl Cluster {
    /// How this node's part in its service stands.
    pub fn status(&self) -> ServiceStatus {
        let (nodes, workers) = self.nodes.alive();
        let (queued, running) = self.waits.counts();
        ServiceStatus { connected: self.connection.is_connected(), nodes, workers, running, queued }
    }

    /// The message of this node's claim is given out again, as if nothing had been heard of the node. For tests.
    #[doc(hidden)]
    pub fn fall_silent(&self) {
        if let Some(acker) = self.claims.lock().as_ref().map(|held| held.acker()) {
            let silence =
                async move { acker.ack_with(async_nats::jetstream::AckKind::Nak(None)).await.unwrap_or_default() };
            let _ = self.connection.wait(silence);
        }
    }

    /// This node sweeps whenever it is asked, and a file may be removed as soon as it was put. For tests.
    #[doc(hidden)]
    pub fn sweep_at_once(&self) {
        self.turns.follow_at_once();
    }

    /// Whether this version cannot read a generation.
    pub(crate) fn cannot_read(&self, id: GenerationId) -> bool {
        self.unread.lock().contains_key(&keys::generation(id))
    }

    /// Forgets what is known of the log: servers that restored a backup have another one.
    pub(crate) fn forget_log(&self) {
        self.logged.lock().clear();
        self.bookmarks.clear();
    }

    /// Whether this node computes.
    pub fn works(&self) -> bool {
        self.config.roles.worker
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Milliseconds of the service's own time, which goes on while one of its nodes runs.
    pub(crate) fn age_ms(&self) -> i64 {
        let (age_ms, since) = self.clock;
        age_ms.saturating_add(since.elapsed().as_millis() as i64)
    }

    /// Waits until the copy holds everything that was written before this was called.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn catch_up(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let last = loop {
            let records = self.connection.records.clone();
            match self.connection.wait(async move { last_number(&records).await })? {
                Ok(last) => break last,
                Err(error) => self.connection.again_until(until, error)?,
            }
        };
        match self.position.reaches(last, until) {
            true => Ok(()),
            false => Err(unavailable("this node's copy lags behind")),
        }
    }

    /// Takes changes into the copy, the line, and what this node knows of its own claim.
    pub(crate) fn take_in(&self, tell: bool, changes: &[(String, u64, Mirrored)]) -> Result<()> {
        let _in_order = self.intake.lock();
        let taken = self.mirror.apply(self.reload.load(Ordering::Relaxed), tell, changes)?;
        for ((_, revision, change), taken) in changes.iter().zip(taken) {
            match change {
                // What is known in the tables may not be in the line: that begins empty.
                Mirrored::Generation(document) if taken != TakenIn::Older => self.observe(document, *revision),
                Mirrored::GenerationGone(id) => {
                    self.waits.forget(*id);
                    self.logged.lock().remove(id);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn observe(&self, document: &Document, revision: u64) {
        self.waits.observe(document, revision);
        if document.state.is_final() {
            self.logged.lock().remove(&document.id);
        }
        self.claims.with(document.id, |held| {
            let Standing::Ours(attempt) = held.standing else { return };
            if document.attempts != attempt || document.worker != self.node || document.state != State::Running {
                if !document.state.is_final() {
                    held.lose();
                }
            } else {
                if document.cancel_requested {
                    held.cancel.cancel();
                }
                if held.document.as_ref().is_none_or(|(_, known)| *known < revision) {
                    held.document = Some((Arc::new(document.clone()), revision));
                }
            }
        });
    }

    /// Repeats what a worker must bring to its end while the servers cannot be reached, until they can or the node stops.
    pub(crate) fn insist<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match act() {
                Err(ltx_jobs::JobsError::Unavailable { .. }) if !self.is_closed() => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(error @ ltx_jobs::JobsError::Unavailable { .. }) => {
                    self.gave_up.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                done => return done,
            }
        }
    }

    /// The node's own folder, as the blobs of a node alone.
    pub(crate) fn own_files(&self) -> &dyn Blobs {
        &self.folder
    }

    pub(crate) fn now(&self) -> Now {
        Now::at(self.age_ms())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.node)
            .field("service", &self.config.service)
            .finish_non_exhaustive()
    }
}
