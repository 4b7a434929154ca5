//! The node as an application: what it can do, in the domain's words, for whatever face asks.
//!
//! Must not know a protocol: no messages, no status codes, no sockets.

pub(crate) mod catalog;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod observer;
pub(crate) mod problem;
