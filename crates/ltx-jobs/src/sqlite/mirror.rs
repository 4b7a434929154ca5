//! A copy of documents that are kept elsewhere, in the tables of this store, so that questions have their answers here: lists,
//! retention, what waits. What is the node's own (times of runs, what runs used of its cache) is kept in it as well.
//!
//! Must not know where documents are kept. They come in the order of their revisions, each perhaps more than once.

use super::{
    Durability, SqliteStore,
    generations::id_of,
    retention::{EXPIRED_OUTPUTS, EXPIRED_RECORDS, EXPIRED_UPLOADS},
};
use crate::{
    ClientId, Event, EventKind, GenerationId, News, Result, UploadId, document::Document, news::Listener, ports::Store,
};
use rusqlite::{OptionalExtension, Params, Transaction, params};
use std::path::Path;

/// A copy, and what tells it from others.
pub struct Mirror(SqliteStore);

/// An upload as it is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MirroredUpload {
    /// Its id.
    pub id: UploadId,
    /// Whose it is.
    pub client: ClientId,
    /// The digest of its bytes.
    pub sha256: String,
    /// How many those are.
    pub bytes: u64,
    /// When it was made, or renewed last, in milliseconds since 1970.
    pub created_ms: i64,
    /// The same by the service's own time.
    pub created_age_ms: i64,
}

/// What became of a change that a copy was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenIn {
    /// It was new.
    New,
    /// It was known.
    Known,
    /// A newer one is known.
    Older,
}

/// What a copy is told.
#[derive(Debug)]
pub enum Mirrored {
    /// A generation is like this at a revision.
    Generation(Box<Document>),
    /// A generation is gone.
    GenerationGone(GenerationId),
    /// An upload is like this.
    Upload(MirroredUpload),
    /// The upload of this key is gone.
    UploadGone,
}

impl Mirror {
    /// Opens the copy, or an empty one. The listener hears of events of generations that are not new to it.
    ///
    /// # Errors
    /// `SchemaTooNew`, `Database`, `StorageFull`.
    pub fn open(path: &Path, listener: Listener) -> Result<Self> {
        let store = SqliteStore::open(path, listener)?;
        store.write(Durability::Progress, |tx, _| {
            Ok(tx.execute_batch(
                "CREATE TABLE IF NOT EXISTS mirrored_generations (
                    sequence INTEGER PRIMARY KEY REFERENCES generations (sequence) ON DELETE CASCADE,
                    revision INTEGER NOT NULL,
                    reload INTEGER NOT NULL
                ) STRICT;
                CREATE TABLE IF NOT EXISTS mirrored_uploads (
                    key TEXT PRIMARY KEY,
                    sequence INTEGER NOT NULL REFERENCES uploads (sequence) ON DELETE CASCADE,
                    revision INTEGER NOT NULL,
                    reload INTEGER NOT NULL
                ) STRICT;
                CREATE TABLE IF NOT EXISTS mirror_reloads (reload INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;",
            )?)
        })?;
        Ok(Self(store))
    }

    /// The tables, to be asked, and for what is the node's own. Nothing else may change them.
    pub fn tables(&self) -> &dyn Store {
        &self.0
    }

