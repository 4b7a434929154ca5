//! Uploaded images, and which image files anything still needs.
//!
//! Must not know files.

use super::{Durability, SqliteStore};
use crate::{
    ClientId, JobsError, Result, UploadId,
    clock::Now,
    ports::{NewUpload, Uploads},
};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::HashSet;

impl Uploads for SqliteStore {
    fn insert_upload(&self, new: &NewUpload<'_>, now: Now) -> Result<UploadId> {
        self.write(Durability::Durable, |tx, _| {
            if let Some(id) = renew(tx, new.client, new.sha256, now)? {
                return Ok(id);
            }
            tx.execute(
                "INSERT INTO uploads (id, client, sha256, bytes, created_ms, created_age_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![new.id.to_string(), new.client.as_str(), new.sha256, new.bytes as i64, now.wall_ms, now.age_ms],
            )?;
            Ok(new.id)
        })
    }

    fn has_upload(&self, client: &ClientId, sha256: &str) -> Result<bool> {
        self.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM uploads WHERE client = ?1 AND sha256 = ?2)";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_row(params![client.as_str(), sha256], |row| row.get(0))?)
        })
    }

    fn renew_upload(&self, client: &ClientId, sha256: &str, now: Now) -> Result<Option<UploadId>> {
        self.write(Durability::Durable, |tx, _| renew(tx, client, sha256, now))
    }

    fn upload(&self, client: &ClientId, id: UploadId) -> Result<String> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT sha256 FROM uploads WHERE id = ?1 AND client = ?2")?;
            let found = statement.query_row(params![id.to_string(), client.as_str()], |row| row.get(0)).optional()?;
            found.ok_or(JobsError::UploadNotFound { id })
        })
    }

    fn needed_images(&self) -> Result<HashSet<String>> {
        self.read(|connection| {
            let sql = "SELECT sha256 FROM uploads UNION SELECT sha256 FROM generation_images";
            let mut statement = connection.prepare_cached(sql)?;
            let digests = statement.query_map([], |row| row.get(0))?;
            Ok(digests.collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn renew(tx: &Transaction<'_>, client: &ClientId, sha256: &str, now: Now) -> Result<Option<UploadId>> {
    // Databases of older versions may hold the same bytes more than once; the newest lives longest anyway.
    let sql = "UPDATE uploads SET created_ms = ?3, created_age_ms = ?4 WHERE sequence = (
                   SELECT MAX(sequence) FROM uploads WHERE client = ?1 AND sha256 = ?2
               ) RETURNING id";
    let mut statement = tx.prepare_cached(sql)?;
    let renewed = params![client.as_str(), sha256, now.wall_ms, now.age_ms];
    let id: Option<String> = statement.query_row(renewed, |row| row.get(0)).optional()?;
    id.map(|id| id.parse().map_err(|_| JobsError::Corrupt { what: "upload's id" })).transpose()
}
