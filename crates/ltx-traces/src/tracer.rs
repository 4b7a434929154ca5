//! Spans of what the jobs tell: of requests, and of generations from their first event to their last.
//!
//! Must not know how spans are sent. What a node remembers is the attempt that it makes itself, since it makes one at a time: all else
//! is in what is told, so that any node can end what another began.

use crate::{
    TracesConfig, attributes as says,
    ids::{self, drawn},
    sender::{Sender, TIMEOUT},
    span::{Events, Span, at_ms},
};
use ltx_jobs::{
    Before, Deed, Did, EventKind, GenerationId, News, State, TraceContext, TraceCounts, Traced, TracedAttempt,
    TracedRequest, Tracer,
};
use ltx_types::{FieldError, Stage};
use opentelemetry::{KeyValue, trace::SpanId};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use parking_lot::Mutex;
use std::{
    panic::catch_unwind,
    time::{Duration, SystemTime},
};

/// Makes spans and has them sent.
pub struct Traces {
    config: TracesConfig,
    node: String,
    sender: Sender,
    /// The attempt that this node makes.
    running: Mutex<Option<Running>>,
}

/// An attempt that this node makes.
struct Running {
    generation: GenerationId,
    number: u32,
    resumed: Option<(Stage, usize)>,
    stage: Option<OpenStage>,
}

/// The stage that it is in.
struct OpenStage {
    stage: Stage,
    began: SystemTime,
    last: SystemTime,
    done: usize,
    total: usize,
    steps: Events,
}

/// A generation whose news came, and when.
struct Told<'a> {
    generation: GenerationId,
    context: &'a TraceContext,
    before: &'a Before,
    at: SystemTime,
}

