//! Faces over plain HTTP, each on a listener of its own.
//!
//! Must not know gRPC.

pub(crate) mod metrics;
