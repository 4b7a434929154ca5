//! The gRPC face: the contract's services, messages into the domain and back, statuses.
//!
//! Must not know how connections are accepted, nor another face.

pub(crate) mod calls;
mod from_proto;
#[cfg(test)]
mod fuzz_tests;
pub(crate) mod services;
pub(crate) mod status;
mod to_proto;
mod transport_errors;
