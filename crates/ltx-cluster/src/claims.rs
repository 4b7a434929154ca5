//! The generation that this node has taken out of the line: what the line, the records and the files know of it together.
//!
//! Must not know how any of them is kept.

use crate::{Cluster, previews::Audience};
use async_nats::jetstream::{AckKind, message::Acker};
use ltx_jobs::{GenerationId, ports::Document};
use ltx_types::CancelToken;
use parking_lot::{Mutex, MutexGuard};
use std::{path::PathBuf, sync::Arc};
use tokio::task::AbortHandle;

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its message has come; nothing is written yet.
    Taken,
    /// The record names this attempt.
    Ours(u32),
    /// Another node has taken it over, or a newer version has changed it.
    Lost,
    /// Its record has ended, or waits for no worker: the message is of no more use.
    Over,
}

/// A claimed generation.
pub(crate) struct Held {
    pub(crate) id: GenerationId,
    pub(crate) cancel: CancelToken,
    pub(crate) standing: Standing,
    /// The message's place in its stream.
    pub(crate) work: u64,
    acker: Arc<Acker>,
    /// Tells the server that this process lives.
    heart: AbortHandle,
    /// The document as this node wrote it last, and its revision.
    pub(crate) document: Option<(Arc<Document>, u64)>,
    /// Where its outputs are written.
    pub(crate) outputs: Option<PathBuf>,
    /// Whether a latent of this attempt is kept.
    pub(crate) keeps_latent: bool,
    /// Who wants to see it at other nodes.
    pub(crate) audience: Audience,
}

impl Held {
    pub(crate) fn new(cluster: &Cluster, id: GenerationId, work: u64, acker: Acker) -> Self {
        let (connection, silent, acker) = (&cluster.connection, cluster.config.silent, Arc::new(acker));
        let beats = Arc::clone(&acker);
        let heart = connection.spawn(async move {
            loop {
                tokio::time::sleep(silent / 3).await;
                // While no server is connected there is nobody to tell; then it is said as soon as there is.
                let _ = beats.ack_with(AckKind::Progress).await;
            }
        });
        let (cancel, standing) = (CancelToken::new(), Standing::Taken);
        let audience = Audience::new(connection, &cluster.node, id);
        let (document, outputs, keeps_latent) = (None, None, false);
        Self { id, cancel, standing, work, acker, heart, document, outputs, keeps_latent, audience }
    }

    pub(crate) fn acker(&self) -> Arc<Acker> {
        Arc::clone(&self.acker)
    }

    /// Another node has it: this one stops as soon as it can, and no longer says that it lives.
    pub(crate) fn lose(&mut self) {
        self.standing = Standing::Lost;
        self.document = None;
        self.heart.abort();
        self.cancel.cancel();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

/// The one claim of this node.
#[derive(Default)]
pub(crate) struct Claims(Mutex<Option<Held>>);

impl Claims {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock()
    }

    /// Does something with the claim of a generation, if it is held.
    pub(crate) fn with<T>(&self, id: GenerationId, act: impl FnOnce(&mut Held) -> T) -> Option<T> {
        self.0.lock().as_mut().filter(|held| held.id == id).map(act)
    }

    pub(crate) fn standing(&self, id: GenerationId) -> Option<Standing> {
        self.with(id, |held| held.standing)
    }

    pub(crate) fn take(&self, id: GenerationId) -> Option<Held> {
        self.0.lock().take_if(|held| held.id == id)
    }
}
