//! A node's models without weights: deterministic, held where a test wants, and with a log of every step.
//!
//! Must not know what is tested with it.

mod gate;
mod generator;
mod log;
mod models;
mod queue;
mod requests;

pub use gate::Gate;
pub use generator::{FakeGenerator, FakeOptions};
pub use log::StepLog;
pub use models::FakeModels;
pub use queue::{LONG, client, ended, eventually, frames_of, is_locked, opened, settings, submission, submit_draft};
pub use requests::{draft, picture, policy};
