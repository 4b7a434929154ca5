//! What can stop a question or an order to the jobs.
//!
//! Must not know gRPC codes.

use crate::{GenerationId, GivenImage, NotPossible, OutputKind, State, UploadId};
use ltx_engine::is_disk_full;
use ltx_media::MediaError;
use ltx_types::{FieldError, FieldErrors, FrameCount, PixelShape};
use std::{io, path::PathBuf, time::Duration};

/// Result of everything in this crate.
pub type Result<T, E = JobsError> = std::result::Result<T, E>;

/// A shape that a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegalShape {
    /// Size of every frame.
    pub pixels: PixelShape,
    /// Length of the clip.
    pub frames: FrameCount,
}

impl std::fmt::Display for LegalShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} frames", self.pixels, self.frames.get())
    }
}

/// Everything this crate refuses or fails at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// This client has no such generation.
    #[error("generation {id}: not found")]
    NotFound {
        /// As it was asked for.
        id: GenerationId,
    },
    /// This client has no such upload; it may have expired.
    #[error("upload {id}: not found")]
    UploadNotFound {
        /// As it was asked for.
        id: UploadId,
    },
    /// The request id was used before, with another body.
    #[error("request_id {request_id}: was used before with another request")]
    AlreadyExists {
        /// The request id.
        request_id: String,
        /// The generation that has it.
        generation: GenerationId,
    },
    /// The queue, or this client's share of it, is full; it empties by itself.
    #[error("the queue is full: {limit} generations {}", if *of_client { "of this client wait" } else { "wait" })]
    QueueFull {
        /// The bound.
        limit: usize,
        /// Whether it is the client's own bound.
        of_client: bool,
    },
    /// The client asks too often.
    #[error("too many requests; try again in {:.1} s", retry_after.as_secs_f64())]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The disk is full, or would be.
    #[error("the disk is full{}", if *needed == 0 { String::new() } else {
        format!(": {free} bytes are free and {needed} are needed, the reserve included")
    })]
    StorageFull {
        /// Bytes free; 0 when a write failed.
        free: u64,
        /// Bytes needed, the configured reserve included; 0 when a write failed.
        needed: u64,
        /// The write that failed, if one did.
        #[source]
        source: Option<io::Error>,
    },
    /// The request needs more memory than a generation may take here.
    #[error(
        "needs {needed} bytes of memory where {available} are available; {}",
        largest.map_or("no shape fits".to_owned(), |shape| format!("the largest that fits: {shape}"))
    )]
    DoesNotFit {
        /// Bytes predicted.
        needed: u64,
        /// Bytes allowed.
        available: u64,
        /// The largest legal shape that fits: fewer frames first, then a smaller size.
        largest: Option<LegalShape>,
    },
    /// The request takes longer than a generation may here.
    #[error(
        "would take {} s, {}, where {limit} s are allowed; {}",
        seconds.ceil(),
        if *counted { "counted from its operations" } else { "as runs before it" },
        largest.map_or("no shape takes less".to_owned(), |shape| format!("the largest that fits: {shape}"))
    )]
    TakesTooLong {
        /// Seconds predicted.
        seconds: f64,
        /// Seconds allowed.
        limit: u64,
        /// Whether they are counted, rather than corrected by runs.
        counted: bool,
        /// The largest legal shape that fits, in seconds and in memory: fewer frames first, then a smaller size.
        largest: Option<LegalShape>,
    },
    /// It has ended; there is nothing to cancel.
    #[error("generation {id}: has ended ({})", state.as_str())]
    Ended {
        /// Which.
        id: GenerationId,
        /// How.
        state: State,
    },
    /// It has not ended; cancel it first.
    #[error("generation {id}: has not ended ({}); cancel it first", state.as_str())]
    NotEnded {
        /// Which.
        id: GenerationId,
        /// Where it stands.
        state: State,
    },
    /// It has no such output: it is not done, or its outputs have expired.
    #[error("generation {id}: has no {} ({})", kind.as_str(), if *expired { "it has expired" } else { state.as_str() })]
    NoOutput {
        /// Which.
        id: GenerationId,
        /// What was asked for.
        kind: OutputKind,
        /// Where it stands.
        state: State,
        /// Whether the output was there once.
        expired: bool,
    },
    /// It has no such image, or no longer.
    #[error("generation {id}: {}", if *expired { "its images are no longer kept" } else { "was given no such image" })]
    NoImage {
        /// Which.
        id: GenerationId,
        /// What was asked for.
        image: GivenImage,
        /// Whether it was given one.
        expired: bool,
    },
    /// A watcher claims to have seen events that do not exist. After a power failure (not after a crash of the node) the
    /// newest events of a running generation can be lost; resume after `last`.
    #[error("generation {id}: has {last} events, so none after {resume_after}")]
    EventsUnknown {
        /// Which.
        id: GenerationId,
        /// What the watcher said.
        resume_after: u64,
        /// The newest event's number.
        last: u64,
    },
    /// Fields of the request cannot have their values.
    #[error(transparent)]
    Fields(#[from] FieldErrors),
    /// An image of the request cannot be used, or an output cannot be written.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The policy's configuration does not say on which model to run.
    #[error("no model was chosen: the policy's configuration lists no loaded model")]
    NoModel,
    /// The model cannot be asked about.
    #[error("model {model}: unavailable")]
    ModelUnavailable {
        /// Its name.
        model: String,
    },
    /// A change that the table of states does not have; a fault of this crate.
    #[error(transparent)]
    NotPossible(#[from] NotPossible),
    /// What the nodes of a service share cannot be reached; what was accepted is not lost.
    #[error("the cluster's store cannot be reached: {why}")]
    Unavailable {
        /// What the client of it says.
        why: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// Another node works in the data folder.
    #[error("{}: another node uses this data folder", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// What the data folder holds was moved into a service.
    #[error(
        "{}: what it holds was moved into the service {service}; a node of that service may have it for a data folder, a node alone may not",
        folder.display()
    )]
    Moved {
        /// The folder.
        folder: PathBuf,
        /// The service's name.
        service: String,
    },
    /// A folder is no data folder of a node alone.
    #[error("{}: holds no jobs.sqlite, so no generations of a node alone", folder.display())]
    NotAlone {
        /// The folder.
        folder: PathBuf,
    },
    /// The database was written by a newer version.
    #[error("the database has schema {found}; this version knows up to {known}")]
    SchemaTooNew {
        /// In the file.
        found: u32,
        /// Here.
        known: u32,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] rusqlite::Error),
    /// Something stored is not what this crate stores.
    #[error("the database holds a {what} that cannot be read")]
    Corrupt {
        /// What.
        what: &'static str,
    },
    /// A file of the data folder failed.
    #[error("{}: cannot be read or written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<FieldError> for JobsError {
    fn from(error: FieldError) -> Self {
        Self::Fields(error.into())
    }
}

impl From<rusqlite::Error> for JobsError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::StorageFull { free: 0, needed: 0, source: None },
            _ => Self::Database(error),
        }
    }
}

impl JobsError {
    /// For `map_err` on a file. One that is kept elsewhere fails as that does.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.downcast::<Self>() {
            Ok(said) => said,
            Err(source) if is_disk_full(&source) => Self::StorageFull { free: 0, needed: 0, source: Some(source) },
            Err(source) => Self::File { path: path.into(), source },
        }
    }
}
