//! Questions about generations. Each names the client; another client's generation is not there.
//!
//! Must not change anything.

use super::{SqliteStore, from_json};
use crate::{
    Batch, ClientId, Failure, Filter, GenerationId, GenerationRecord, JobsError, Page, PageToken, Result, State,
    failure::FailureCode, ports::Records, trace,
};
use ltx_types::Method;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

const COLUMNS: &str = "sequence, id, client, request_id, request, method, model, predicted, state, cancel_requested, \
                       attempts, events, created_ms, started_ms, ended_ms, failure_code, failure_text, outcome, \
                       output_bytes, batch, batch_index, batch_size, trace, faults";

impl Records for SqliteStore {
    fn generation(&self, client: &ClientId, id: GenerationId) -> Result<GenerationRecord> {
        self.read(|connection| of_client(connection, client, id))
    }

    fn any_generation(&self, id: GenerationId) -> Result<GenerationRecord> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM generations WHERE id = ?1");
            let row = connection.prepare_cached(&sql)?.query_row(params![id.to_string()], raw).optional()?;
            row.ok_or(JobsError::NotFound { id })?.read()
        })
    }

    fn by_request_id(&self, client: &ClientId, request_id: &str) -> Result<Option<(GenerationRecord, String)>> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS}, body_sha256 FROM generations WHERE client = ?1 AND request_id = ?2");
            let row = connection
                .prepare_cached(&sql)?
                .query_row(params![client.as_str(), request_id], |row| Ok((raw(row)?, row.get("body_sha256")?)))
                .optional()?;
            row.map(|(row, body)| Ok((row.read()?, body))).transpose()
        })
    }

    fn batch(&self, client: &ClientId, batch: GenerationId) -> Result<Vec<GenerationRecord>> {
        self.read(|connection| {
            let sql =
                format!("SELECT {COLUMNS} FROM generations WHERE batch = ?1 AND client = ?2 ORDER BY batch_index");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![batch.to_string(), client.as_str()], raw)?;
            rows.map(|row| row?.read()).collect()
        })
    }

    fn list(&self, client: &ClientId, filter: &Filter, size: usize, after: Option<PageToken>) -> Result<Page> {
        let states: Vec<_> = match filter.states.as_slice() {
            [] => State::ALL.map(|state| format!("'{}'", state.as_str())).to_vec(),
            states => states.iter().map(|state| format!("'{}'", state.as_str())).collect(),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM generations WHERE client = :client AND sequence < :behind AND state IN ({}) \
             AND (:method IS NULL OR method = :method) AND created_ms >= :from AND created_ms < :until \
             AND (:model IS NULL OR model = :model) AND (:batch IS NULL OR batch = :batch) \
             AND (:text IS NULL OR INSTR(LOWER(request ->> '$.draft.prompt'), :text) > 0) \
             ORDER BY sequence DESC LIMIT :limit",
            states.join(", ")
        );
        let behind = after.map_or(Ok(i64::MAX), |token| token.sequence(filter))?;
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let named = named_params! {
                ":client": client.as_str(),
                ":behind": behind,
                ":method": filter.method.map(Method::as_str),
                ":from": filter.from_ms.unwrap_or(i64::MIN),
                ":until": filter.before_ms.unwrap_or(i64::MAX),
                ":model": filter.model,
                ":batch": filter.batch.map(|batch| batch.to_string()),
                // SQLite's LOWER knows A to Z as well.
                ":text": filter.text.as_ref().map(|text| text.to_ascii_lowercase()),
                ":limit": size as i64 + 1,
            };
            let rows = statement.query_map(named, raw)?;
            let mut records = rows.map(|row| row?.read()).collect::<Result<Vec<_>>>()?;
            let more = records.len() > size;
            records.truncate(size);
            let next = records.last().filter(|_| more).map(|last| PageToken::behind(last.sequence, filter));
            Ok(Page { records, next })
        })
    }

    fn queued(&self) -> Result<Vec<GenerationRecord>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM generations WHERE state = 'QUEUED' ORDER BY attempts > 0 DESC, sequence"
            );
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([], raw)?;
            rows.map(|row| row?.read()).collect()
        })
    }
}

