//! One file per command.
//!
//! Must not know each other.

pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod models;
pub(crate) mod selftest;
