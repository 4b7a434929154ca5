//! What every face asks before it takes a call in: who calls, whether that client calls too often, and how much it holds open.
//!
//! Must not know a protocol, nor what is called. It looks before a byte of a body is read.

use super::{
    parts::{Parts, Room},
    streams::{Slot, Streams},
    token::{Token, client_of},
};
use crate::{
    ServerConfig,
    app::{Metrics, Problem},
    config::{UPLOADS, UPLOADS_PER_CLIENT},
    testing::Testing,
};
use ltx_jobs::{ClientId, CurrentPolicy, JobsError, RateLimit};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The one client of a node without tokens.
const LOCAL: &str = "local";

/// The entrance that all faces of a node share.
pub(crate) struct Entrance {
    tokens: Vec<Token>,
    calls: RateLimit,
    /// Watches and downloads.
    streams: Streams,
    uploads: Streams,
    upload_places: Arc<Semaphore>,
    parts: Parts,
    large_bodies: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// `None` but on a node for tests.
    testing: Option<Testing>,
}

impl Entrance {
    /// An entrance within the configured limits. What they stand against is counted.
    pub(crate) fn new(config: &ServerConfig, policy: &CurrentPolicy, metrics: Arc<Metrics>) -> Self {
        let limits = &config.limits;
        Self {
            tokens: config.listen.tokens.clone(),
            calls: RateLimit::new(limits.calls_per_second.get(), limits.call_burst.get()),
            streams: Streams::new(limits.streams_per_client.get()),
            uploads: Streams::new(UPLOADS_PER_CLIENT),
            upload_places: Arc::new(Semaphore::new(UPLOADS)),
            parts: Parts::new(limits.upload_time, limits.idle_time),
            large_bodies: Arc::new(Semaphore::new(limits.large_requests.get())),
            metrics,
            // What cannot be was refused with the configuration.
            testing: config.testing.testing(policy).ok().flatten(),
        }
    }

    /// The faults of a node for tests; `None` on any other.
    pub(crate) fn testing(&self) -> Option<&Testing> {
        self.testing.as_ref()
    }

    /// The client that a call's `authorization` belongs to.
    ///
    /// # Errors
    /// `NoToken`, `UnknownToken`.
    pub(crate) fn identify(&self, authorization: Option<&[u8]>) -> Result<ClientId, Problem> {
        if self.tokens.is_empty() {
            return Ok(ClientId::new(LOCAL)?);
        }
        let text = authorization.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Problem::NoToken)?;
        let (scheme, given) = text.split_once(' ').ok_or(Problem::NoToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::NoToken);
        }
        client_of(&self.tokens, given.trim()).cloned().ok_or(Problem::UnknownToken)
    }

    /// Counts a call against its client's share.
    ///
    /// # Errors
    /// `RateLimited` with how long to wait: the share is used up.
    pub(crate) fn count_call(&self, client: &ClientId) -> Result<(), Problem> {
        self.counted(self.calls.take(client).map_err(|retry_after| JobsError::RateLimited { retry_after }.into()))
    }

    /// Opens a watch or a download of a client.
    ///
    /// # Errors
    /// `TooManyStreams`.
    pub(crate) fn open_stream(&self, client: &ClientId) -> Result<Slot, Problem> {
        self.counted(self.streams.open(client))
    }

    /// Opens an upload of a client, once there is a place for it; each holds an image in memory. One in parts that paused
    /// makes room.
    ///
    /// # Errors
    /// `TooManyStreams`; `Fault`.
    pub(crate) async fn open_upload(&self, client: &ClientId) -> Result<Room, Problem> {
        let of_client = self.upload_of(client)?;
        let of_all = Arc::clone(&self.upload_places).acquire_owned().await;
        Ok(Room::new(of_client, of_all.map_err(|_| Problem::fault("no places for uploads"))?))
    }

    /// [`Self::open_upload`] for a call that holds a whole message already: it does not wait with that.
    ///
    /// # Errors
    /// `TooManyStreams`; `UploadsFull`.
    pub(crate) fn open_upload_at_once(&self, client: &ClientId) -> Result<Room, Problem> {
        let of_client = self.upload_of(client)?;
        let of_all = Arc::clone(&self.upload_places).try_acquire_owned();
        Ok(Room::new(of_client, self.counted(of_all.map_err(|_| Problem::UploadsFull { places: UPLOADS }))?))
    }

    /// A client's own share of uploads. One in parts that paused makes room in it, and for others where no place is left.
    fn upload_of(&self, client: &ClientId) -> Result<Slot, Problem> {
        let of_client = self.uploads.open(client).or_else(|_| {
            self.parts.yield_room(Some(client));
            self.uploads.open(client)
        });
        let of_client = self.counted(of_client)?;
        if self.upload_places.available_permits() == 0 {
            self.parts.yield_room(None);
        }
        Ok(of_client)
    }

    /// Images that come in parts.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Watches and downloads that are open, all clients' together.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.count()
    }

    /// Where other large bodies get their places; each holds up to a message in memory.
    pub(crate) fn large_bodies(&self) -> &Arc<Semaphore> {
        &self.large_bodies
    }

    fn counted<T>(&self, taken: Result<T, Problem>) -> Result<T, Problem> {
        taken.inspect_err(|problem| self.metrics.limited(problem))
    }
}
