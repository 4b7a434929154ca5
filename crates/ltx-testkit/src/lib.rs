//! What tests share: where the tiny checkpoint and the goldens lie, and behind features of their own the tensors in them
//! (`tensors`), a generator that needs no weights ([`fake`]), a NATS server ([`nats`]), and campaigns of generated input ([`fuzz`]). Only `tensors` builds
//! candle.
//!
//! Must not be a dependency of anything but tests. Whatever is not there fails the test that asked for it.
#![forbid(unsafe_code)]

#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod guarded;
#[cfg(feature = "tensors")]
mod ledger;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "fake")]
mod settings;
#[cfg(feature = "tensors")]
mod tensors;

pub use guarded::Guarded;
#[cfg(feature = "tensors")]
pub use ledger::{Ledger, LedgerCarrier};
#[cfg(feature = "fake")]
pub use settings::default_settings;
#[cfg(feature = "tensors")]
pub use tensors::{LAYER, assert_close, assert_taps, checkpoint, goldens, open, vb};

use std::path::PathBuf;

/// A path inside `crates/ltx-testkit/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A path inside `models/tiny`.
pub fn tiny(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny").join(name)
}
