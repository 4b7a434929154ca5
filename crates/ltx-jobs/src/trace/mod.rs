//! What is told of generations whose request is traced, and to whom. Nothing of it exists while nobody traces.
//!
//! Must not know spans, nor how they are sent. What is told holds no prompt and no image: the types have no room for them.

mod attempt;
mod context;

pub(crate) use attempt::AttemptTrace;
pub use context::TraceContext;
pub(crate) use context::{kept, lenient};

use crate::{GenerationId, GenerationRecord, News, State};
use ltx_policy::StoredRequest;
use ltx_types::{Method, Stage};
use std::time::SystemTime;

/// Hears of everything that happens to a traced generation, on the threads that do it: it must be quick, must not fail, and must
/// neither ask the jobs nor hold them.
pub trait Tracer: Send + Sync {
    /// A request begins: its context, in its caller's trace where it has one, else in a new one. `None` where it is not to be traced.
    fn begin(&self, caller: Option<&TraceContext>) -> Option<TraceContext>;

    /// A request has been answered.
    fn answered(&self, request: &TracedRequest<'_>);

    /// An event of a traced generation was written.
    fn news(&self, news: &News<'_>, traced: &Traced);

    /// An attempt at a traced generation has done something that no event tells.
    fn did(&self, attempt: &TracedAttempt<'_>, did: &Did);

    /// Spans so far.
    fn counts(&self) -> TraceCounts;
}

/// What became of spans since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceCounts {
    /// A collector has taken them.
    pub sent: u64,
    /// They were dropped: no collector took them, and no more could wait.
    pub dropped: u64,
}

/// A request for generations that has been answered.
#[derive(Debug)]
pub struct TracedRequest<'a> {
    /// Its context, as [`Tracer::begin`] gave it.
    pub context: &'a TraceContext,
    /// Its caller's.
    pub caller: Option<&'a TraceContext>,
    /// The call, as its protocol names it: `package.Service/Method`.
    pub call: &'static str,
    /// Who called, by the name that the node has for it.
    pub client: &'a str,
    /// When it came.
    pub began: SystemTime,
    /// When it had been judged, before it was stored; `None` where it was answered without, or refused.
    pub judged: Option<SystemTime>,
    /// The protocol's code of the answer, 0 where it was accepted; `None` where nobody waited for it.
    pub code: Option<i32>,
    /// The reason of a refusal or an error, a word.
    pub reason: Option<&'a str>,
    /// What it made, or had made when it came first.
    pub generations: &'a [GenerationId],
    /// Whether it had come before.
    pub existed: bool,
}

/// A traced generation, as its news tell of it.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The context of its request.
    pub context: TraceContext,
    /// What it was before its state changed; `None` beside events that change no state.
    pub before: Option<Box<Before>>,
}

/// A traced generation before its state changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// Its state; `None` for one that was not there.
    pub state: Option<State>,
    /// What is asked, as far as spans say it.
    pub asked: Asked,
    /// How often it had been started.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub created_ms: i64,
    /// When the event before was, in milliseconds since 1970.
    pub told_ms: Option<i64>,
    /// When the attempt began that ran; only where one did, and it is known.
    pub attempt_ms: Option<i64>,
    /// The node that ran it, where that is told: a node alone is the one.
    pub worker: Option<String>,
}

/// What a request asks for, as far as spans say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The model, by its manifest's name.
    pub model: String,
    /// The method.
    pub method: Method,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Frames.
    pub frames: usize,
}

impl Asked {
    pub(crate) fn of(request: &StoredRequest, method: Method, model: &str) -> Self {
        let draft = &request.draft;
        Self { model: model.to_owned(), method, width: draft.width, height: draft.height, frames: draft.frames }
    }
}

/// An attempt that runs.
#[derive(Debug, Clone, Copy)]
pub struct TracedAttempt<'a> {
    /// The context of the generation's request.
    pub context: &'a TraceContext,
    /// The generation.
    pub generation: GenerationId,
    /// The number of the attempt, from 1.
    pub number: u32,
}

impl<'a> TracedAttempt<'a> {
    /// Of a record that runs, if it is traced.
    pub(crate) fn of(record: &'a GenerationRecord) -> Option<Self> {
        let context = record.trace.as_ref()?;
        Some(Self { context, generation: record.id, number: record.attempts })
    }
}

/// Something that an attempt has done.
#[derive(Debug, Clone)]
pub struct Did {
    /// What.
    pub what: Deed,
    /// When it began.
    pub began: SystemTime,
    /// Whether it went well.
    pub well: bool,
}

/// What an attempt does that no event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It has found a saved latent to go on from.
    Resume {
        /// The stage of the latent.
        stage: Stage,
        /// Its finished steps.
        steps: usize,
    },
    /// It has saved a latent.
    SaveLatent {
        /// The stage of the latent.
        stage: Stage,
        /// Its finished steps.
        steps: usize,
    },
    /// It has encoded what was left, and signed the clip.
    Finish,
    /// It has put its outputs where they are kept.
    Publish,
}
