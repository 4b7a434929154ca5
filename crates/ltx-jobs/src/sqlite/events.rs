//! Events: appended with the next number, read back in order.
//!
//! Must not know who watches.

use super::{Durability, SqliteStore, from_json, to_json};
use crate::{
    ClientId, Event, EventKind, GenerationId, GenerationRecord, News, Result, WatchEnd, clock::Now, hub::Hub,
    ports::EventLog, tail::Tail,
};
use rusqlite::{OptionalExtension, Transaction, params};
use std::sync::Arc;

/// The most events read at once.
const BATCH: usize = 256;

/// The events in the database, told to whoever subscribed in this process.
pub(crate) struct SqliteLog {
    pub(crate) store: Arc<SqliteStore>,
    /// Where the store tells its events.
    pub(crate) hub: Arc<Hub>,
}

impl EventLog for SqliteLog {
    fn append(&self, generation: &GenerationRecord, kind: EventKind, now: Now) -> Result<bool> {
        self.store.write(Durability::Progress, |tx, news| {
            let sql = "SELECT cancel_requested FROM generations WHERE sequence = ?1 AND state = 'RUNNING'";
            let asked: Option<bool> =
                tx.prepare_cached(sql)?.query_row(params![generation.sequence], |row| row.get(0)).optional()?;
            let Some(asked) = asked else { return Ok(false) };
            let GenerationRecord { sequence, id, client, .. } = generation;
            news.push(append(tx, Subject { sequence: *sequence, id: *id, client }, kind, now)?);
            Ok(asked)
        })
    }

    fn after(&self, sequence: i64, number: u64) -> Result<Vec<Arc<Event>>> {
        self.store.read(|connection| {
            let sql = "SELECT number, at_ms, kind FROM events WHERE generation = ?1 AND number > ?2 \
                       ORDER BY number LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![sequence, number as i64, BATCH as i64])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let kind = from_json("event", row.get_ref(2)?.as_str().unwrap_or_default())?;
                let number: i64 = row.get(0)?;
                events.push(Arc::new(Event { number: number as u64, at_ms: row.get(1)?, kind }));
            }
            Ok(events)
        })
    }

    fn subscribe(&self, id: GenerationId) -> Arc<Tail> {
        self.hub.tail_or_new(id)
    }

    fn end(&self, id: GenerationId, end: WatchEnd) {
        self.hub.end(id, end);
    }

    fn stop(&self) {
        self.hub.stop();
    }
}

/// The generation that an event happens to.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// Its place among all generations of the node.
    pub(super) sequence: i64,
    pub(super) id: GenerationId,
    pub(super) client: &'a ClientId,
}

/// Gives an event the next number of its generation. What comes back is told once the transaction is committed.
pub(super) fn append(
    tx: &Transaction<'_>,
    Subject { sequence, id, client }: Subject<'_>,
    kind: EventKind,
    now: Now,
) -> Result<News<'static>> {
    let number: i64 = tx
        .prepare_cached("UPDATE generations SET events = events + 1 WHERE sequence = ?1 RETURNING events")?
        .query_row(params![sequence], |row| row.get(0))?;
    let json = to_json("event", &kind)?;
    tx.prepare_cached("INSERT INTO events (generation, number, at_ms, kind) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![sequence, number, now.wall_ms, json])?;
    let event = Arc::new(Event { number: number as u64, at_ms: now.wall_ms, kind });
    Ok(News { generation: id, client: client.clone(), event, outcome: None })
}
