//! What can be wrong with a certificate and its key. Every message names the key of the configuration and the file.
//!
//! Must not know how they are used.

use std::{io, path::PathBuf};

/// A certificate or a key that cannot sign. `key` is the key of the configuration that named the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is not there, or cannot be read.
    #[error("{key} = {}: cannot be read", path.display())]
    Unreadable {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read the private key.
    #[error("{key} = {}: others than its owner may read or write it (mode {mode:03o}); say chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds nothing of the kind that it should.
    #[error("{key} = {}: {rule}", path.display())]
    Form {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it is not, as the rest of a sentence.
        rule: String,
    },
    /// The certificate's time is over.
    #[error("{key} = {}: expired on {until}", path.display())]
    Expired {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The end of its time.
        until: String,
    },
    /// The certificate's time has not begun.
    #[error("{key} = {}: is not valid before {from}", path.display())]
    NotYet {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The beginning of its time.
        from: String,
    },
    /// The certificate is for something else than signing content.
    #[error("{key} = {}: is not for signing content: {found}", path.display())]
    Purpose {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it is for, or lacks.
        found: String,
    },
    /// The key is not the certificate's.
    #[error("{key} = {}: is not the key of the certificate {}", path.display(), certificate.display())]
    Mismatch {
        /// The configuration's key.
        key: &'static str,
        /// The key's file.
        path: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A signature that was made with them to try does not hold.
    #[error("{key} = {}: a signature with it does not hold: {found}", path.display())]
    Trial {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// A certificate of one's own cannot be made or kept.
    #[error("{}: a certificate cannot be made or kept there", folder.display())]
    Own {
        /// Where it would be.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl KeyError {
    /// Whether a file could not be read or written, rather than held the wrong thing.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Own { .. })
    }
}
