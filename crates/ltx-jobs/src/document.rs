//! A generation as one document: what a store of whole documents keeps of it, changed by what [`decide`] says and by nothing else.
//!
//! Must not know where documents are kept. Each holds the events of its last change, numbered, so that document and events cannot
//! come apart: whoever finds them missing in the log writes them there.

mod moved;

pub(crate) use moved::Beside;

use crate::{
    Asked, Batch, Before, ClientId, Event, EventKind, Failure, Finished, GenerationId, GenerationRecord, JobsError,
    NotPossible, Prediction, Result, RunFaults, State, TraceContext, Traced,
    clock::Now,
    lifecycle::{Effect, Happening, Standing, decide},
    ports::NewGeneration,
    testing, trace,
};
use ltx_policy::StoredRequest;
use ltx_types::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The version of documents that this program writes, and the newest that it changes.
const VERSION: u32 = 1;

/// An image of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentImage {
    /// The digest of its bytes.
    pub sha256: String,
    /// How many those are.
    pub bytes: u64,
}

/// When an attempt began.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Begun {
    attempt: u32,
    at_ms: i64,
}

/// A generation, with all that is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    version: u32,
    /// Its name.
    pub id: GenerationId,
    /// Whose it is.
    pub client: ClientId,
    /// The name its client gave the request, if any.
    pub request_id: Option<String>,
    /// The digest of the request as it was sent.
    pub body_sha256: String,
    batch: Option<Batch>,
    request: StoredRequest,
    /// The images that it needs.
    pub images: Vec<DocumentImage>,
    method: Method,
    /// The model that it runs on.
    pub model: String,
    predicted: Prediction,
    /// Where it stands.
    pub state: State,
    /// Whether its client asked to stop it.
    pub cancel_requested: bool,
    /// How often it was started.
    pub attempts: u32,
    reached: u64,
    fruitless: u32,
    /// The number of its newest event.
    pub events: u64,
    told: Vec<Event>,
    created_ms: i64,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    /// The service's own time when it ended.
    pub ended_age_ms: Option<i64>,
    failure: Option<Failure>,
    outcome: Option<Finished>,
    /// Bytes of outputs that are kept, their images included.
    pub output_bytes: u64,
    /// Its place among all generations, where that is not the revision of this document.
    pub sequence: Option<i64>,
    /// The node that runs it, or ran it last.
    pub worker: String,
    /// The message by which that node got it.
    pub work: u64,
    /// Tells one write from another.
    pub stamp: String,
    /// The context of its request, where that is traced.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "trace::lenient")]
    trace: Option<TraceContext>,
    /// What its run meets on purpose, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "testing::lenient")]
    faults: Option<RunFaults>,
    /// When its last attempt began, where it is traced. An older version that begins one leaves this as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<Begun>,
    /// What a newer version keeps.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Document {
    /// A generation that is about to be stored.
    pub fn queued(new: &NewGeneration<'_>, now: Now) -> Self {
        let images =
            new.images.iter().map(|image| DocumentImage { sha256: image.sha256.to_owned(), bytes: image.bytes });
        let mut document = Self {
            version: VERSION,
            id: new.id,
            client: new.client.clone(),
            request_id: new.request_id.map(str::to_owned),
            body_sha256: new.body_sha256.to_owned(),
            batch: new.batch,
            request: new.request.clone(),
            images: images.collect(),
            method: new.method,
            model: new.model.to_owned(),
            predicted: new.predicted.clone(),
            state: State::Queued,
            cancel_requested: false,
            attempts: 0,
            reached: 0,
            fruitless: 0,
            events: 0,
            told: Vec::new(),
            created_ms: now.wall_ms,
            started_ms: None,
            ended_ms: None,
            ended_age_ms: None,
            failure: None,
            outcome: None,
            output_bytes: 0,
            sequence: None,
            worker: String::new(),
            work: 0,
            stamp: String::new(),
            trace: new.trace.cloned(),
            faults: new.faults.cloned(),
            begun: None,
            others: Map::new(),
        };
        // One image that is given twice is kept once.
        document.images.sort_by(|a, b| a.sha256.cmp(&b.sha256));
        document.images.dedup();
        let (position, seconds_left) = (new.position, new.wait_seconds);
        document.tell(EventKind::Queued { position, resumed: false, seconds_left }, now);
        document
    }

    /// Reads a document; `None` for one of a newer version, which is to be left alone.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let corrupt = |_| JobsError::Corrupt { what: "generation's document" };
        let Versioned { version } = serde_json::from_slice(bytes).map_err(corrupt)?;
        if version > VERSION { Ok(None) } else { serde_json::from_slice(bytes).map(Some).map_err(corrupt) }
    }

    /// The document as it is kept.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|_| JobsError::Corrupt { what: "generation's document" })
    }

    /// The document after something has happened; `None` where nothing is to be written. Its events of earlier changes are gone
    /// from it: they must be in the log.
    ///
    /// # Errors
    /// The table of [`State::after`] has no such change.
    pub fn after(&self, happening: Happening<'_>, now: Now) -> Result<Option<Self>, NotPossible> {
        let Self { state, cancel_requested, attempts, reached, fruitless, .. } = *self;
        let effects = decide(Standing { state, cancel_requested, attempts, reached, fruitless }, happening)?;
        if effects.is_empty() {
            return Ok(None);
        }
        let mut changed = Self { told: Vec::new(), ..self.clone() };
        effects.into_iter().for_each(|effect| changed.apply(effect, now));
        Ok(Some(changed))
    }

    /// The document with one more event and nothing else.
    pub fn told(&self, kind: EventKind, now: Now) -> Self {
        let mut told = Self { told: Vec::new(), ..self.clone() };
        told.tell(kind, now);
        told
    }

    /// The document without its outputs and images. Nothing is told of it: its last event is in the log.
    pub fn without_outputs(&self) -> Self {
        Self { output_bytes: 0, images: Vec::new(), told: Vec::new(), ..self.clone() }
    }

    /// The events of its last change.
    pub fn news(&self) -> impl Iterator<Item = Event> {
        self.told.iter().cloned()
    }

    /// What came of it.
    pub fn outcome(&self) -> Option<&Finished> {
        self.outcome.as_ref()
    }

    /// Seconds that it was predicted to take.
    pub fn predicted_seconds(&self) -> Option<f64> {
        self.predicted.seconds
    }

    /// What is known of it, where this is its place among all generations.
    pub fn record(&self, sequence: i64) -> GenerationRecord {
        GenerationRecord {
            id: self.id,
            client: self.client.clone(),
            request_id: self.request_id.clone(),
            batch: self.batch,
            request: self.request.clone(),
            method: self.method,
            model: self.model.clone(),
            predicted: self.predicted.clone(),
            state: self.state,
            position: None,
            wait_seconds: None,
            cancel_requested: self.cancel_requested,
            attempts: self.attempts,
            last_event: self.events,
            created_ms: self.created_ms,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            failure: self.failure.clone(),
            outcome: self.outcome.clone(),
            outputs_kept: self.output_bytes > 0,
            trace: self.trace.clone(),
            faults: self.faults.clone(),
            sequence,
        }
    }

    /// What a tracer is told of the change that made this of what was there before.
    pub fn traced(&self, before: Option<&Self>) -> Option<Traced> {
        let context = self.trace.clone()?;
        let begun = before.and_then(|before| before.begun.filter(|begun| begun.attempt == before.attempts));
        let before = Before {
            state: before.map(|before| before.state),
            asked: Asked::of(&self.request, self.method, &self.model),
            attempts: before.map_or(0, |before| before.attempts),
            created_ms: self.created_ms,
            told_ms: before.and_then(|before| before.told.last()).map(|event| event.at_ms),
            attempt_ms: begun.map(|begun| begun.at_ms),
            worker: before.map(|before| before.worker.clone()).filter(|worker| !worker.is_empty()),
        };
        Some(Traced { context, before: Some(Box::new(before)) })
    }

    fn tell(&mut self, kind: EventKind, now: Now) {
        self.events += 1;
        self.told.push(Event { number: self.events, at_ms: now.wall_ms, kind });
    }

    fn apply(&mut self, effect: Effect<'_>, now: Now) {
        match effect {
            Effect::Enter(state) => {
                self.state = state;
                if state.is_final() {
                    (self.ended_ms, self.ended_age_ms) = (Some(now.wall_ms), Some(now.age_ms));
                    if state != State::Done {
                        self.images.clear();
                    }
                }
            }
            Effect::CountAttempt => {
                self.attempts += 1;
                self.started_ms.get_or_insert(now.wall_ms);
                let begun = Begun { attempt: self.attempts, at_ms: now.wall_ms };
                self.begun = self.trace.is_some().then_some(begun);
            }
            Effect::NoteCancel => self.cancel_requested = true,
            Effect::NoteDeath { reached, fruitless } => (self.reached, self.fruitless) = (reached, fruitless),
            Effect::KeepOutcome(finished) => {
                // Its images stay as long as its outputs, and are counted with them.
                let images: u64 = self.images.iter().map(|image| image.bytes).sum();
                self.output_bytes = images + finished.files.iter().map(|file| file.bytes).sum::<u64>();
                self.outcome = Some(finished.clone());
            }
            Effect::KeepFailure(failure) => self.failure = Some(failure),
            Effect::Tell(kind) => self.tell(kind, now),
        }
    }

    pub(crate) fn columns(&self) -> Result<Columns<'_>> {
        use crate::sqlite::to_json as json;
        Ok(Columns {
            document: self,
            request: json("request", &self.request)?,
            predicted: json("prediction", &self.predicted)?,
            outcome: self.outcome.as_ref().map(|outcome| json("outcome", outcome)).transpose()?,
        })
    }

    /// News of the event of that number on, for whoever listens.
    pub(crate) fn news_after(&self, number: u64) -> Vec<Arc<Event>> {
        self.news().filter(|event| event.number > number).map(Arc::new).collect()
    }
}

