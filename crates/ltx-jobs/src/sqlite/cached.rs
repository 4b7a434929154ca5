//! Which generations used what of the cache. A row goes with its generation's.
//!
//! Must not know what is cached.

use super::{Durability, SqliteStore};
use crate::{GenerationId, Result, ports::CachedUses};
use ltx_engine::CacheKey;
use rusqlite::params;

impl CachedUses for SqliteStore {
    fn note_cached(&self, id: GenerationId, key: &CacheKey) -> Result<()> {
        self.write(Durability::Progress, |tx, _| {
            let sql = "INSERT OR IGNORE INTO generation_cached (generation, key) \
                       SELECT sequence, ?2 FROM generations WHERE id = ?1";
            tx.prepare_cached(sql)?.execute(params![id.to_string(), key.to_string()])?;
            Ok(())
        })
    }

    fn unused_cached(&self, keys: Vec<CacheKey>) -> Result<Vec<CacheKey>> {
        self.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM generation_cached WHERE key = ?1)";
            let mut statement = connection.prepare_cached(sql)?;
            let mut unused = Vec::new();
            for key in keys {
                if !statement.query_row(params![key.to_string()], |row| row.get::<_, bool>(0))? {
                    unused.push(key);
                }
            }
            Ok(unused)
        })
    }
}
