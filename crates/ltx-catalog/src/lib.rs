//! The models that a machine has: what their manifests say, where their files are published and lie, and what tells one set of
//! files from another.
//!
//! Must not know: candle, tensors, what a model computes. Of a file of weights it knows the path, the size and the digest.
#![forbid(unsafe_code)]

mod error;
mod fingerprint;
mod found;
mod kept;
mod library;
mod manifest;
mod pins;
mod places;
mod source;

pub use error::{CatalogError, MissingFile, Result};
pub use fingerprint::Fingerprints;
pub use found::{Found, Search};
pub use library::{Item, ModelLibrary};
pub use manifest::{Manifest, ManifestFile, ManifestFiles, ManifestLora};
pub use pins::{Pinned, PinnedFile, Pins};
pub use places::{Places, Whereabouts};
pub use source::{Source, Wanted};
