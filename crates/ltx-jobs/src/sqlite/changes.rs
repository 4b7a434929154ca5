//! Changes of a generation: what [`decide`] says follows, written in one durable transaction with its events.
//!
//! Must not decide anything itself.

use super::{
    Durability, SqliteStore,
    events::{Subject, append},
    generations, to_json,
};
use crate::{
    Before, ClientId, EventKind, GenerationId, GenerationRecord, JobsError, News, Result, State, TraceContext, Traced,
    clock::Now,
    lifecycle::{Effect, Ending, Happening, Standing, decide},
    ports::{CancelledWhen, Changes, NewGeneration, Recovered},
    trace::{self, Asked},
};
use rusqlite::{OptionalExtension, Transaction, params};

impl Changes for SqliteStore {
    fn insert(&self, new: &[NewGeneration<'_>], now: Now) -> Result<()> {
        self.write(Durability::Durable, |tx, news| {
            new.iter().try_for_each(|new| insert(&Writing { tx, now }, new).map(|queued| news.push(queued)))
        })
    }

    fn start(&self, id: GenerationId, now: Now) -> Result<Option<u32>> {
        self.write(Durability::Durable, |tx, news| {
            let Some(row) = row(tx, id)? else { return Ok(None) };
            let Ok(effects) = decide(row.standing, Happening::Start) else { return Ok(None) };
            row.write(&Writing { tx, now }, news, effects)?;
            Ok(Some(row.standing.attempts + 1))
        })
    }

    fn settle(&self, id: GenerationId, ending: &Ending, now: Now) -> Result<Option<State>> {
        self.write(Durability::Durable, |tx, news| {
            let row = row(tx, id)?.ok_or(JobsError::NotFound { id })?;
            row.write(&Writing { tx, now }, news, decide(row.standing, Happening::Settle(ending))?).map(Some)
        })
    }

    fn cancel(&self, client: &ClientId, id: GenerationId, now: Now) -> Result<CancelledWhen> {
        self.write(Durability::Durable, |tx, news| {
            let row = row(tx, generations::of_client(tx, client, id)?.id)?.ok_or(JobsError::NotFound { id })?;
            let effects = decide(row.standing, Happening::Cancel);
            let effects = effects.map_err(|refused| JobsError::Ended { id, state: refused.from })?;
            let state = row.write(&Writing { tx, now }, news, effects)?;
            Ok(if state == State::Cancelled { CancelledWhen::Queued } else { CancelledWhen::Running })
        })
    }

    fn delete(&self, client: &ClientId, id: GenerationId) -> Result<()> {
        self.write(Durability::Durable, |tx, _| {
            let GenerationRecord { sequence, state, .. } = generations::of_client(tx, client, id)?;
            if !state.is_final() {
                return Err(JobsError::NotEnded { id, state });
            }
            tx.execute("DELETE FROM generations WHERE sequence = ?1", params![sequence])?;
            Ok(())
        })
    }

    fn recover(&self, max_fruitless: u32, reach: &dyn Fn(GenerationId) -> u64, now: Now) -> Result<Recovered> {
        self.write(Durability::Durable, |tx, news| {
            let sql = "SELECT id FROM generations WHERE state = 'RUNNING' ORDER BY sequence";
            let running: Vec<String> =
                tx.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let mut recovered = Recovered::default();
            for id in running {
                let id = generations::id_of(&id)?;
                let row = row(tx, id)?.ok_or(JobsError::NotFound { id })?;
                let found = Happening::Recover { reached: reach(id), max_fruitless };
                let state = row.write(&Writing { tx, now }, news, decide(row.standing, found)?)?;
                let whither = if state == State::Queued { &mut recovered.requeued } else { &mut recovered.ended };
                whither.push(id);
            }
            Ok(recovered)
        })
    }
}

/// Writes a row with its images and its first event.
fn insert(Writing { tx, now }: &Writing<'_>, new: &NewGeneration<'_>) -> Result<News<'static>> {
    let (request, predicted) = (to_json("request", new.request)?, to_json("prediction", &new.predicted)?);
    let trace = new.trace.map(|trace| to_json("trace", trace)).transpose()?;
    let faults = new.faults.map(|faults| to_json("faults", faults)).transpose()?;
    tx.prepare_cached(
        "INSERT INTO generations (id, client, request_id, body_sha256, request, method, model, predicted, state, \
         created_ms, batch, batch_index, batch_size, trace, faults) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'QUEUED', ?9, ?10, ?11, ?12, ?13, ?14)",
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
        now.wall_ms,
        new.batch.map(|batch| batch.id.to_string()),
        new.batch.map(|batch| batch.index),
        new.batch.map(|batch| batch.size),
        trace,
        faults,
    ])?;
    let sequence = tx.last_insert_rowid();
    for image in new.images {
        let sql = "INSERT OR IGNORE INTO generation_images (generation, sha256, bytes) VALUES (?1, ?2, ?3)";
        tx.prepare_cached(sql)?.execute(params![sequence, image.sha256, image.bytes as i64])?;
    }
    let kind = EventKind::Queued { position: new.position, resumed: false, seconds_left: new.wait_seconds };
    let traced = new.trace.map(|context| {
        let (created_ms, asked) = (now.wall_ms, Asked::of(new.request, new.method, new.model));
        let before =
            Before { state: None, asked, attempts: 0, created_ms, told_ms: None, attempt_ms: None, worker: None };
        Traced { context: context.clone(), before: Some(Box::new(before)) }
    });
    let queued = append(tx, Subject { sequence, id: new.id, client: new.client }, kind, *now)?;
    Ok(News { traced, ..queued })
}

/// A generation's row, as a decision looks at it.
struct Row {
    id: GenerationId,
    client: ClientId,
    sequence: i64,
    standing: Standing,
    trace: Option<TraceContext>,
}

