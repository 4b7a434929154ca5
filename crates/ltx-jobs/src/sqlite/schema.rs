//! The tables, version by version. A database goes from any older version to the newest in one transaction.
//!
//! Must not know what the rows mean. A migration is never edited once it was released; a new one is appended.

use crate::{JobsError, Result};
use rusqlite::{Connection, TransactionBehavior};

/// The step from each version to the next; an empty file is version 0.
pub(crate) const MIGRATIONS: [&str; 10] = [
    // 1: generations, their events and images, uploads.
    "CREATE TABLE generations (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        request_id TEXT,
        body_sha256 TEXT NOT NULL,
        request TEXT NOT NULL,
        method TEXT NOT NULL,
        model TEXT NOT NULL,
        predicted TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')),
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        fruitless INTEGER NOT NULL DEFAULT 0,
        reached INTEGER NOT NULL DEFAULT 0,
        events INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER NOT NULL,
        started_ms INTEGER,
        ended_ms INTEGER,
        ended_age_ms INTEGER,
        failure_code TEXT,
        failure_text TEXT,
        outcome TEXT,
        output_bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE (client, request_id)
    ) STRICT;
    CREATE INDEX generations_by_client ON generations (client, sequence);
    CREATE INDEX generations_by_state ON generations (state, sequence);
    CREATE TABLE generation_images (
        generation INTEGER NOT NULL REFERENCES generations (sequence) ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (generation, sha256)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        generation INTEGER NOT NULL REFERENCES generations (sequence) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        PRIMARY KEY (generation, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE uploads (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        created_age_ms INTEGER NOT NULL
    ) STRICT;",
    // 2: how long things take here, and the node's own clock.
    "CREATE TABLE calibration (
        model TEXT NOT NULL,
        schedule TEXT NOT NULL,
        stage TEXT NOT NULL,
        seconds_per_unit REAL NOT NULL,
        runs INTEGER NOT NULL,
        PRIMARY KEY (model, schedule, stage)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE node (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        age_ms INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL
    ) STRICT;",
    // 3: a client's upload is found by its bytes.
    "CREATE INDEX uploads_by_digest ON uploads (client, sha256);",
    // 4: how much a calibration weighs; one without weight yields to the next run.
    "ALTER TABLE calibration ADD COLUMN weight REAL NOT NULL DEFAULT 0;",
    // 5: images are kept as long as what was made from them, and count as much.
    "ALTER TABLE generation_images ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;",
    // 6: what a generation used of the cache, which goes with the last that did.
    "CREATE TABLE generation_cached (
        generation INTEGER NOT NULL REFERENCES generations (sequence) ON DELETE CASCADE,
        key TEXT NOT NULL,
        PRIMARY KEY (generation, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX generation_cached_by_key ON generation_cached (key);",
    // 7: the place of a generation among those of its request: the id of the first, its own number, how many they are.
    "ALTER TABLE generations ADD COLUMN batch TEXT;
    ALTER TABLE generations ADD COLUMN batch_index INTEGER;
    ALTER TABLE generations ADD COLUMN batch_size INTEGER;
    CREATE INDEX generations_by_batch ON generations (batch, batch_index) WHERE batch IS NOT NULL;",
    // 8: what a unit of work is that seconds were measured for; what was known is of the units there were.
    "CREATE TABLE calibration_by_basis (
        model TEXT NOT NULL,
        schedule TEXT NOT NULL,
        basis TEXT NOT NULL,
        stage TEXT NOT NULL,
        seconds_per_unit REAL NOT NULL,
        weight REAL NOT NULL,
        runs INTEGER NOT NULL,
        PRIMARY KEY (model, schedule, basis, stage)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO calibration_by_basis (model, schedule, basis, stage, seconds_per_unit, weight, runs)
        SELECT model, schedule, '', stage, seconds_per_unit, weight, runs FROM calibration;
    DROP TABLE calibration;
    ALTER TABLE calibration_by_basis RENAME TO calibration;",
    // 9: the trace that a generation belongs to.
    "ALTER TABLE generations ADD COLUMN trace TEXT;",
    // 10: what the run of a generation meets on purpose.
    "ALTER TABLE generations ADD COLUMN faults TEXT;",
];

/// Brings a database to the newest version.
///
/// # Errors
/// `SchemaTooNew`; `Database`; `StorageFull`.
pub(crate) fn migrate(connection: &mut Connection) -> Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(JobsError::SchemaTooNew { found, known });
    }
    for step in &MIGRATIONS[found as usize..] {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", known)?;
    Ok(tx.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Filter, State,
        ports::{Calibration, Records, Upkeep},
        sqlite::SqliteStore,
    };

    #[test]
    fn a_database_of_version_1_opens_with_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.sqlite");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let request = include_str!("../../tests/data/request-1.json");
        let insert = "INSERT INTO generations (id, client, body_sha256, request, method, model, predicted, state, \
                      created_ms) VALUES (?1, 'a', 'x', ?2, 'image_to_video', 'm', \
                      '{\"peak_bytes\":1,\"seconds\":null}', 'QUEUED', 5)";
        old.execute(insert, [&crate::GenerationId::new().to_string(), request]).unwrap();
        drop(old);
        let store = SqliteStore::open(&path, Box::new(|_| {})).unwrap();
        let page = store.list(&crate::ClientId::new("a").unwrap(), &Filter::default(), 10, None).unwrap();
        assert_eq!((page.records[0].state, page.records[0].created_ms), (State::Queued, 5));
        assert_eq!(store.stored_clock().unwrap(), None, "the newest tables are there");
        let known = store.seconds_per_unit("m", ltx_types::Schedule::Guided, &crate::estimate::Basis::of(""));
        assert!(known.unwrap().is_empty());
        let version = Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0));
        assert_eq!(version, Ok(MIGRATIONS.len() as u32));
        drop(store);
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        let opened = SqliteStore::open(&path, Box::new(|_| {}));
        assert!(matches!(opened.err(), Some(JobsError::SchemaTooNew { found: 99, known: 10 })));
    }
}
