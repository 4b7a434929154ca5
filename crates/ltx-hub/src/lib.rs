//! Files from a Hugging Face hub: asked about, fetched in several ranges at once, resumed after any break, checked, and kept in the
//! hub's own cache layout, so that other programs find them and theirs are found.
//!
//! Without the feature `client` it names files and reads the cache, and has no HTTP.
//!
//! Must not know: candle, what is in files, what a model is, the environment's variables (settings come as values).
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
mod answers;
#[cfg(feature = "client")]
mod attempt;
#[cfg(feature = "client")]
mod blobs;
mod cache;
#[cfg(feature = "client")]
mod client;
mod digest;
#[cfg(feature = "client")]
mod download;
mod error;
#[cfg(feature = "client")]
mod http;
#[cfg(feature = "client")]
mod lock;
mod names;
#[cfg(feature = "client")]
mod partial;
#[cfg(feature = "client")]
mod post;
mod remote;
#[cfg(feature = "client")]
mod settings;
mod space;
mod watch;

pub use cache::Cache;
#[cfg(feature = "client")]
pub use client::Hub;
pub use digest::{Digest, digest_of};
pub use error::{HubError, Result};
pub use names::{RepoFile, Repository, Revision, is_file_path};
#[cfg(feature = "client")]
pub use post::{Question, post};
pub use remote::Remote;
#[cfg(feature = "client")]
pub use settings::{HubSettings, Patience, Proxies, Token};
pub use space::free_bytes;
pub use watch::{News, Watch};
