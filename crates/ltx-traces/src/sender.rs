//! What stands between those who make spans and the collector: a bounded queue, and a thread that sends. Nobody who makes a span
//! waits, and what finds no room is counted.
//!
//! Must not know what spans are of.

use ltx_jobs::TraceCounts;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, time::timeout};

/// Spans that wait, at most.
const QUEUE: usize = 4096;
/// Spans that are sent at once, at most.
const BATCH: usize = 512;
/// How long the first of a batch waits for others.
const DELAY: Duration = Duration::from_millis(500);
/// The longest that a collector may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a batch is sent again; twice as long before each next time.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a batch is sent before it is dropped.
const TRIES: u32 = 5;

#[derive(Default)]
struct Waiting {
    spans: VecDeque<SpanData>,
    /// When the thread has to be done.
    end: Option<Instant>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    moved: Condvar,
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// Takes spans, and sends them on a thread of its own.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    /// Closed when the thread ends; nothing is ever sent.
    ended: Mutex<Option<Receiver<()>>>,
}

impl Sender {
    /// # Errors
    /// There is no thread, or no runtime, to be had.
    pub(crate) fn start(exporter: SpanExporter, endpoint: String) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (until_it_ends, ended) = channel();
        let link = Link { shared: Arc::clone(&shared), exporter, runtime, endpoint, broken: false };
        std::thread::Builder::new().name("traces".into()).spawn(move || {
            let _until_it_ends = until_it_ends;
            link.run();
        })?;
        Ok(Self { shared, ended: Mutex::new(Some(ended)) })
    }

    /// Hands a span over, or counts it as dropped where too many wait.
    pub(crate) fn send(&self, span: SpanData) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.spans.len() >= QUEUE || waiting.end.is_some() {
            drop(waiting);
            self.shared.drop_spans(1);
        } else {
            waiting.spans.push_back(span);
            self.shared.moved.notify_all();
        }
    }

    pub(crate) fn counts(&self) -> TraceCounts {
        let Shared { sent, dropped, .. } = &*self.shared;
        TraceCounts { sent: sent.load(Ordering::Relaxed), dropped: dropped.load(Ordering::Relaxed) }
    }

    /// Sends what waits and takes no more. Returns whether that was done in time; if not, the rest goes with the process.
    pub(crate) fn end(&self, within: Duration) -> bool {
        self.shared.end(Instant::now() + within);
        let ended = self.ended.lock().take();
        ended.is_none_or(|ended| ended.recv_timeout(within) != Err(std::sync::mpsc::RecvTimeoutError::Timeout))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.end(Instant::now());
    }
}

impl Shared {
    fn end(&self, by: Instant) {
        let mut waiting = self.waiting.lock();
        waiting.end = Some(waiting.end.map_or(by, |earlier| earlier.min(by)));
        self.moved.notify_all();
    }

    fn drop_spans(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The next batch, once there is one; empty when nothing more comes.
    fn next(&self) -> Vec<SpanData> {
        let mut waiting = self.waiting.lock();
        while waiting.spans.is_empty() && waiting.end.is_none() {
            self.moved.wait(&mut waiting);
        }
        let until = Instant::now() + DELAY;
        while waiting.spans.len() < BATCH && waiting.end.is_none() {
            if self.moved.wait_until(&mut waiting, until).timed_out() {
                break;
            }
        }
        let count = waiting.spans.len().min(BATCH);
        waiting.spans.drain(..count).collect()
    }

    /// When the thread has to be done, if it has to.
    fn end_by(&self) -> Option<Instant> {
        self.waiting.lock().end
    }

    /// A pause that an end cuts short; whether nothing has to end.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut waiting = self.waiting.lock();
        while waiting.end.is_none() {
            if self.moved.wait_until(&mut waiting, until).timed_out() {
                return true;
            }
        }
        false
    }
}

/// The thread's side.
struct Link {
    shared: Arc<Shared>,
    exporter: SpanExporter,
    runtime: Runtime,
    endpoint: String,
    /// Whether the last try failed: that is said once.
    broken: bool,
}

impl Link {
    fn run(mut self) {
        loop {
            let batch = self.shared.next();
            if batch.is_empty() {
                return;
            }
            self.deliver(batch);
        }
    }

    /// Sends a batch, again and again while that may help; drops it then.
    fn deliver(&mut self, batch: Vec<SpanData>) {
        let (count, mut pause) = (batch.len(), PAUSE);
        for attempt in 1..=TRIES {
            let Err(why) = self.send(batch.clone()) else {
                self.shared.sent.fetch_add(count as u64, Ordering::Relaxed);
                self.says_works();
                return;
            };
            let again = attempt < TRIES && may_pass(&why);
            self.says_broken(&why);
            if !again || !self.shared.pause(pause) {
                break;
            }
            pause *= 2;
        }
        self.shared.drop_spans(count);
    }

    fn send(&self, batch: Vec<SpanData>) -> Result<(), String> {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let within = self.shared.end_by().map_or(TIMEOUT, |end| left(end).min(TIMEOUT));
        let sent = self.runtime.block_on(async { timeout(within, self.exporter.export(batch)).await });
        match sent {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {within:?}")),
        }
    }

    fn says_broken(&mut self, why: &str) {
        if !std::mem::replace(&mut self.broken, true) {
            let why: String = why.chars().take(300).collect();
            tracing::warn!(
                endpoint = self.endpoint,
                why,
                "spans cannot be sent; up to {QUEUE} wait, others are dropped and counted; this is said once until they can be sent again"
            );
        }
    }

    fn says_works(&mut self) {
        if std::mem::replace(&mut self.broken, false) {
            let dropped = self.shared.dropped.load(Ordering::Relaxed);
            tracing::info!(endpoint = self.endpoint, dropped, "spans are sent again");
        }
    }
}

/// Whether another try may help. Only a collector that answered with a status can have refused for good; the exporter tells that in
/// the words of its HTTP client.
fn may_pass(why: &str) -> bool {
    let status = why.split_once("kind: Status(").and_then(|(_, rest)| rest.get(..3)?.parse::<u16>().ok());
    status.is_none_or(|status| matches!(status, 408 | 429 | 502..=504))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_collector_refuses_for_good_is_not_sent_again() {
        assert!(may_pass("no answer within 10s") && may_pass("error sending request"));
        for (status, again) in [(400, false), (401, false), (404, false), (500, false), (429, true), (503, true)] {
            let why =
                format!("Operation failed: reqwest::Error {{ kind: Status({status}, None), url: \"http://c/\" }}");
            assert_eq!(may_pass(&why), again, "{status}");
        }
    }
}
