//! Changes of state. Each goes through the one table, in one durable transaction, with its event.
//!
//! Must not know why.

use super::{
    Durability, Store,
    events::{Subject, append},
    generations, to_json,
};
use crate::{
    Change, ClientId, EventKind, Failure, Finished, GenerationId, GenerationRecord, JobsError, News, Prediction,
    Result, State, clock::Now,
};
use ltx_policy::StoredRequest;
use ltx_types::Method;
use rusqlite::{OptionalExtension, Transaction, params};

/// A generation that was admitted and is not stored yet.
pub(crate) struct NewGeneration<'a> {
    pub(crate) id: GenerationId,
    pub(crate) client: &'a ClientId,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) body_sha256: &'a str,
    pub(crate) request: &'a StoredRequest,
    pub(crate) images: &'a [String],
    pub(crate) method: Method,
    pub(crate) model: &'a str,
    pub(crate) predicted: Prediction,
    /// Generations before it in the queue.
    pub(crate) position: usize,
    /// Seconds until it would begin, where that can be estimated.
    pub(crate) wait_seconds: Option<f64>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The outputs are complete.
    Done(Box<Finished>),
    /// It cannot be completed.
    Failed(Failure),
    /// It was told to stop.
    Stopped,
}

/// Where a cancel found its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelledWhen {
    /// It will not run.
    Queued,
    /// It has to be told.
    Running,
}

/// What was found running at the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// These wait again and go on where they were.
    pub(crate) requeued: Vec<GenerationId>,
    /// These had been cancelled, or crashed too often.
    pub(crate) ended: Vec<GenerationId>,
}

impl Store {
    /// Stores a generation as queued. Once this has returned it may be acknowledged.
    ///
    /// # Errors
    /// `AlreadyExists`, `Database`, `StorageFull`.
    pub(crate) fn insert(&self, new: &NewGeneration<'_>, now: Now) -> Result<()> {
        let (request, predicted) = (to_json("request", new.request)?, to_json("prediction", &new.predicted)?);
        self.write(Durability::Durable, |tx, news| {
            tx.prepare_cached(
                "INSERT INTO generations (id, client, request_id, body_sha256, request, method, model, predicted, \
                 state, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'QUEUED', ?9)",
            )?
            .execute(params![
                new.id.to_string(),
                new.client.as_str(),
                new.request_id,
                new.body_sha256,
                request,
                new.method.as_str(),
                new.model,
                predicted,
                now.wall_ms
            ])?;
            let sequence = tx.last_insert_rowid();
            for sha256 in new.images {
                tx.prepare_cached("INSERT OR IGNORE INTO generation_images (generation, sha256) VALUES (?1, ?2)")?
                    .execute(params![sequence, sha256])?;
            }
            let kind = EventKind::Queued { position: new.position, resumed: false, seconds_left: new.wait_seconds };
            news.push(append(tx, Subject { sequence, id: new.id, client: new.client }, kind, now)?);
            Ok(())
        })
    }

    /// Takes a generation onto the device; `None` when it is not queued any more.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    pub(crate) fn start(&self, id: GenerationId, now: Now) -> Result<Option<u32>> {
        self.write(Durability::Durable, |tx, news| {
            let Some(row) = row(tx, id)? else { return Ok(None) };
            let Ok(state) = row.state.after(Change::Start) else { return Ok(None) };
            let sql = "UPDATE generations SET state = ?2, attempts = attempts + 1, \
                       started_ms = COALESCE(started_ms, ?3) WHERE sequence = ?1 RETURNING attempts";
            let attempt =
                tx.query_row(sql, params![row.sequence, state.as_str(), now.wall_ms], |row| row.get::<_, u32>(0))?;
            news.push(append(tx, row.subject(), EventKind::Running { attempt }, now)?);
            Ok(Some(attempt))
        })
    }

    /// Ends an attempt. A cancel that was acknowledged wins over everything else; an attempt that was stopped without one
    /// waits again.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `StorageFull`.
    pub(crate) fn settle(&self, id: GenerationId, ending: &Ending, now: Now) -> Result<State> {
        self.write(Durability::Durable, |tx, news| {
            let row = row(tx, id)?.ok_or(JobsError::NotFound { id })?;
            match ending {
                _ if row.cancel_requested => row.end(tx, news, Final::cancelled(), now),
                Ending::Done(finished) => {
                    let bytes: u64 = finished.files.iter().map(|file| file.bytes).sum();
                    tx.execute(
                        "UPDATE generations SET outcome = ?2, output_bytes = ?3 WHERE sequence = ?1",
                        params![row.sequence, to_json("outcome", finished)?, bytes as i64],
                    )?;
                    let ending = Final { change: Change::Finish, event: EventKind::Done, outcome: Some(finished) };
                    row.end(tx, news, ending, now)
                }
                Ending::Failed(failure) => row.fail(tx, news, failure, now),
                Ending::Stopped => row.requeue(tx, news, now),
            }
        })
    }

    /// Notes that a client wants a generation stopped. A queued one has ended then.
    ///
    /// # Errors
    /// `NotFound`, `Ended`, `Database`, `StorageFull`.
    pub(crate) fn cancel(&self, client: &ClientId, id: GenerationId, now: Now) -> Result<CancelledWhen> {
        self.write(Durability::Durable, |tx, news| {
            let record = generations::of_client(tx, client, id)?;
            let GenerationRecord { sequence, state, .. } = record;
            let row = Row { id, client: client.clone(), sequence, state, cancel_requested: true };
            if record.state.is_final() {
                return Err(JobsError::Ended { id, state: record.state });
            }
            if !record.cancel_requested {
                let sql = "UPDATE generations SET cancel_requested = 1 WHERE sequence = ?1";
                tx.execute(sql, params![record.sequence])?;
            }
            if record.state == State::Queued {
                row.end(tx, news, Final::cancelled(), now)?;
                return Ok(CancelledWhen::Queued);
            }
            if !record.cancel_requested {
                news.push(append(tx, row.subject(), EventKind::Cancelling, now)?);
            }
            Ok(CancelledWhen::Running)
        })
    }

    /// Forgets a generation that has ended.
    ///
    /// # Errors
    /// `NotFound`, `NotEnded`, `Database`, `StorageFull`.
    pub(crate) fn delete(&self, client: &ClientId, id: GenerationId) -> Result<()> {
        self.write(Durability::Durable, |tx, _| {
            let GenerationRecord { sequence, state, .. } = generations::of_client(tx, client, id)?;
            if !state.is_final() {
                return Err(JobsError::NotEnded { id, state });
            }
            tx.execute("DELETE FROM generations WHERE sequence = ?1", params![sequence])?;
            Ok(())
        })
    }

    /// What was running when the node died waits again, unless its client had cancelled it or it has crashed
    /// `max_fruitless` times in a row without a new step. `reach` says how far a generation's saved latent is.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    pub(crate) fn recover(
        &self,
        max_fruitless: u32,
        reach: impl Fn(GenerationId) -> u64,
        now: Now,
    ) -> Result<Recovered> {
        self.write(Durability::Durable, |tx, news| {
            let sql = "SELECT id, reached, fruitless FROM generations WHERE state = 'RUNNING' ORDER BY sequence";
            let running: Vec<(String, i64, u32)> = tx
                .prepare(sql)?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut recovered = Recovered::default();
            for (id, reached, fruitless) in running {
                let id = generations::id_of(&id)?;
                let row = row(tx, id)?.ok_or(JobsError::NotFound { id })?;
                let reached_now = reach(id) as i64;
                let fruitless = if reached_now > reached { 0 } else { fruitless + 1 };
                let sql = "UPDATE generations SET reached = ?2, fruitless = ?3 WHERE sequence = ?1";
                tx.execute(sql, params![row.sequence, reached_now.max(reached), fruitless])?;
                if row.cancel_requested {
                    row.end(tx, news, Final::cancelled(), now)?;
                    recovered.ended.push(id);
                } else if fruitless >= max_fruitless {
                    row.fail(tx, news, &Failure::crashed(fruitless), now)?;
                    recovered.ended.push(id);
                } else {
                    row.requeue(tx, news, now)?;
                    recovered.requeued.push(id);
                }
            }
            Ok(recovered)
        })
    }
}