    /// Begins to take in everything anew. What has not come by [`end_reload`](Self::end_reload) is gone. The last revision that
    /// there is tells a bucket that was restored from a backup: its revisions begin again behind the copy's, which say nothing then.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    pub fn begin_reload(&self, last_revision: u64) -> Result<i64> {
        self.0.write(Durability::Progress, |tx, _| {
            let sql = "SELECT MAX(
                    (SELECT COALESCE(MAX(revision), 0) FROM mirrored_generations),
                    (SELECT COALESCE(MAX(revision), 0) FROM mirrored_uploads)
                )";
            let known: i64 = tx.query_row(sql, [], |row| row.get(0))?;
            if known > i64::try_from(last_revision).unwrap_or(i64::MAX) {
                tx.execute("UPDATE mirrored_generations SET revision = 0", [])?;
                tx.execute("UPDATE mirrored_uploads SET revision = 0", [])?;
            }
            tx.execute("INSERT INTO mirror_reloads DEFAULT VALUES", [])?;
            Ok(tx.last_insert_rowid())
        })
    }

    /// Everything has come. Returns the generations that are gone.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    pub fn end_reload(&self, reload: i64) -> Result<Vec<GenerationId>> {
        self.0.write(Durability::Progress, |tx, _| {
            let sql = "DELETE FROM uploads WHERE sequence IN (SELECT sequence FROM mirrored_uploads WHERE reload < ?1)";
            tx.execute(sql, params![reload])?;
            let sql = "DELETE FROM generations WHERE sequence IN (
                    SELECT sequence FROM mirrored_generations WHERE reload < ?1
                ) RETURNING id";
            let mut statement = tx.prepare(sql)?;
            let gone = statement.query_map(params![reload], |row| row.get::<_, String>(0))?;
            gone.map(|id| id_of(&id?)).collect()
        })
    }

    /// Takes changes in, all at once: the key of each, its revision, and what is there now. One that is older than what is known
    /// changes nothing. With `tell`, listeners hear of events that follow those that are known. Returns what became of each.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    pub fn apply(&self, reload: i64, tell: bool, changes: &[(String, u64, Mirrored)]) -> Result<Vec<TakenIn>> {
        self.0.write(Durability::Progress, |tx, news| {
            let mut taken = Vec::with_capacity(changes.len());
            for (key, revision, change) in changes {
                let at = At { tx, key, revision: *revision as i64, reload };
                taken.push(match change {
                    Mirrored::Generation(document) => {
                        let (taken, told) = at.generation(document)?;
                        news.extend(told.into_iter().filter(|_| tell));
                        taken
                    }
                    Mirrored::GenerationGone(id) => at.generation_gone(*id)?,
                    Mirrored::Upload(upload) => at.upload(upload)?,
                    Mirrored::UploadGone => at.upload_gone()?,
                });
            }
            Ok(taken)
        })
    }

    /// Generations whose outputs have been kept long enough, as [`crate::ports::Retained::expire_outputs`] has it.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn expired_outputs(&self, before_age_ms: i64, keep_bytes: u64) -> Result<Vec<GenerationId>> {
        let sql = format!("SELECT id FROM generations WHERE sequence IN ({EXPIRED_OUTPUTS})");
        self.ids(&sql, params![before_age_ms, keep(keep_bytes)])?.iter().map(|id| id_of(id)).collect()
    }

    /// Generations that have been known of long enough, as [`crate::ports::Retained::expire_records`] has it.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn expired_records(&self, before_age_ms: i64) -> Result<Vec<GenerationId>> {
        let sql = format!("SELECT id FROM generations WHERE sequence IN ({EXPIRED_RECORDS})");
        self.ids(&sql, params![before_age_ms])?.iter().map(|id| id_of(id)).collect()
    }

    /// The keys of uploads that have been kept long enough, as [`crate::ports::Retained::expire_uploads`] has it.
    ///
    /// # Errors
    /// `Database`.
    pub fn expired_uploads(&self, before_age_ms: i64, keep_bytes: u64) -> Result<Vec<String>> {
        let sql = format!("SELECT key FROM mirrored_uploads WHERE sequence IN ({EXPIRED_UPLOADS})");
        self.ids(&sql, params![before_age_ms, keep(keep_bytes)])
    }

    fn ids(&self, sql: &str, about: impl Params) -> Result<Vec<String>> {
        self.0.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let ids = statement.query_map(about, |row| row.get(0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// Bytes as a column holds them.
fn keep(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Where a change is taken in.
struct At<'a> {
    tx: &'a Transaction<'a>,
    key: &'a str,
    revision: i64,
    reload: i64,
}

impl At<'_> {
    /// Returns the news of it, too.
    fn generation<'d>(&self, document: &'d Document) -> Result<(TakenIn, Vec<News<'d>>)> {
        let Self { tx, revision, reload, .. } = *self;
        let sequence = document.sequence.unwrap_or(revision);
        let known = "SELECT revision, events FROM mirrored_generations JOIN generations USING (sequence) WHERE id = ?1";
        let known: Option<(i64, i64)> = tx
            .prepare_cached(known)?
            .query_row(params![document.id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((known, _)) = known.filter(|(known, _)| *known >= revision) {
            let sql = "UPDATE mirrored_generations SET reload = ?2 WHERE sequence = ?1";
            tx.prepare_cached(sql)?.execute(params![sequence, reload])?;
            return Ok((if known == revision { TakenIn::Known } else { TakenIn::Older }, Vec::new()));
        }
        // Servers that lost what they had acknowledged number anew: what stands in the way is not there any more.
        for sql in [
            "DELETE FROM generations WHERE id = ?1 AND sequence <> ?2",
            "DELETE FROM generations WHERE sequence = ?2 AND id <> ?1",
        ] {
            tx.prepare_cached(sql)?.execute(params![document.id.to_string(), sequence])?;
        }
        if let Some(request_id) = &document.request_id {
            // Another that had it is gone, whether that has been told or not.
            let sql = "DELETE FROM generations WHERE client = ?1 AND request_id = ?2 AND id <> ?3";
            let had = params![document.client.as_str(), request_id, document.id.to_string()];
            tx.prepare_cached(sql)?.execute(had)?;
        }
        let sql = "INSERT INTO generations (sequence, id, client, request_id, body_sha256, request, method, model, predicted, \
                   state, cancel_requested, attempts, fruitless, reached, events, created_ms, started_ms, ended_ms, \
                   ended_age_ms, failure_code, failure_text, outcome, output_bytes, batch, batch_index, batch_size) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
                   ?22, ?23, ?24, ?25, ?26) ON CONFLICT (sequence) DO UPDATE SET state = ?10, cancel_requested = ?11, \
                   attempts = ?12, fruitless = ?13, reached = ?14, events = ?15, started_ms = ?17, ended_ms = ?18, \
                   ended_age_ms = ?19, failure_code = ?20, failure_text = ?21, outcome = ?22, output_bytes = ?23";
        let mut statement = tx.prepare_cached(sql)?;
        document.columns()?.bind(sequence, |columns| statement.execute(columns))?;
        if known.is_none() || document.images.is_empty() {
            let sql = "DELETE FROM generation_images WHERE generation = ?1";
            tx.prepare_cached(sql)?.execute(params![sequence])?;
            for image in &document.images {
                let sql = "INSERT INTO generation_images (generation, sha256, bytes) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![sequence, image.sha256, image.bytes as i64])?;
            }
        }
        let sql = "INSERT OR REPLACE INTO mirrored_generations (sequence, revision, reload) VALUES (?1, ?2, ?3)";
        tx.prepare_cached(sql)?.execute(params![sequence, revision, reload])?;
        let news = document.news_after(known.map_or(0, |(_, events)| events as u64)).into_iter();
        let (generation, client) = (document.id, &document.client);
        let outcome = |event: &Event| document.outcome().filter(|_| event.kind == EventKind::Done);
        let news = news.map(|event| News {
            generation,
            client: client.clone(),
            outcome: outcome(&event),
            event,
            traced: None,
        });
        Ok((TakenIn::New, news.collect()))
    }

    fn generation_gone(&self, id: GenerationId) -> Result<TakenIn> {
        let sql = "DELETE FROM generations WHERE id = ?1";
        self.tx.prepare_cached(sql)?.execute(params![id.to_string()])?;
        Ok(TakenIn::New)
    }

    fn upload(&self, upload: &MirroredUpload) -> Result<TakenIn> {
        let Self { tx, key, revision, reload } = *self;
        let known = "SELECT sequence, revision FROM mirrored_uploads WHERE key = ?1";
        let known: Option<(i64, i64)> =
            tx.prepare_cached(known)?.query_row(params![key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let sequence = match known {
            Some((sequence, known)) if known >= revision => {
                tx.execute("UPDATE mirrored_uploads SET reload = ?2 WHERE sequence = ?1", params![sequence, reload])?;
                return Ok(TakenIn::Known);
            }
            Some((sequence, _)) => sequence,
            None => revision,
        };
        let MirroredUpload { id, client, sha256, bytes, created_ms, created_age_ms } = upload;
        let sql = "INSERT OR REPLACE INTO uploads (sequence, id, client, sha256, bytes, created_ms, created_age_ms) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = params![sequence, id.to_string(), client.as_str(), sha256, *bytes as i64, created_ms, created_age_ms];
        tx.execute(sql, row)?;
        let sql = "INSERT OR REPLACE INTO mirrored_uploads (key, sequence, revision, reload) VALUES (?1, ?2, ?3, ?4)";
        tx.execute(sql, params![key, sequence, revision, reload])?;
        Ok(TakenIn::New)
    }

    fn upload_gone(&self) -> Result<TakenIn> {
        let sql = "DELETE FROM uploads WHERE sequence IN (
                SELECT sequence FROM mirrored_uploads WHERE key = ?1 AND revision < ?2
            )";
        self.tx.execute(sql, params![self.key, self.revision])?;
        Ok(TakenIn::New)
    }
}
