//! Many nodes as one service: records, events, work and files in NATS JetStream, files perhaps in S3, behind the ports of `ltx-jobs`.
//!
//! Must not know: gRPC, candle, command lines. [`join`] makes what [`Jobs::open_on`](ltx_jobs::Jobs::open_on) stands on.
//!
//! What decides is one document for each generation in a key-value bucket, changed only at the revision that was read. A message in
//! a work queue brings it to a worker and, when that falls silent, to another; the document's revision decides whose result counts.
//! Every node keeps a copy of the documents in its data folder to answer questions from, and asks the bucket how far that must be
//! before it answers.
//!
//! The ports are synchronous and the client of NATS is not: its futures run on threads of their own, and whoever calls waits.
#![forbid(unsafe_code)]

mod admission;
mod blobs;
mod claims;
mod config;
mod connection;
mod documents;
mod environment;
mod error;
mod events;
mod files;
mod follow;
mod import;
mod intents;
mod join;
mod keys;
mod line;
mod nodes;
mod previews;
mod records;
mod retention;
mod s3_config;
mod store;
mod uploads;
mod work;

pub use config::{ClusterConfig, Role, Roles, Settings};
pub use environment::Environment;
pub use error::ClusterError;
pub use files::Bucket;
pub use import::{Import, Imported};
pub use join::{Joining, join};
pub use store::Cluster;
