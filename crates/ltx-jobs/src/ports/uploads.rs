//! Uploaded images, and which image files anything still needs.
//!
//! Must not know files.

use crate::{ClientId, Result, UploadId, clock::Now};
use std::collections::HashSet;

/// An image whose file is there and which is not recorded yet.
pub struct NewUpload<'a> {
    /// Its id, unless the client has one of the same bytes.
    pub id: UploadId,
    /// Whose it is.
    pub client: &'a ClientId,
    /// The digest of its bytes.
    pub sha256: &'a str,
    /// How many those are.
    pub bytes: u64,
}

/// The records of uploaded images.
pub trait Uploads {
    /// Keeps an upload; one that this client has made before is renewed instead. Returns its id.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    fn insert_upload(&self, new: &NewUpload<'_>, now: Now) -> Result<UploadId>;

    /// Whether this client has an upload of these bytes.
    ///
    /// # Errors
    /// `Database`.
    fn has_upload(&self, client: &ClientId, sha256: &str) -> Result<bool>;

    /// The upload of these bytes that this client has made before, from now on kept as long as a new one.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    fn renew_upload(&self, client: &ClientId, sha256: &str, now: Now) -> Result<Option<UploadId>>;

    /// The digest of a client's upload.
    ///
    /// # Errors
    /// `UploadNotFound`, `Database`.
    fn upload(&self, client: &ClientId, id: UploadId) -> Result<String>;

    /// Digests of every image that an upload, an unfinished generation or one with outputs needs.
    ///
    /// # Errors
    /// `Database`.
    fn needed_images(&self) -> Result<HashSet<String>>;
}
