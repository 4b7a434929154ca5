//! What the node counts, as Prometheus reads it.
//!
//! Must not know who asks, nor clients' names: no label tells one client from another. Nor does it ask anybody: what it does
//! not count itself comes as [`Gauges`].

use super::Problem;
use ltx_jobs::{CacheStatus, Finished, ServiceStatus, State, Status, TraceCounts, memory};
use ltx_policy::Refusal;
use ltx_types::Stage;
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::{fmt, sync::atomic::Ordering};

type Label = [(&'static str, &'static str); 1];
type CallLabels = [(&'static str, String); 2];

/// What is measured at the moment of asking.
pub(crate) struct Gauges {
    /// How the jobs stand; `None` leaves what was told last.
    pub(crate) jobs: Option<Status>,
    /// How the cache stands.
    pub(crate) cache: CacheStatus,
    /// Watches and downloads that are open.
    pub(crate) open_streams: usize,
    /// Spans so far, where requests are traced.
    pub(crate) traces: Option<TraceCounts>,
}

/// Counters, gauges and histograms.
pub(crate) struct Metrics {
    registry: Registry,
    /// What only a node of a service tells.
    service: ServiceMetrics,
    /// What only a node tells that traces.
    traces: TraceMetrics,
    queued: Gauge,
    running: Gauge,
    streams: Gauge,
    resident: Gauge,
    output_bytes: Gauge,
    upload_bytes: Gauge,
    free_bytes: Gauge,
    trouble: Gauge,
    cache_bytes: Gauge,
    cache_memory_bytes: Gauge,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_damaged: Counter,
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

/// How a service stands, as the node sees it: the same from every node of it.
struct ServiceMetrics {
    registry: Registry,
    connected: Gauge,
    nodes: Gauge,
    workers: Gauge,
    queued: Gauge,
    running: Gauge,
}

impl ServiceMetrics {
    fn new() -> Self {
        let (connected, nodes, workers) = (Gauge::default(), Gauge::default(), Gauge::default());
        let (queued, running) = (Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("ltxd_service");
        let told = "1 while what the nodes of the service share can be reached from this one";
        registry.register("connected", told, connected.clone());
        registry.register("nodes", "Nodes of the service that live, this one included", nodes.clone());
        registry.register("workers", "Nodes of the service that compute", workers.clone());
        registry.register("queued", "Generations of the service that wait", queued.clone());
        registry.register("running", "Generations of the service that run", running.clone());
        Self { registry, connected, nodes, workers, queued, running }
    }

    fn tell(&self, text: &mut String, service: ServiceStatus) -> fmt::Result {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.connected.set(i64::from(service.connected));
        self.nodes.set(gauge(service.nodes));
        self.workers.set(gauge(service.workers));
        self.queued.set(gauge(service.queued));
        self.running.set(gauge(service.running));
        encode_registry(text, &self.registry)
    }
}

/// What became of spans.
struct TraceMetrics {
    registry: Registry,
    sent: Counter,
    dropped: Counter,
}

impl TraceMetrics {
    fn new() -> Self {
        let (sent, dropped) = (Counter::default(), Counter::default());
        let mut registry = Registry::with_prefix("ltxd_trace_spans");
        registry.register("sent", "Spans that the collector has taken since the start", sent.clone());
        registry.register("dropped", "Spans that no collector took, dropped since the start", dropped.clone());
        Self { registry, sent, dropped }
    }

    fn tell(&self, text: &mut String, TraceCounts { sent, dropped }: TraceCounts) -> fmt::Result {
        self.sent.inner().store(sent, Ordering::Relaxed);
        self.dropped.inner().store(dropped, Ordering::Relaxed);
        encode_registry(text, &self.registry)
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("ltxd"),
            service: ServiceMetrics::new(),
            traces: TraceMetrics::new(),
            queued: Gauge::default(),
            running: Gauge::default(),
            streams: Gauge::default(),
            resident: Gauge::default(),
            output_bytes: Gauge::default(),
            upload_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            trouble: Gauge::default(),
            cache_bytes: Gauge::default(),
            cache_memory_bytes: Gauge::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            cache_damaged: Counter::default(),
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
        let trouble = "1 once something has failed where nobody waited for an answer, since the start";
        registry.register("trouble", trouble, self.trouble.clone());
        registry.register("cache_bytes", "Bytes of kept contexts in the data folder", self.cache_bytes.clone());
        registry.register("cache_memory_bytes", "Bytes of kept contexts in memory", self.cache_memory_bytes.clone());
        registry.register("cache_hits", "Contexts taken from the cache since the start", self.cache_hits.clone());
        let misses = "Contexts that were not in the cache since the start";
        registry.register("cache_misses", misses, self.cache_misses.clone());
        let damaged = "Kept contexts found damaged and dropped since the start";
        registry.register("cache_damaged", damaged, self.cache_damaged.clone());
        registry.register("accepted", "Generations accepted since the start", self.accepted.clone());
        registry.register("ended", "Generations that ended since the start, by state", self.ended.clone());
        registry.register("steps", "Steps finished since the start, by stage", self.steps.clone());
        registry.register("stage_seconds", "Seconds of the stages of finished generations", self.stages.clone());
        registry.register("generation_seconds", "Seconds of finished generations", self.seconds.clone());
        registry.register("refusals", "Refusals by policy and by the node's limits, by reason", self.refusals.clone());
        registry.register("grpc_calls", "gRPC calls that ended, by method and code", self.calls.clone());
    }

    /// Counts a generation that was accepted.
    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    /// Counts the grounds of a refusal by policy.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        for ground in refusal.grounds() {
            self.refusals.get_or_create(&[("reason", ground.reason.as_str())]).inc();
        }
    }

    /// Counts a problem if it is one of the node's limits.
    pub(crate) fn limited(&self, problem: &Problem) {
        if let Some(limit) = problem.limit() {
            self.refusals.get_or_create(&[("reason", limit.as_str())]).inc();
        }
    }

    /// Counts a finished step.
    pub(crate) fn stepped(&self, stage: Stage) {
        self.steps.get_or_create(&[("stage", stage.label())]).inc();
    }

    /// Counts a generation that ended; `outcome` is what came of it.
    pub(crate) fn ended(&self, state: State, outcome: Option<&Finished>) {
        self.ended.get_or_create(&[("state", state.as_str())]).inc();
        let Some(outcome) = outcome else { return };
        self.seconds.observe(outcome.measured_seconds);
        for time in &outcome.stages {
            self.stages.get_or_create(&[("stage", time.stage.label())]).observe(time.seconds);
        }
    }

    /// Counts a gRPC call that ended with a code.
    pub(crate) fn called(&self, method: &str, code: &dyn fmt::Debug) {
        let labels = [("method", method.to_owned()), ("code", format!("{code:?}"))];
        self.calls.get_or_create(&labels).inc();
    }

    /// Everything as OpenMetrics text.
    ///
    /// # Errors
    /// The text cannot be written.
    pub(crate) fn text(&self, gauges: &Gauges) -> Result<String, fmt::Error> {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        if let Some(jobs) = &gauges.jobs {
            self.queued.set(gauge(jobs.queued as u64));
            self.running.set(i64::from(jobs.running.is_some()));
            self.output_bytes.set(gauge(jobs.output_bytes));
            self.upload_bytes.set(gauge(jobs.upload_bytes));
            self.free_bytes.set(gauge(jobs.free_bytes));
            self.trouble.set(i64::from(jobs.trouble.is_some()));
        }
        let CacheStatus { hits, misses, damaged, bytes, memory_bytes } = gauges.cache;
        self.cache_bytes.set(gauge(bytes));
        self.cache_memory_bytes.set(gauge(memory_bytes));
        let counted = [(&self.cache_hits, hits), (&self.cache_misses, misses), (&self.cache_damaged, damaged)];
        counted.into_iter().for_each(|(counter, count)| counter.inner().store(count, Ordering::Relaxed));
        self.streams.set(gauge(gauges.open_streams as u64));
        self.resident.set(gauge(memory::resident_bytes().unwrap_or(0)));
        let mut text = String::new();
        let service = gauges.jobs.as_ref().and_then(|jobs| jobs.service);
        if let Some(service) = service {
            self.service.tell(&mut text, service)?;
        }
        if let Some(traces) = gauges.traces {
            self.traces.tell(&mut text, traces)?;
        }
        encode_registry(&mut text, &self.registry)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