fn row(tx: &Transaction<'_>, id: GenerationId) -> Result<Option<Row>> {
    let sql = "SELECT sequence, state, cancel_requested, attempts, reached, fruitless, client, trace FROM generations WHERE id = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(params![id.to_string()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let state = State::parse(&row.get::<_, String>(1)?).ok_or(JobsError::Corrupt { what: "state" })?;
    let standing = Standing {
        state,
        cancel_requested: row.get(2)?,
        attempts: row.get(3)?,
        reached: row.get::<_, i64>(4)? as u64,
        fruitless: row.get(5)?,
    };
    let client = generations::client_of(row.get(6)?)?;
    let trace = row.get::<_, Option<String>>(7)?.as_deref().and_then(trace::kept);
    Ok(Some(Row { id, client, sequence: row.get(0)?, standing, trace }))
}

/// Where and when effects are written.
struct Writing<'a> {
    tx: &'a Transaction<'a>,
    now: Now,
}

impl Row {
    /// Writes what was decided. Returns the state then.
    fn write<'a>(&self, change: &Writing<'_>, news: &mut Vec<News<'a>>, effects: Vec<Effect<'a>>) -> Result<State> {
        let (mut state, mut outcome) = (self.standing.state, None);
        let traced = self.traced(change.tx)?;
        for effect in effects {
            match &effect {
                Effect::Enter(next) => state = *next,
                Effect::KeepOutcome(finished) => outcome = Some(*finished),
                _ => {}
            }
            news.extend(self.write_one(change, effect)?.map(|told| News { outcome, traced: traced.clone(), ..told }));
        }
        Ok(state)
    }

    /// What a tracer is told beside the change; looked up only where there is a trace.
    fn traced(&self, tx: &Transaction<'_>) -> Result<Option<Traced>> {
        let Some(context) = self.trace.clone() else { return Ok(None) };
        // A record that cannot be read is said by whoever needs it.
        let Ok(record) = generations::of_client(tx, &self.client, self.id) else { return Ok(None) };
        let told = "SELECT at_ms FROM events WHERE generation = ?1 ORDER BY number DESC LIMIT 1";
        let begun = "SELECT at_ms FROM events WHERE generation = ?1 AND kind ->> '$.kind' = 'running' \
                     ORDER BY number DESC LIMIT 1";
        let at = |sql: &str| -> Result<Option<i64>> {
            Ok(tx.prepare_cached(sql)?.query_row(params![self.sequence], |row| row.get(0)).optional()?)
        };
        let Standing { state, attempts, .. } = self.standing;
        let before = Before {
            state: Some(state),
            asked: Asked::of(&record.request, record.method, &record.model),
            attempts,
            created_ms: record.created_ms,
            told_ms: at(told)?,
            attempt_ms: if state == State::Running { at(begun)? } else { None },
            worker: None,
        };
        Ok(Some(Traced { context, before: Some(Box::new(before)) }))
    }

    /// Writes one effect. What comes back is told once the transaction is committed.
    fn write_one(&self, change: &Writing<'_>, effect: Effect<'_>) -> Result<Option<News<'static>>> {
        let Writing { tx, now } = change;
        let sequence = self.sequence;
        match effect {
            Effect::Enter(state) => self.enter(change, state)?,
            Effect::Tell(kind) => {
                let subject = Subject { sequence, id: self.id, client: &self.client };
                return append(tx, subject, kind, *now).map(Some);
            }
            Effect::CountAttempt => tx.execute(
                "UPDATE generations SET attempts = attempts + 1, started_ms = COALESCE(started_ms, ?2) \
                 WHERE sequence = ?1",
                params![sequence, now.wall_ms],
            )?,
            Effect::NoteCancel => {
                tx.execute("UPDATE generations SET cancel_requested = 1 WHERE sequence = ?1", params![sequence])?
            }
            Effect::NoteDeath { reached, fruitless } => tx.execute(
                "UPDATE generations SET reached = ?2, fruitless = ?3 WHERE sequence = ?1",
                params![sequence, reached as i64, fruitless],
            )?,
            Effect::KeepOutcome(finished) => {
                let bytes: u64 = finished.files.iter().map(|file| file.bytes).sum();
                let outcome = to_json("outcome", finished)?;
                // Its images stay as long as its outputs, and are counted with them.
                let sql = "UPDATE generations SET outcome = ?2, output_bytes = ?3 + (
                        SELECT COALESCE(SUM(bytes), 0) FROM generation_images WHERE generation = ?1
                    ) WHERE sequence = ?1";
                tx.execute(sql, params![sequence, outcome, bytes as i64])?
            }
            Effect::KeepFailure(failure) => tx.execute(
                "UPDATE generations SET failure_code = ?2, failure_text = ?3 WHERE sequence = ?1",
                params![sequence, failure.code.as_str(), failure.message],
            )?,
        };
        Ok(None)
    }

    /// Writes a state. Returns how many rows that changed.
    fn enter(&self, Writing { tx, now }: &Writing<'_>, state: State) -> Result<usize> {
        let sql = "UPDATE generations SET state = ?2 WHERE sequence = ?1";
        let changed = tx.prepare_cached(sql)?.execute(params![self.sequence, state.as_str()])?;
        if state.is_final() {
            let sql = "UPDATE generations SET ended_ms = ?2, ended_age_ms = ?3 WHERE sequence = ?1";
            tx.prepare_cached(sql)?.execute(params![self.sequence, now.wall_ms, now.age_ms])?;
            if state != State::Done {
                tx.execute("DELETE FROM generation_images WHERE generation = ?1", params![self.sequence])?;
            }
        }
        Ok(changed)
    }
}
