//! Everything a call can fail with, in the domain's words.
//!
//! Must not know gRPC codes; `status` gives them.

use ltx_jobs::JobsError;
use ltx_policy::Refusal;
use ltx_types::{FieldError, FieldErrors};
use std::time::Duration;

/// Why a call is answered with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// Policy.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Fields of the request; at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldError>),
    /// The jobs.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The disk, with whether retention will make room.
    #[error("the disk is full{}", if *room_comes { "; older outputs will make room" } else { "" })]
    StorageFull {
        /// Whether waiting helps.
        room_comes: bool,
    },
    /// No bearer token.
    #[error("no bearer token: send `authorization: Bearer <token>`")]
    NoToken,
    /// A token that no client has.
    #[error("this node does not know the bearer token")]
    UnknownToken,
    /// The client has too many streams open.
    #[error("this client has {open} streams open, which is all it may have")]
    TooManyStreams {
        /// How many.
        open: usize,
    },
    /// As many uploads are under way as the node holds, and none of them pauses.
    #[error("{places} uploads are under way, which is all that this node holds at once")]
    UploadsFull {
        /// How many it holds.
        places: usize,
    },
    /// The offset is beyond the file's end.
    #[error("the offset {offset} is beyond the file's end at {total_bytes}")]
    OffsetOutOfRange {
        /// As it was asked for.
        offset: u64,
        /// The file's size.
        total_bytes: u64,
    },
    /// A message is larger than the node takes.
    #[error("the message is larger than Limits.message_bytes, which is {most}")]
    MessageTooLarge {
        /// Bytes.
        most: usize,
    },
    /// The request paused for too long.
    #[error("the request paused for more than {limit:?}")]
    Paused {
        /// How long it may.
        limit: Duration,
    },
    /// The client took nothing for too long.
    #[error("nothing was taken for more than {limit:?}")]
    NotTaken {
        /// How long it may pause.
        limit: Duration,
    },
    /// The call took too long.
    #[error("the call took more than {limit:?}")]
    OutOfTime {
        /// How long it may.
        limit: Duration,
    },
    /// There is no such method.
    #[error("this node has no method {path:?}")]
    UnknownMethod {
        /// As it was called.
        path: String,
    },
    /// The request is compressed.
    #[error("this node takes no compressed messages")]
    Encoding,
    /// Faults are asked for on a node that makes none.
    #[error(
        "the header ltxd-testing asks for faults, and this node makes none: its configuration has no testing.enabled"
    )]
    TestingNotEnabled,
    /// The request is neither gRPC nor gRPC-Web.
    #[error("the content type {found:?} is neither gRPC's over HTTP/2 nor gRPC-Web's")]
    ContentType {
        /// As it was sent.
        found: String,
    },
    /// A web page sent the request, and pages of its origin may not call.
    #[error("a web page of another origin sent this: {origin}")]
    OriginNotAllowed {
        /// Where it comes from, as far as that was said.
        origin: String,
    },
    /// The request is addressed to a host that the node does not go by.
    #[error("this node does not go by the name {host:?}")]
    HostNotAllowed {
        /// As it was addressed.
        host: String,
    },
    /// The offset is beyond what has come of an upload.
    #[error("the offset {offset} is beyond the {received_bytes} bytes that have come")]
    PartBeyond {
        /// As it was sent.
        offset: u64,
        /// What there is.
        received_bytes: u64,
    },
    /// The node stops.
    #[error("the node is stopping; nothing that was accepted is lost")]
    Stopping,
    /// The generation was deleted while it was watched.
    #[error("the generation was deleted")]
    Deleted,
    /// A fault of the node.
    #[error("{what}")]
    Fault {
        /// For the log.
        what: String,
    },
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors.into_iter().collect())
    }
}

impl Problem {
    /// A fault of the node.
    pub(crate) fn fault(what: impl Into<String>) -> Self {
        Self::Fault { what: what.into() }
    }

    /// Which of the node's limits this is, if it is one.
    pub(crate) fn limit(&self) -> Option<Limit> {
        match self {
            Self::Jobs(JobsError::DoesNotFit { .. }) => Some(Limit::Memory),
            Self::Jobs(JobsError::TakesTooLong { .. }) => Some(Limit::Seconds),
            Self::Jobs(JobsError::QueueFull { .. }) => Some(Limit::Queue),
            Self::Jobs(JobsError::RateLimited { .. }) | Self::TooManyStreams { .. } | Self::UploadsFull { .. } => {
                Some(Limit::Rate)
            }
            Self::Jobs(JobsError::StorageFull { .. }) | Self::StorageFull { .. } => Some(Limit::Storage),
            Self::Jobs(JobsError::Stopping) | Self::Stopping => Some(Limit::Stopping),
            Self::Jobs(JobsError::Unavailable { .. }) => Some(Limit::Store),
            _ => None,
        }
    }
}

/// A limit of the node that stood against a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The memory that a generation may take.
    Memory,
    /// The seconds that a generation may take.
    Seconds,
    /// The length of the queue.
    Queue,
    /// How often, or how much at once, a client may ask.
    Rate,
    /// The room on the disk.
    Storage,
    /// The node ends.
    Stopping,
    /// What the nodes of a service share cannot be reached.
    Store,
}

impl Limit {
    /// The limit's name in the metrics, which is the name of the reason that clients are given.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "DOES_NOT_FIT",
            Self::Seconds => "TAKES_TOO_LONG",
            Self::Queue => "QUEUE_FULL",
            Self::Rate => "RATE_LIMITED",
            Self::Storage => "STORAGE_FULL",
            Self::Stopping => "SHUTTING_DOWN",
            Self::Store => "STORE_UNAVAILABLE",
        }
    }
}
