//! The services of the contract, one file each: messages in, a use case of the application, messages out.
//!
//! Must not decide anything that another face would have to decide again.

pub(super) mod download;
pub(super) mod generation;
pub(super) mod node;
pub(super) mod policy;
pub(super) mod upload;
pub(super) mod watch;