/// # Errors
/// `NotFound`, `Database`, `Corrupt`.
pub(super) fn of_client(connection: &Connection, client: &ClientId, id: GenerationId) -> Result<GenerationRecord> {
    let sql = format!("SELECT {COLUMNS} FROM generations WHERE id = ?1 AND client = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let row = statement.query_row(params![id.to_string(), client.as_str()], raw).optional()?;
    row.ok_or(JobsError::NotFound { id })?.read()
}

pub(super) fn id_of(text: &str) -> Result<GenerationId> {
    text.parse().map_err(|_| JobsError::Corrupt { what: "generation's id" })
}

pub(super) fn client_of(text: String) -> Result<ClientId> {
    ClientId::new(text).map_err(|_| JobsError::Corrupt { what: "client's name" })
}

/// A row with its texts unread.
struct Raw {
    texts: [String; 7],
    failure: Option<(String, String)>,
    outcome: Option<String>,
    request_id: Option<String>,
    numbers: [i64; 6],
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    batch: Option<String>,
    place: Option<(u32, u32)>,
    trace: Option<String>,
    faults: Option<String>,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let code: Option<String> = row.get("failure_code")?;
    let text: Option<String> = row.get("failure_text")?;
    let texts = ["id", "client", "request", "method", "model", "predicted", "state"];
    let numbers = ["sequence", "cancel_requested", "attempts", "events", "created_ms", "output_bytes"];
    let mut raw = Raw {
        texts: Default::default(),
        failure: code.zip(text),
        outcome: row.get("outcome")?,
        request_id: row.get("request_id")?,
        numbers: [0; 6],
        started_ms: row.get("started_ms")?,
        ended_ms: row.get("ended_ms")?,
        batch: row.get("batch")?,
        place: row.get::<_, Option<u32>>("batch_index")?.zip(row.get("batch_size")?),
        trace: row.get("trace")?,
        faults: row.get("faults")?,
    };
    for (value, name) in raw.texts.iter_mut().zip(texts) {
        *value = row.get(name)?;
    }
    for (value, name) in raw.numbers.iter_mut().zip(numbers) {
        *value = row.get(name)?;
    }
    Ok(raw)
}

impl Raw {
    fn read(self) -> Result<GenerationRecord> {
        let Self { texts, failure, outcome, request_id, numbers, started_ms, ended_ms, batch, place, trace, faults } =
            self;
        let [id, client, request, method, model, predicted, state] = texts;
        let [sequence, cancel_requested, attempts, events, created_ms, output_bytes] = numbers;
        let failure = failure.map(|(code, message)| {
            let code = FailureCode::parse(&code).ok_or(JobsError::Corrupt { what: "failure's code" })?;
            Ok::<_, JobsError>(Failure { code, message })
        });
        let batch =
            batch.zip(place).map(|(id, (index, size))| Ok::<_, JobsError>(Batch { id: id_of(&id)?, index, size }));
        let methods = [Method::ImageToVideo, Method::StartEndFrames];
        let method = methods.into_iter().find(|known| known.as_str() == method);
        Ok(GenerationRecord {
            id: id_of(&id)?,
            client: client_of(client)?,
            request_id,
            batch: batch.transpose()?,
            request: from_json("request", &request)?,
            method: method.ok_or(JobsError::Corrupt { what: "method" })?,
            model,
            predicted: from_json("prediction", &predicted)?,
            state: State::parse(&state).ok_or(JobsError::Corrupt { what: "state" })?,
            position: None,
            wait_seconds: None,
            cancel_requested: cancel_requested != 0,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            last_event: events as u64,
            created_ms,
            started_ms,
            ended_ms,
            failure: failure.transpose()?,
            outcome: outcome.map(|outcome| from_json("outcome", &outcome)).transpose()?,
            outputs_kept: output_bytes > 0,
            trace: trace.as_deref().and_then(trace::kept),
            faults: faults.and_then(|faults| serde_json::from_str(&faults).ok()),
            sequence,
        })
    }
}
