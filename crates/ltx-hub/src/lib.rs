//! Files from a Hugging Face hub: asked about, fetched in several ranges at once, resumed after any break, checked, and kept in the
//! hub's own cache layout, so that other programs find them and theirs are found.
//!
//! Must not know: candle, what is in files, what a model is, the environment's variables (settings come as values).
#![forbid(unsafe_code)]

mod attempt;
mod cache;
mod client;
mod digest;
mod download;
mod error;
mod lock;
mod names;
mod partial;
mod remote;
mod settings;
mod space;
mod watch;

pub use cache::Cache;
pub use client::Hub;
pub use digest::{Digest, digest_of};
pub use error::{HubError, Result};
pub use names::{RepoFile, Repository, Revision, is_file_path};
pub use remote::Remote;
pub use settings::{HubSettings, Patience, Proxies, Token};
pub use space::free_bytes;
pub use watch::{News, Watch};
