//! Uploaded images, and which image files anything still needs.
//!
//! Must not know files.

use super::{Durability, Store};
use crate::{ClientId, JobsError, Result, UploadId, clock::Now};
use rusqlite::{OptionalExtension, params};
use std::collections::HashSet;

/// An image whose file is there and whose row is not yet.
pub(crate) struct NewUpload<'a> {
    pub(crate) id: UploadId,
    pub(crate) client: &'a ClientId,
    pub(crate) sha256: &'a str,
    pub(crate) bytes: u64,
}

impl Store {
    /// # Errors
    /// `Database`, `StorageFull`.
    pub(crate) fn insert_upload(&self, new: &NewUpload<'_>, now: Now) -> Result<()> {
        self.write(Durability::Durable, |tx, _| {
            tx.execute(
                "INSERT INTO uploads (id, client, sha256, bytes, created_ms, created_age_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![new.id.to_string(), new.client.as_str(), new.sha256, new.bytes as i64, now.wall_ms, now.age_ms],
            )?;
            Ok(())
        })
    }

    /// The digest of a client's upload.
    ///
    /// # Errors
    /// `UploadNotFound`, `Database`.
    pub(crate) fn upload(&self, client: &ClientId, id: UploadId) -> Result<String> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT sha256 FROM uploads WHERE id = ?1 AND client = ?2")?;
            let found = statement.query_row(params![id.to_string(), client.as_str()], |row| row.get(0)).optional()?;
            found.ok_or(JobsError::UploadNotFound { id })
        })
    }

    /// Digests of every image that an upload or an unfinished generation needs.
    ///
    /// # Errors
    /// `Database`.
    pub(crate) fn needed_images(&self) -> Result<HashSet<String>> {
        self.read(|connection| {
            let sql = "SELECT sha256 FROM uploads UNION SELECT sha256 FROM generation_images";
            let mut statement = connection.prepare_cached(sql)?;
            let digests = statement.query_map([], |row| row.get(0))?;
            Ok(digests.collect::<rusqlite::Result<_>>()?)
        })
    }
}