/// What a table of generations has of a document.
pub(crate) struct Columns<'a> {
    document: &'a Document,
    pub(crate) request: String,
    pub(crate) predicted: String,
    pub(crate) outcome: Option<String>,
}

impl Columns<'_> {
    pub(crate) fn bind<T>(&self, sequence: i64, execute: impl FnOnce(&[&dyn rusqlite::ToSql]) -> T) -> T {
        let it = self.document;
        let batch = it.batch.map(|batch| batch.id.to_string());
        let failure = it.failure.as_ref();
        execute(&[
            &sequence,
            &it.id.to_string(),
            &it.client.as_str(),
            &it.request_id,
            &it.body_sha256,
            &self.request,
            &it.method.as_str(),
            &it.model,
            &self.predicted,
            &it.state.as_str(),
            &it.cancel_requested,
            &it.attempts,
            &it.fruitless,
            &(it.reached as i64),
            &(it.events as i64),
            &it.created_ms,
            &it.started_ms,
            &it.ended_ms,
            &it.ended_age_ms,
            &failure.map(|failure| failure.code.as_str()),
            &failure.map(|failure| &failure.message),
            &self.outcome,
            &(it.output_bytes as i64),
            &batch,
            &it.batch.map(|batch| batch.index),
            &it.batch.map(|batch| batch.size),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureCode, lifecycle::Ending, ports::NeededImage};

    const NOW: Now = Now { wall_ms: 1, age_ms: 1 };

    fn document() -> Document {
        let image = NeededImage { sha256: "d", bytes: 7 };
        let request = serde_json::from_str(include_str!("../tests/data/request-1.json")).unwrap();
        let new = NewGeneration {
            id: GenerationId::new(),
            client: &ClientId::new("a").unwrap(),
            request_id: Some("r"),
            body_sha256: "x",
            batch: None,
            request: &request,
            images: &[image],
            method: Method::ImageToVideo,
            model: "m",
            predicted: Prediction { peak_bytes: 1, seconds: Some(2.0), stages: Vec::new(), counted: false },
            position: 3,
            wait_seconds: None,
            trace: None,
            faults: None,
        };
        Document::queued(&new, NOW)
    }

    fn numbers(document: &Document) -> Vec<u64> {
        document.news().map(|event| event.number).collect()
    }

    #[test]
    fn every_change_numbers_its_events_on_and_holds_no_others() {
        let queued = document();
        let running = queued.after(Happening::Start, NOW).unwrap().unwrap();
        let stepped = running.told(EventKind::Cancelling, NOW);
        let stopped = stepped.after(Happening::Settle(&Ending::Stopped), NOW).unwrap().unwrap();
        let told = [&queued, &running, &stepped, &stopped].map(numbers);
        assert_eq!(told, [[1], [2], [3], [4]]);
        assert_eq!((stopped.state, stopped.attempts, stopped.record(9).last_event), (State::Queued, 1, 4));
        assert!(queued.after(Happening::Settle(&Ending::Stopped), NOW).is_err(), "the table has no such change");
    }

    #[test]
    fn images_go_with_a_generation_that_has_no_outputs() {
        let running = document().after(Happening::Start, NOW).unwrap().unwrap();
        assert_eq!(running.images.len(), 1);
        let failure = Failure { code: FailureCode::Engine, message: "x".into() };
        let failed = running.after(Happening::Settle(&Ending::Failed(failure)), NOW).unwrap().unwrap();
        assert_eq!((failed.images.len(), failed.ended_age_ms), (0, Some(1)));
        let expired = failed.without_outputs();
        assert_eq!((numbers(&failed), numbers(&expired), expired.events), (vec![3], vec![], 3), "told once");
    }

    #[test]
    fn what_a_newer_version_keeps_stays_and_its_own_documents_are_left_alone() {
        let mut kept: Value = serde_json::from_slice(&document().write().unwrap()).unwrap();
        kept["new"] = Value::from(5);
        let read = Document::read(kept.to_string().as_bytes()).unwrap().unwrap();
        let again: Value = serde_json::from_slice(&read.told(EventKind::Done, NOW).write().unwrap()).unwrap();
        assert_eq!(again["new"], 5);
        assert!(again.get("trace").is_none() && again.get("begun").is_none(), "of what is not traced nothing is kept");
        kept["version"] = Value::from(VERSION + 1);
        assert!(Document::read(kept.to_string().as_bytes()).unwrap().is_none());
        assert!(matches!(Document::read(b"{}"), Err(JobsError::Corrupt { .. })));
    }

    #[test]
    fn a_traced_one_says_what_it_was_before_each_change_also_to_another_node() {
        let context = TraceContext::read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "").unwrap();
        let queued = Document { trace: Some(context.clone()), ..document() };
        let new = queued.traced(None).unwrap();
        assert_eq!((new.context, new.before.as_ref().unwrap().state), (context, None));
        let running = queued.after(Happening::Start, Now { wall_ms: 5, age_ms: 1 }).unwrap().unwrap();
        let running = Document { worker: "w".into(), ..running };
        let before = running.traced(Some(&queued)).unwrap().before.unwrap();
        assert_eq!((before.state, before.told_ms, before.attempts), (Some(State::Queued), Some(1), 0));
        // Another node reads it, and takes it over.
        let read = Document::read(&running.write().unwrap()).unwrap().unwrap();
        let found = Happening::Recover { reached: 0, max_fruitless: 9 };
        let again = read.after(found, Now { wall_ms: 9, age_ms: 1 }).unwrap().unwrap();
        let before = again.traced(Some(&read)).unwrap().before.unwrap();
        assert_eq!((before.attempt_ms, before.attempts, before.worker.as_deref()), (Some(5), 1, Some("w")));
        // One of an older version began the attempt.
        let older = Document { attempts: 2, ..read };
        assert_eq!(again.traced(Some(&older)).unwrap().before.unwrap().attempt_ms, None);
    }
}
