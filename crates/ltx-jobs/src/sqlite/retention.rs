//! What has been kept long enough, and how much is kept.
//!
//! Must not know files, nor touch what has not ended.

use super::{Durability, SqliteStore, generations::id_of};
use crate::{
    GenerationId, Result,
    ports::{FileOwners, KeptBytes, Retained},
};
use rusqlite::params;

/// The sequences of generations whose outputs ended before an age, or have with all newer ones more than so many bytes. Newest first,
/// each with the bytes up to and including itself.
pub(super) const EXPIRED_OUTPUTS: &str = "SELECT sequence FROM (
        SELECT sequence, ended_age_ms, SUM(output_bytes) OVER (ORDER BY ended_age_ms DESC, sequence DESC) AS with_newer
        FROM generations WHERE state = 'DONE' AND output_bytes > 0
    ) WHERE ended_age_ms < ?1 OR with_newer > ?2";
/// Of generations that ended before an age.
pub(super) const EXPIRED_RECORDS: &str =
    "SELECT sequence FROM generations WHERE state IN ('DONE', 'FAILED', 'CANCELLED') AND ended_age_ms < ?1";
/// Of uploads, as of outputs.
pub(super) const EXPIRED_UPLOADS: &str = "SELECT sequence FROM (
        SELECT sequence, created_age_ms, SUM(bytes) OVER (ORDER BY created_age_ms DESC, sequence DESC) AS with_newer
        FROM uploads
    ) WHERE created_age_ms < ?1 OR with_newer > ?2";

impl Retained for SqliteStore {
    fn expire_outputs(&self, before_age_ms: i64, keep_bytes: u64) -> Result<Vec<GenerationId>> {
        self.write(Durability::Durable, |tx, _| {
            let sql = format!(
                "UPDATE generations SET output_bytes = 0 WHERE sequence IN ({EXPIRED_OUTPUTS}) RETURNING id, sequence"
            );
            let keep = i64::try_from(keep_bytes).unwrap_or(i64::MAX);
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map(params![before_age_ms, keep], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let gone = rows.collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
            let mut images = tx.prepare_cached("DELETE FROM generation_images WHERE generation = ?1")?;
            gone.iter().try_for_each(|(_, sequence)| images.execute(params![sequence]).map(drop))?;
            gone.iter().map(|(id, _)| id_of(id)).collect()
        })
    }

    fn expire_records(&self, before_age_ms: i64) -> Result<Vec<GenerationId>> {
        self.write(Durability::Durable, |tx, _| {
            let sql = format!("DELETE FROM generations WHERE sequence IN ({EXPIRED_RECORDS}) RETURNING id");
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map(params![before_age_ms], |row| row.get::<_, String>(0))?;
            rows.map(|id| id_of(&id?)).collect()
        })
    }

    fn expire_uploads(&self, before_age_ms: i64, keep_bytes: u64) -> Result<usize> {
        self.write(Durability::Durable, |tx, _| {
            let sql = format!("DELETE FROM uploads WHERE sequence IN ({EXPIRED_UPLOADS})");
            let keep = i64::try_from(keep_bytes).unwrap_or(i64::MAX);
            Ok(tx.execute(&sql, params![before_age_ms, keep])?)
        })
    }

    fn owners_of_files(&self) -> Result<FileOwners> {
        let ids = |sql: &str| {
            self.read(|connection| {
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                rows.map(|id| id_of(&id?)).collect::<Result<Vec<_>>>()
            })
        };
        let with_outputs = ids("SELECT id FROM generations WHERE state = 'DONE' AND output_bytes > 0")?;
        let unfinished = ids("SELECT id FROM generations WHERE state IN ('QUEUED', 'RUNNING')")?;
        Ok(FileOwners { with_outputs, unfinished })
    }

    fn kept_bytes(&self) -> Result<KeptBytes> {
        self.read(|connection| {
            let sql = "SELECT (SELECT COALESCE(SUM(output_bytes), 0) FROM generations),
                              (SELECT COALESCE(SUM(bytes), 0) FROM uploads)";
            let row = connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            Ok(KeptBytes { outputs: row.0 as u64, uploads: row.1 as u64 })
        })
    }
}
