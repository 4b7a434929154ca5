//! What the node counts, as Prometheus reads it.
//!
//! Must not know who asks, nor clients' names: no label tells one client from another.

use crate::{app::node::Node, grpc::status};
use ltx_jobs::{GenerationRecord, State, memory};
use ltx_policy::Refusal;
use ltx_proto::v1::ErrorReason;
use ltx_types::Stage;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::fmt;

type Label = [(&'static str, &'static str); 1];
type CallLabels = [(&'static str, String); 2];

/// Counters, gauges and histograms.
pub(crate) struct Metrics {
    registry: Registry,
    queued: Gauge,
    running: Gauge,
    streams: Gauge,
    resident: Gauge,
    output_bytes: Gauge,
    upload_bytes: Gauge,
    free_bytes: Gauge,
    accepted: Counter,
    ended: Family<Label, Counter>,
    steps: Family<Label, Counter>,
    stages: Family<Label, Histogram, fn() -> Histogram>,
    seconds: Histogram,
    refusals: Family<Label, Counter>,
    calls: Family<CallLabels, Counter>,
}

/// From 10 ms to about three hours.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 21))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("ltxd"),
            queued: Gauge::default(),
            running: Gauge::default(),
            streams: Gauge::default(),
            resident: Gauge::default(),
            output_bytes: Gauge::default(),
            upload_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            accepted: Counter::default(),
            ended: Family::default(),
            steps: Family::default(),
            stages: Family::new_with_constructor(durations),
            seconds: durations(),
            refusals: Family::default(),
            calls: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("queued", "Generations that wait", self.queued.clone());
        registry.register("running", "Generations on the device", self.running.clone());
        registry.register("open_streams", "Watches and downloads that are open", self.streams.clone());
        registry.register("resident_bytes", "Resident memory of the process", self.resident.clone());
        registry.register("output_bytes", "Bytes of kept outputs", self.output_bytes.clone());
        registry.register("upload_bytes", "Bytes of kept uploads", self.upload_bytes.clone());
        registry.register("free_bytes", "Bytes free on the data folder's disk", self.free_bytes.clone());
        registry.register("accepted", "Generations accepted since the start", self.accepted.clone());
        registry.register("ended", "Generations that ended since the start, by state", self.ended.clone());
        registry.register("steps", "Steps finished since the start, by stage", self.steps.clone());
        registry.register("stage_seconds", "Seconds of the stages of finished generations", self.stages.clone());
        registry.register("generation_seconds", "Seconds of finished generations", self.seconds.clone());
        registry.register("refusals", "Refusals by policy and by the node's limits, by reason", self.refusals.clone());
        registry.register("grpc_calls", "gRPC calls that ended, by method and code", self.calls.clone());
    }

    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        for ground in refusal.grounds() {
            self.refusals.get_or_create(&[("reason", ground.reason.as_str())]).inc();
        }
    }

    /// A limit of the node stood against a call.
    pub(crate) fn limited(&self, reason: ErrorReason) {
        self.refusals.get_or_create(&[("reason", status::name(reason))]).inc();
    }

    pub(crate) fn stepped(&self, stage: Stage) {
        self.steps.get_or_create(&[("stage", stage.label())]).inc();
    }

    pub(crate) fn ended(&self, record: &GenerationRecord) {
        self.ended.get_or_create(&[("state", record.state.as_str())]).inc();
        let Some(outcome) = record.outcome.as_ref().filter(|_| record.state == State::Done) else { return };
        self.seconds.observe(outcome.measured_seconds);
        for time in &outcome.stages {
            self.stages.get_or_create(&[("stage", time.stage.label())]).observe(time.seconds);
        }
    }

    pub(crate) fn called(&self, method: &str, code: tonic::Code) {
        let labels = [("method", method.to_owned()), ("code", format!("{code:?}"))];
        self.calls.get_or_create(&labels).inc();
    }

    /// The text of `/metrics`. Asks the jobs how they stand.
    pub(crate) fn text(&self, node: &Node) -> Result<String, fmt::Error> {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match node.jobs().status() {
            Ok(status) => {
                self.queued.set(gauge(status.queued as u64));
                self.running.set(i64::from(status.running.is_some()));
                self.output_bytes.set(gauge(status.output_bytes));
                self.upload_bytes.set(gauge(status.upload_bytes));
                self.free_bytes.set(gauge(status.free_bytes));
            }
            Err(error) => tracing::error!(%error, "the jobs do not say how they stand"),
        }
        self.streams.set(gauge(node.streams.count() as u64));
        self.resident.set(gauge(memory::resident_bytes().unwrap_or(0)));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
