//! What stops a node from joining, and what errors of NATS mean to the jobs.
//!
//! Must not know gRPC codes.

use async_nats::jetstream::{ErrorCode, context::PublishErrorKind};
use ltx_engine::is_disk_full;
use ltx_jobs::JobsError;
use ltx_types::FieldError;
use std::{fmt::Display, io, path::PathBuf, time::Duration};

/// When a client may try again: servers choose another leader within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a node cannot join its service.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server answers.
    #[error("cluster.servers: none of {servers} can be reached: {why}")]
    Unreachable {
        /// The servers.
        servers: String,
        /// Why the last could not be.
        why: String,
    },
    /// A file that the connection needs cannot be used.
    #[error("{key} = {}: {why}", file.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The servers do not keep what is asked of them.
    #[error("cluster: the stream {stream} cannot be had: {why}")]
    Stream {
        /// Which.
        stream: String,
        /// Why.
        why: String,
    },
    /// The bucket of an S3 service cannot be used.
    #[error("{key} = {value}: {why}")]
    S3 {
        /// The key that says what it says wrong, as far as the answer tells.
        key: &'static str,
        /// Its value.
        value: String,
        /// What the service answers.
        why: String,
    },
    /// The service has another value of a setting that all nodes must agree on.
    #[error("{key} = {here}: the service has {there}; {remedy}")]
    Differs {
        /// The key.
        key: &'static str,
        /// As this node has it.
        here: String,
        /// As the service has it.
        there: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// The data folder holds generations of a node alone.
    #[error(
        "data_dir: {} holds generations of a node alone, which the service does not know: move them in with `ltxd cluster import`, or \
         give this node another data_dir",
        file.display()
    )]
    OfANodeAlone {
        /// Its database.
        file: PathBuf,
    },
    /// The jobs' part of it.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// What the nodes share cannot be reached now.
pub(crate) fn unavailable(why: impl Display) -> JobsError {
    JobsError::Unavailable { why: why.to_string(), retry_after: RETRY_AFTER }
}

/// A file of this machine failed.
pub(crate) fn stopped_by(path: PathBuf, source: io::Error) -> JobsError {
    match is_disk_full(&source) {
        true => JobsError::StorageFull { free: 0, needed: 0, source: Some(source) },
        false => JobsError::File { path, source },
    }
}

/// Why something was not written.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// Somebody else has written meanwhile.
    Changed,
    /// It is not known whether it was written.
    Unknown(String),
    /// The servers take no more.
    Full,
    /// It is larger than the servers take, however often it is tried.
    TooLarge,
}

impl From<async_nats::jetstream::context::PublishError> for NotWritten {
    fn from(error: async_nats::jetstream::context::PublishError) -> Self {
        let code = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
            .map(async_nats::jetstream::Error::error_code);
        match (error.kind(), code) {
            (PublishErrorKind::WrongLastSequence, _) => Self::Changed,
            (PublishErrorKind::MaxPayloadExceeded, _) => Self::TooLarge,
            (_, Some(ErrorCode::INSUFFICIENT_RESOURCES | ErrorCode::STORAGE_RESOURCES_EXCEEDED)) => Self::Full,
            _ => Self::Unknown(error.to_string()),
        }
    }
}

impl From<NotWritten> for JobsError {
    fn from(why: NotWritten) -> Self {
        match why {
            NotWritten::Full => Self::StorageFull { free: 0, needed: 0, source: None },
            NotWritten::TooLarge => {
                FieldError::new("request", "its record", "is larger than max_payload of the cluster's NATS servers")
                    .into()
            }
            NotWritten::Changed => unavailable("another node changes the same all the time"),
            NotWritten::Unknown(why) => unavailable(why),
        }
    }
}
