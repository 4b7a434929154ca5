//! Everything a call can fail with, in the domain's words.
//!
//! Must not know gRPC codes; `status` gives them.

use ltx_jobs::JobsError;
use ltx_policy::Refusal;
use ltx_types::FieldError;
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

impl Problem {
    pub(crate) fn fault(what: impl Into<String>) -> Self {
        Self::Fault { what: what.into() }
    }
}
