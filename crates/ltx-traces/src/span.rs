//! One span, as it is sent.
//!
//! Must not know what it is of.

use ltx_jobs::TraceContext;
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::{
    borrow::Cow,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most events of a span; more are counted.
const EVENTS: usize = 1024;

/// A moment of the wall's clock.
pub(crate) fn at_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A span that is being put together.
pub(crate) struct Span(SpanData);

impl Span {
    /// Of a trace, beneath a parent.
    pub(crate) fn new(context: &TraceContext, parent: SpanId, id: SpanId, name: impl Into<Cow<'static, str>>) -> Self {
        let (trace, flags) = (TraceId::from_bytes(context.trace), TraceFlags::SAMPLED);
        let state = TraceState::from_str(&context.state).unwrap_or_default();
        Self(SpanData {
            span_context: SpanContext::new(trace, id, flags, false, state),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: UNIX_EPOCH,
            end_time: UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("ltxd")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        })
    }

    /// From then to then; clocks of nodes may differ, and no span ends before it begins.
    pub(crate) fn during(mut self, began: SystemTime, ended: SystemTime) -> Self {
        (self.0.start_time, self.0.end_time) = (began, ended.max(began));
        self
    }

    /// Says something of it.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.attributes.push(KeyValue::new(name, value));
        self
    }

    /// Says something of it where there is something to say.
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// It serves a caller, whose span may be in another process.
    pub(crate) fn of_a_server(mut self, remote: bool) -> Self {
        (self.0.span_kind, self.0.parent_span_is_remote) = (SpanKind::Server, remote);
        self
    }

    /// What happened within it.
    pub(crate) fn with_events(mut self, events: Events) -> Self {
        self.0.events.events = events.kept;
        self.0.events.dropped_count = events.dropped;
        self
    }

    /// It went wrong: a word, never a sentence that could hold what a client wrote.
    pub(crate) fn failed(mut self, word: impl Into<Cow<'static, str>>) -> Self {
        self.0.status = Status::Error { description: word.into() };
        self
    }

    /// The same, if it did.
    pub(crate) fn failed_if(self, failed: bool, word: &'static str) -> Self {
        if failed { self.failed(word) } else { self }
    }

    pub(crate) fn done(self) -> SpanData {
        self.0
    }
}

/// What happened within a span.
#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: Vec<Event>,
    dropped: u32,
}

impl Events {
    /// One more, unless there are too many.
    pub(crate) fn push(&mut self, name: &'static str, at: SystemTime, attributes: Vec<KeyValue>) {
        if self.kept.len() == EVENTS {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.kept.push(Event::new(name, at, attributes, 0));
        }
    }
}