impl Traces {
    /// From now on spans are sent.
    ///
    /// # Errors
    /// The endpoint cannot be used, or no thread is to be had.
    pub fn start(config: TracesConfig, node: &str) -> Result<Self, FieldError> {
        let refused = |rule: String| FieldError::new("traces.endpoint", &config.endpoint, rule);
        // The client of HTTP panics where it cannot be made, which depends on the machine's certificates.
        let exporter = catch_unwind(|| {
            let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
            let exporter = exporter.with_endpoint(&config.endpoint).with_timeout(TIMEOUT);
            exporter.with_headers(config.headers.clone()).build()
        });
        let exporter = exporter.map_err(|_| refused("needs a client of HTTP, which cannot be made here".to_owned()))?;
        let mut exporter = exporter.map_err(|error| refused(format!("cannot be used: {error}")))?;
        let attributes = config.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", node.to_owned()),
            ])
            .with_attributes(attributes);
        exporter.set_resource(&resource.build());
        let sender = Sender::start(exporter, config.endpoint.clone());
        let sender = sender.map_err(|error| refused(format!("cannot be sent to: {error}")))?;
        Ok(Self { node: node.to_owned(), sender, running: Mutex::new(None), config })
    }

    /// Sends what waits, and takes no more. Returns whether that was done in time; if not, the rest goes with the process.
    pub fn end(&self, within: Duration) -> bool {
        self.sender.end(within)
    }

    fn send(&self, span: Span) {
        self.sender.send(span.done());
    }

    /// It waited, from the event before until now.
    fn waited(&self, told: &Told<'_>, attempt: u32) {
        let (id, before) = (told.id(&["queue", &attempt.to_string()]), told.before);
        let since = before.told_ms.or((before.attempts == 0).then_some(before.created_ms));
        let span = Span::new(told.context, told.id(&["generation"]), id, "queue")
            .during(since.map_or(told.at, at_ms), told.at)
            .with(says::GENERATION, told.generation.to_string())
            .with(says::ATTEMPT, i64::from(attempt));
        self.send(span);
    }

    /// The attempt that ran is over: this node's own, or one whose node died.
    fn attempted(&self, told: &Told<'_>, end: &'static str) {
        let (Told { generation, context, before, at }, number) = (told, told.before.attempts);
        let own = self.running.lock().take_if(|own| own.generation == *generation && own.number == number);
        let id = attempt_id(context, *generation, number);
        let (mut resumed, died) = (None, own.is_none());
        if let Some(own) = own {
            resumed = own.resumed;
            if let Some(open) = own.stage {
                self.send(open.span(context, *generation, number));
            }
        }
        let end = if died { "died" } else { end };
        // Where it is not known when it began, the last event before it was lost is what is known.
        let began = before.attempt_ms.or(before.told_ms).map_or(*at, at_ms);
        let node = before.worker.clone().unwrap_or_else(|| self.node.clone());
        let asked = &before.asked;
        let span = Span::new(context, told.id(&["generation"]), id, "attempt")
            .during(began, *at)
            .with(says::GENERATION, generation.to_string())
            .with(says::ATTEMPT, i64::from(number))
            .with(says::NODE, node)
            .with(says::MODEL, asked.model.clone())
            .with(says::METHOD, asked.method.as_str())
            .with(says::WIDTH, whole(asked.width))
            .with(says::HEIGHT, whole(asked.height))
            .with(says::FRAMES, whole(asked.frames))
            .with(says::RESUMED, resumed.is_some())
            .with_some(says::RESUMED_STAGE, resumed.map(|(stage, _)| name_of(stage)))
            .with_some(says::RESUMED_STEP, resumed.map(|(_, steps)| whole(steps)))
            .with(says::END, end)
            .failed_if(died || end == "failed", end);
        self.send(span);
    }

    /// The generation is over.
    fn ended(&self, told: &Told<'_>, state: State, reason: Option<&'static str>) {
        let Told { generation, context, before, at } = told;
        let attempts = before.attempts;
        match before.state {
            Some(State::Running) => self.attempted(told, word(state)),
            _ => self.waited(told, attempts + 1),
        }
        let asked = &before.asked;
        let span = Span::new(context, SpanId::from_bytes(context.span), told.id(&["generation"]), "generation")
            .during(at_ms(before.created_ms), *at)
            .with(says::GENERATION, generation.to_string())
            .with(says::MODEL, asked.model.clone())
            .with(says::METHOD, asked.method.as_str())
            .with(says::WIDTH, whole(asked.width))
            .with(says::HEIGHT, whole(asked.height))
            .with(says::FRAMES, whole(asked.frames))
            .with(says::ATTEMPTS, i64::from(attempts))
            .with(says::END, word(state))
            .with_some(says::ERROR, reason);
        self.send(match reason {
            Some(reason) => span.failed(reason),
            None => span,
        });
    }

    /// A step of the attempt that this node makes.
    fn stepped(
        &self,
        generation: GenerationId,
        context: &TraceContext,
        at: SystemTime,
        progress: (Stage, usize, usize),
    ) {
        let (stage, done, total) = progress;
        let mut running = self.running.lock();
        let Some(own) = running.as_mut().filter(|own| own.generation == generation) else { return };
        let number = own.number;
        if let Some(other) = own.stage.take_if(|open| open.stage != stage) {
            self.send(other.span(context, generation, number));
        }
        // The report with which a stage opens tells of no step that this attempt has made.
        let opens = own.stage.is_none();
        let open = own.stage.get_or_insert_with(|| OpenStage {
            stage,
            began: at,
            last: at,
            done,
            total,
            steps: Events::default(),
        });
        (open.last, open.done, open.total) = (at, done, total);
        if !opens && matches!(stage, Stage::Denoising | Stage::Refining) {
            open.steps.push("step", at, vec![KeyValue::new(says::STEP, whole(done))]);
        }
        // At once: what a worker that dies has not handed over is lost.
        if done >= total
            && let Some(open) = own.stage.take()
        {
            self.send(open.span(context, generation, number));
        }
    }
}

impl Tracer for Traces {
    fn begin(&self, caller: Option<&TraceContext>) -> Option<TraceContext> {
        let (trace, span) = drawn().ok()?;
        let context = match caller {
            Some(caller) => caller.at(span),
            None => TraceContext { trace, span, sampled: true, state: String::new() },
        };
        let sampled = self.config.sampler.samples(context.trace, caller);
        sampled.then_some(TraceContext { sampled, ..context })
    }

