//! The models that a machine has: what their manifests say, where their files lie, and what tells one set of files from another.
//!
//! Must not know: candle, tensors, what a model computes. Of a file of weights it knows the path, the size and the digest.
#![forbid(unsafe_code)]

mod error;
pub mod fingerprint;
mod library;
mod manifest;

pub use error::{CatalogError, Result};
pub use library::ModelLibrary;
pub use manifest::{Manifest, ManifestFile, ManifestFiles, ManifestLora};
