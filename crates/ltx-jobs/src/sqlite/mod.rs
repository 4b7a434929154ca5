//! The database: one writer, a few readers, and what may be lost.
//!
//! Must not know the device, the queue in memory, or who watches: it tells a listener what it wrote.
//!
//! SQLite in WAL mode. Every change of state is a transaction with `synchronous = FULL`: when it returns it is on the
//! disk, power failure or not. Progress is written with `synchronous = NORMAL`: it is in the system's cache before anybody
//! sees it, so a killed node loses none of it, and no step waits for the disk. The log is one file written in order, so the
//! next durable change takes all earlier progress with it; only a power failure can take progress away, and only what came
//! after the generation's last change of state. Numbers given to such events are given again then; a watcher that had seen
//! more than there is gets `EventsUnknown` with the number to go on from.

mod alone;
mod cached;
mod calibration;
mod changes;
mod events;
mod generations;
mod mirror;
#[cfg(test)]
mod recovery_tests;
mod retention;
mod schema;
#[cfg(test)]
mod test_records;
mod upkeep;
mod uploads;

pub(crate) use events::SqliteLog;
pub use mirror::{Mirror, Mirrored, MirroredUpload, TakenIn};

use crate::{JobsError, News, Result, news::Listener};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Connections that read while another writes.
const READERS: usize = 4;

/// What a power failure may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Nothing.
    Durable,
    /// The transaction, as long as no durable one follows.
    Progress,
}

/// The database.
pub(crate) struct SqliteStore {
    /// Hears of every event after it was written, in order.
    listener: Listener,
    writer: Mutex<Writer>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
}

struct Writer {
    connection: Connection,
    durability: Durability,
}

impl SqliteStore {
    /// Opens, or makes, the database, and brings its tables up to date.
    ///
    /// # Errors
    /// `SchemaTooNew`, `Database`, `StorageFull`.
    pub(crate) fn open(path: &Path, listener: Listener) -> Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        schema::migrate(&mut connection)?;
        let reader = || -> Result<_> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags)?;
            reader.busy_timeout(Duration::from_secs(10))?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(Mutex::new(reader))
        };
        let readers = (0..READERS).map(|_| reader()).collect::<Result<_>>()?;
        let writer = Mutex::new(Writer { connection, durability: Durability::Durable });
        Ok(Self { listener, writer, readers, next_reader: AtomicUsize::new(0) })
    }

    /// Reads, at the newest commit.
    fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let first = self.next_reader.fetch_add(1, Ordering::Relaxed) % READERS;
        let free = (0..READERS).find_map(|i| self.readers[(first + i) % READERS].try_lock());
        question(&free.unwrap_or_else(|| self.readers[first].lock()))
    }

    /// Writes in one transaction. The listener hears of its events before anybody else can write.
    fn write<'a, T>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Transaction<'_>, &mut Vec<News<'a>>) -> Result<T>,
    ) -> Result<T> {
        let mut writer = self.writer.lock();
        if writer.durability != durability {
            let level = if durability == Durability::Durable { "FULL" } else { "NORMAL" };
            writer.connection.pragma_update(None, "synchronous", level)?;
            writer.durability = durability;
        }
        let mut news = Vec::new();
        let tx = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = change(&tx, &mut news)?;
        tx.commit()?;
        news.iter().for_each(|news| (self.listener)(news));
        Ok(written)
    }
}

/// Something stored as JSON.
fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|_| JobsError::Corrupt { what })
}

pub(crate) fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|_| JobsError::Corrupt { what })
}
