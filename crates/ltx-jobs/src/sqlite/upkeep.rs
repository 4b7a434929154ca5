//! The node's own clock from start to start, and the log that is moved into the database at the end.
//!
//! Must not know records.

use super::{Durability, SqliteStore};
use crate::{Result, clock::Now, ports::Upkeep};
use rusqlite::{OptionalExtension, params};

impl Upkeep for SqliteStore {
    fn stored_clock(&self) -> Result<Option<Now>> {
        self.read(|connection| {
            let sql = "SELECT age_ms, wall_ms FROM node";
            Ok(connection.query_row(sql, [], |row| Ok(Now { age_ms: row.get(0)?, wall_ms: row.get(1)? })).optional()?)
        })
    }

    fn store_clock(&self, now: Now) -> Result<()> {
        self.write(Durability::Progress, |tx, _| {
            let sql = "INSERT OR REPLACE INTO node (only, age_ms, wall_ms) VALUES (1, ?1, ?2)";
            tx.execute(sql, params![now.age_ms, now.wall_ms])?;
            Ok(())
        })
    }

    fn checkpoint(&self) -> Result<()> {
        // Moves the log into the database.
        let writer = self.writer.lock();
        Ok(writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}