    fn answered(&self, request: &TracedRequest<'_>) {
        let TracedRequest { context, caller, call, client, began, judged, code, reason, generations, existed } =
            *request;
        let own = SpanId::from_bytes(context.span);
        if let Some(judged) = judged {
            let id = ids::of_request(context, &["admission"]);
            self.send(Span::new(context, own, id, "admission").during(began, judged));
        }
        let (service, method) = call.split_once('/').unwrap_or((call, ""));
        let parent = caller.map_or(SpanId::INVALID, |caller| SpanId::from_bytes(caller.span));
        let ids: Vec<_> = generations.iter().map(ToString::to_string).collect();
        let span = Span::new(context, parent, own, call)
            .of_a_server(caller.is_some())
            .during(began, SystemTime::now())
            .with("rpc.system", "grpc")
            .with("rpc.service", service)
            .with("rpc.method", method)
            .with_some("rpc.grpc.status_code", code.map(i64::from))
            .with(says::CLIENT, client.to_owned())
            .with(says::NODE, self.node.clone())
            .with(says::GENERATIONS, ids.join(","))
            .with(says::EXISTED, existed)
            .with_some(says::ERROR, reason.map(str::to_owned));
        self.send(match (code, reason) {
            (Some(0), _) => span,
            (None, _) => span.failed("not waited for"),
            (Some(_), reason) => span.failed(reason.unwrap_or("unknown").to_owned()),
        });
    }

    fn news(&self, news: &News<'_>, traced: &Traced) {
        let (generation, at) = (news.generation, at_ms(news.event.at_ms));
        if let EventKind::Progress { stage, done, total, .. } = news.event.kind {
            return self.stepped(generation, &traced.context, at, (stage, done, total));
        }
        let Some(before) = traced.before.as_deref() else { return };
        let told = Told { generation, context: &traced.context, before, at };
        match &news.event.kind {
            EventKind::Queued { .. } if before.state == Some(State::Running) => self.attempted(&told, "stopped"),
            EventKind::Running { attempt } => {
                // One that was there is another node's by now, which tells of it.
                let own = Running { generation, number: *attempt, resumed: None, stage: None };
                *self.running.lock() = Some(own);
                self.waited(&told, *attempt);
            }
            EventKind::Done => self.ended(&told, State::Done, None),
            EventKind::Failed(failure) => self.ended(&told, State::Failed, Some(failure.code.as_str())),
            EventKind::Cancelled => self.ended(&told, State::Cancelled, None),
            EventKind::Queued { .. } | EventKind::Progress { .. } | EventKind::Cancelling => {}
        }
    }

    fn did(&self, attempt: &TracedAttempt<'_>, did: &Did) {
        let TracedAttempt { context, generation, number } = *attempt;
        let parent = attempt_id(context, generation, number);
        let part = |name: &'static str, parts: &[&str]| {
            let number = number.to_string();
            let id = ids::of(context, generation, &[&["attempt", &number, name], parts].concat());
            Span::new(context, parent, id, name)
                .during(did.began, SystemTime::now())
                .with(says::GENERATION, generation.to_string())
                .failed_if(!did.well, name)
        };
        match did.what {
            Deed::Resume { stage, steps } => {
                if let Some(own) = self.running.lock().as_mut().filter(|own| own.generation == generation) {
                    own.resumed = Some((stage, steps));
                }
            }
            Deed::SaveLatent { stage, steps } => {
                let span = part("save_latent", &[name_of(stage), &steps.to_string()]);
                self.send(span.with(says::STAGE, name_of(stage)).with(says::STEP, whole(steps)));
            }
            Deed::Finish => self.send(part("finishing", &[])),
            Deed::Publish => self.send(part("publishing", &[])),
        }
    }

    fn counts(&self) -> TraceCounts {
        self.sender.counts()
    }
}

impl Told<'_> {
    fn id(&self, parts: &[&str]) -> SpanId {
        ids::of(self.context, self.generation, parts)
    }
}

impl OpenStage {
    fn span(self, context: &TraceContext, generation: GenerationId, attempt: u32) -> Span {
        let (name, number) = (name_of(self.stage), attempt.to_string());
        let id = ids::of(context, generation, &["attempt", &number, "stage", name]);
        let whole_stage = self.done >= self.total;
        Span::new(context, attempt_id(context, generation, attempt), id, name)
            .during(self.began, self.last)
            .with(says::GENERATION, generation.to_string())
            .with(says::STEPS, whole(self.total))
            .with(says::STEPS_DONE, whole(self.done))
            .with_events(self.steps)
            .failed_if(!whole_stage, "not finished")
    }
}

fn attempt_id(context: &TraceContext, generation: GenerationId, number: u32) -> SpanId {
    ids::of(context, generation, &["attempt", &number.to_string()])
}

/// A number as attributes have them.
fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn word(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::TextEncoding => "text_encoding",
        Stage::ImageEncoding => "image_encoding",
        Stage::Denoising => "denoising",
        Stage::Upsampling => "upsampling",
        Stage::Refining => "refining",
        Stage::Decoding => "decoding",
    }
}
