//! Events: appended with the next number, read back in order.
//!
//! Must not know who watches.

use super::{Durability, SqliteStore, from_json, to_json};
use crate::{
    ClientId, Event, EventKind, GenerationId, GenerationRecord, News, Result, Traced, clock::Now, hub::Hub,
    news::Listeners, ports::EventLog, watch::WatchedGeneration,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::{path::Path, sync::Arc};

/// The most events read at once.
const BATCH: usize = 256;

/// The events in the database, told to whoever listens or subscribed in this process.
pub(crate) struct SqliteLog {
    store: Arc<SqliteStore>,
    /// Where the store tells its events.
    hub: Arc<Hub>,
    listeners: Arc<Listeners>,
}

impl SqliteLog {
    /// Opens, or makes, the database with the log of its events.
    ///
    /// # Errors
    /// As of [`SqliteStore::open`].
    pub(crate) fn open(path: &Path) -> Result<(Arc<SqliteStore>, Self)> {
        let (hub, listeners) = (Arc::new(Hub::default()), Arc::new(Listeners::default()));
        let (watchers, others) = (Arc::clone(&hub), Arc::clone(&listeners));
        let listener = move |news: &News<'_>| {
            // Whoever sees an event finds it counted.
            others.tell(news);
            watchers.publish(news.generation, &news.event);
        };
        let store = Arc::new(SqliteStore::open(path, Box::new(listener))?);
        Ok((Arc::clone(&store), Self { store, hub, listeners }))
    }
}

impl EventLog for SqliteLog {
    fn append(&self, generation: &GenerationRecord, kind: EventKind, now: Now) -> Result<bool> {
        self.store.write(Durability::Progress, |tx, news| {
            let sql = "SELECT cancel_requested FROM generations WHERE sequence = ?1 AND state = 'RUNNING'";
            let asked: Option<bool> =
                tx.prepare_cached(sql)?.query_row(params![generation.sequence], |row| row.get(0)).optional()?;
            // Nothing follows the event that says it is being cancelled but its end.
            let Some(false) = asked else { return Ok(asked.is_some()) };
            let GenerationRecord { sequence, id, client, trace, .. } = generation;
            let told = append(tx, Subject { sequence: *sequence, id: *id, client }, kind, now)?;
            let traced = trace.clone().map(|context| Traced { context, before: None });
            news.push(News { traced, ..told });
            Ok(false)
        })
    }

    fn after(&self, WatchedGeneration { sequence, .. }: WatchedGeneration, number: u64) -> Result<Vec<Arc<Event>>> {
        let events = self.store.read(|connection| read_events(connection, sequence, number))?;
        Ok(events.into_iter().map(Arc::new).collect())
    }

    fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    fn watchers(&self) -> &Hub {
        &self.hub
    }
}

/// A generation's events after a number, in order; a part of them where there are many.
pub(super) fn read_events(connection: &Connection, sequence: i64, number: u64) -> Result<Vec<Event>> {
    let sql = "SELECT number, at_ms, kind FROM events WHERE generation = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![sequence, number as i64, BATCH as i64])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = from_json("event", row.get_ref(2)?.as_str().unwrap_or_default())?;
        let number: i64 = row.get(0)?;
        events.push(Event { number: number as u64, at_ms: row.get(1)?, kind });
    }
    Ok(events)
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
    Ok(News { generation: id, client: client.clone(), event, outcome: None, traced: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ports::{Changes, Records},
        sqlite::test_records::running,
    };
    use ltx_types::Stage;
    use parking_lot::Mutex;

    const NOW: Now = Now { wall_ms: 1, age_ms: 1 };

    #[test]
    fn no_step_follows_a_cancel_and_listeners_hear_of_all_that_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (store, log) = SqliteLog::open(&folder.path().join("jobs.sqlite")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        log.listeners().add(Box::new(move |news: &News<'_>| hears.lock().push(news.event.number)));
        let (id, client) = (running(&store, NOW), ClientId::new("a").unwrap());
        let record = store.any_generation(id).unwrap();
        let step = |done| EventKind::Progress { stage: Stage::Denoising, done, total: 8, seconds_left: None };
        assert!(!log.append(&record, step(1), NOW).unwrap());
        store.cancel(&client, id, NOW).unwrap();
        assert!(log.append(&record, step(2), NOW).unwrap(), "told to stop");
        let kinds: Vec<_> = log
            .after(WatchedGeneration { id, sequence: record.sequence }, 2)
            .unwrap()
            .iter()
            .map(|event| event.kind.clone())
            .collect();
        assert_eq!(kinds, [step(1), EventKind::Cancelling]);
        assert_eq!(*heard.lock(), [1, 2, 3, 4]);
    }
}
