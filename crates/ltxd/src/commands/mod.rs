//! One file per command.
//!
//! Must not know each other.

pub(crate) mod bench;
pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod generate;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod models;
pub(crate) mod node;
pub(crate) mod pull;
pub(crate) mod quantize;
pub(crate) mod selftest;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod verify;
pub(crate) mod watch;
