//! What has been kept long enough, and how much is kept.
//!
//! Must not know files, nor touch what has not ended.

use super::{Durability, Store, generations::id_of};
use crate::{GenerationId, Result, clock::Now};
use rusqlite::params;

impl Store {
    /// Marks outputs as gone that ended before `before_age_ms`, and then the oldest until the rest takes at most
    /// `keep_bytes`. Returns whose.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    pub(crate) fn expire_outputs(&self, before_age_ms: i64, keep_bytes: u64) -> Result<Vec<GenerationId>> {
        self.write(Durability::Durable, |tx, _| {
            // Newest first, each with the bytes up to and including itself.
            let sql = "UPDATE generations SET output_bytes = 0 WHERE sequence IN (
                    SELECT sequence FROM (
                        SELECT sequence, ended_age_ms,
                            SUM(output_bytes) OVER (ORDER BY ended_age_ms DESC, sequence DESC) AS with_newer
                        FROM generations WHERE state = 'DONE' AND output_bytes > 0
                    ) WHERE ended_age_ms < ?1 OR with_newer > ?2
                ) RETURNING id";
            let keep = i64::try_from(keep_bytes).unwrap_or(i64::MAX);
            let mut statement = tx.prepare_cached(sql)?;
            let rows = statement.query_map(params![before_age_ms, keep], |row| row.get::<_, String>(0))?;
            rows.map(|id| id_of(&id?)).collect()
        })
    }

    /// Forgets generations that ended before `before_age_ms`. Returns which.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    pub(crate) fn expire_records(&self, before_age_ms: i64) -> Result<Vec<GenerationId>> {
        self.write(Durability::Durable, |tx, _| {
            let sql = "DELETE FROM generations WHERE state IN ('DONE', 'FAILED', 'CANCELLED') AND ended_age_ms < ?1 \
                       RETURNING id";
            let mut statement = tx.prepare_cached(sql)?;
            let rows = statement.query_map(params![before_age_ms], |row| row.get::<_, String>(0))?;
            rows.map(|id| id_of(&id?)).collect()
        })
    }

    /// Forgets uploads made before `before_age_ms`, and then the oldest until the rest takes at most `keep_bytes`.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    pub(crate) fn expire_uploads(&self, before_age_ms: i64, keep_bytes: u64) -> Result<usize> {
        self.write(Durability::Durable, |tx, _| {
            let sql = "DELETE FROM uploads WHERE sequence IN (
                    SELECT sequence FROM (
                        SELECT sequence, created_age_ms,
                            SUM(bytes) OVER (ORDER BY created_age_ms DESC, sequence DESC) AS with_newer
                        FROM uploads
                    ) WHERE created_age_ms < ?1 OR with_newer > ?2
                )";
            let keep = i64::try_from(keep_bytes).unwrap_or(i64::MAX);
            Ok(tx.execute(sql, params![before_age_ms, keep])?)
        })
    }

    /// Generations that have outputs, and those whose latent may be needed.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn owners_of_files(&self) -> Result<(Vec<GenerationId>, Vec<GenerationId>)> {
        let ids = |sql: &str| {
            self.read(|connection| {
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                rows.map(|id| id_of(&id?)).collect::<Result<Vec<_>>>()
            })
        };
        let with_outputs = ids("SELECT id FROM generations WHERE state = 'DONE' AND output_bytes > 0")?;
        Ok((with_outputs, ids("SELECT id FROM generations WHERE state IN ('QUEUED', 'RUNNING')")?))
    }

    /// Bytes of kept outputs and of kept uploads.
    ///
    /// # Errors
    /// `Database`.
    pub(crate) fn kept_bytes(&self) -> Result<(u64, u64)> {
        self.read(|connection| {
            let sql = "SELECT (SELECT COALESCE(SUM(output_bytes), 0) FROM generations),
                              (SELECT COALESCE(SUM(bytes), 0) FROM uploads)";
            let row = connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            Ok((row.0 as u64, row.1 as u64))
        })
    }

    /// The node's own time and the wall's, as they were stored last.
    ///
    /// # Errors
    /// `Database`.
    pub(crate) fn stored_clock(&self) -> Result<Option<(i64, i64)>> {
        use rusqlite::OptionalExtension;
        self.read(|connection| {
            let sql = "SELECT age_ms, wall_ms FROM node";
            Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }

    /// Keeps the node's own time for the next start.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    pub(crate) fn store_clock(&self, now: Now) -> Result<()> {
        self.write(Durability::Progress, |tx, _| {
            let sql = "INSERT OR REPLACE INTO node (only, age_ms, wall_ms) VALUES (1, ?1, ?2)";
            tx.execute(sql, params![now.age_ms, now.wall_ms])?;
            Ok(())
        })
    }
}
