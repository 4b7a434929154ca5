//! What can be wrong with a folder of manifests.
//!
//! Must not know who asked for it.

use std::{io, path::PathBuf};

/// Result of reading manifests.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// A folder or manifest that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The folder or the manifest cannot be opened or read.
    #[error("{}: cannot be read", file.display())]
    Read {
        /// The folder or the manifest.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A manifest does not parse.
    #[error("{}: not a valid model manifest", file.display())]
    BadManifest {
        /// The manifest.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
}
