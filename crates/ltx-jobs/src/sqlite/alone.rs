//! Everything that the database of a node alone holds, for whoever moves it elsewhere.
//!
//! Must not change anything.

use super::{SqliteStore, events::read_events, generations::id_of};
use crate::{
    ClientId, Event, GenerationId, JobsError, Result,
    document::{Beside, DocumentImage},
    sqlite::MirroredUpload,
};
use rusqlite::params;

impl SqliteStore {
    /// All generations, in the order in which they came.
    pub(crate) fn all_generations(&self) -> Result<Vec<GenerationId>> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT id FROM generations ORDER BY sequence")?;
            let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
            ids.map(|id| id_of(&id?)).collect()
        })
    }

    /// What is kept of a generation beside its record.
    pub(crate) fn beside(&self, id: GenerationId) -> Result<Beside> {
        self.read(|connection| {
            let sql = "SELECT sha256, bytes FROM generation_images WHERE generation = (
                    SELECT sequence FROM generations WHERE id = ?1
                ) ORDER BY sha256";
            let mut statement = connection.prepare_cached(sql)?;
            let images = statement.query_map(params![id.to_string()], |row| {
                Ok(DocumentImage { sha256: row.get(0)?, bytes: row.get::<_, i64>(1)? as u64 })
            })?;
            let images = images.collect::<rusqlite::Result<Vec<_>>>()?;
            let sql =
                "SELECT body_sha256, reached, fruitless, ended_age_ms, output_bytes FROM generations WHERE id = ?1";
            let beside = connection.prepare_cached(sql)?.query_row(params![id.to_string()], |row| {
                Ok(Beside {
                    body_sha256: row.get(0)?,
                    reached: row.get::<_, i64>(1)? as u64,
                    fruitless: row.get(2)?,
                    ended_age_ms: row.get(3)?,
                    output_bytes: row.get::<_, i64>(4)? as u64,
                    images,
                })
            })?;
            Ok(beside)
        })
    }

    /// A generation's events after a number, in order; a part of them where there are many.
    pub(crate) fn events_of(&self, sequence: i64, after: u64) -> Result<Vec<Event>> {
        self.read(|connection| read_events(connection, sequence, after))
    }

    /// All uploads, those of the same bytes of a client once: the newest.
    pub(crate) fn all_uploads(&self) -> Result<Vec<MirroredUpload>> {
        self.read(|connection| {
            let sql = "SELECT id, client, sha256, bytes, created_ms, created_age_ms FROM uploads WHERE sequence IN (
                    SELECT MAX(sequence) FROM uploads GROUP BY client, sha256
                ) ORDER BY sequence";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut uploads = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                let client: String = row.get(1)?;
                uploads.push(MirroredUpload {
                    id: id.parse().map_err(|_| JobsError::Corrupt { what: "upload's id" })?,
                    client: ClientId::new(client).map_err(|_| JobsError::Corrupt { what: "client's name" })?,
                    sha256: row.get(2)?,
                    bytes: row.get::<_, i64>(3)? as u64,
                    created_ms: row.get(4)?,
                    created_age_ms: row.get(5)?,
                });
            }
            Ok(uploads)
        })
    }
}