/// What a change looks at.
struct Row {
    id: GenerationId,
    client: ClientId,
    sequence: i64,
    state: State,
    cancel_requested: bool,
}

fn row(tx: &Transaction<'_>, id: GenerationId) -> Result<Option<Row>> {
    let sql = "SELECT sequence, client, state, cancel_requested FROM generations WHERE id = ?1";
    let found = tx
        .prepare_cached(sql)?
        .query_row(params![id.to_string()], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((sequence, client, state, cancel_requested)) = found else { return Ok(None) };
    let state = State::parse(&state).ok_or(JobsError::Corrupt { what: "state" })?;
    let client = generations::client_of(client)?;
    Ok(Some(Row { id, client, sequence, state, cancel_requested }))
}

/// A change to a final state.
struct Final<'a> {
    change: Change,
    /// The event that says so.
    event: EventKind,
    /// What came of the generation, where it is done.
    outcome: Option<&'a Finished>,
}

impl Final<'_> {
    fn cancelled() -> Self {
        Self { change: Change::Cancel, event: EventKind::Cancelled, outcome: None }
    }
}

impl Row {
    /// To a final state. Its images are not needed any more.
    fn end<'a>(&self, tx: &Transaction<'_>, news: &mut Vec<News<'a>>, ending: Final<'a>, now: Now) -> Result<State> {
        let Final { change, event, outcome } = ending;
        let state = self.after(change)?;
        tx.execute(
            "UPDATE generations SET state = ?2, ended_ms = ?3, ended_age_ms = ?4 WHERE sequence = ?1",
            params![self.sequence, state.as_str(), now.wall_ms, now.age_ms],
        )?;
        tx.execute("DELETE FROM generation_images WHERE generation = ?1", params![self.sequence])?;
        news.push(News { outcome, ..append(tx, self.subject(), event, now)? });
        Ok(state)
    }

    fn fail(&self, tx: &Transaction<'_>, news: &mut Vec<News<'_>>, failure: &Failure, now: Now) -> Result<State> {
        tx.execute(
            "UPDATE generations SET failure_code = ?2, failure_text = ?3 WHERE sequence = ?1",
            params![self.sequence, failure.code.as_str(), failure.message],
        )?;
        let event = EventKind::Failed(failure.clone());
        self.end(tx, news, Final { change: Change::Fail, event, outcome: None }, now)
    }

    fn requeue(&self, tx: &Transaction<'_>, news: &mut Vec<News<'_>>, now: Now) -> Result<State> {
        let state = self.after(Change::Requeue)?;
        let sql = "UPDATE generations SET state = ?2 WHERE sequence = ?1";
        tx.execute(sql, params![self.sequence, state.as_str()])?;
        let event = EventKind::Queued { position: 0, resumed: true, seconds_left: None };
        news.push(append(tx, self.subject(), event, now)?);
        Ok(state)
    }

    fn subject(&self) -> Subject<'_> {
        Subject { sequence: self.sequence, id: self.id, client: &self.client }
    }

    fn after(&self, change: Change) -> Result<State> {
        Ok(self.state.after(change)?)
    }
}
