//! How a service grows: clips a second by one worker to sixteen, how long a submission and a look take as the queue grows, and whom a
//! client with ten thousand clips makes wait. Needs `nats-server`; everything runs here, generations are the fake's, which sleeps.
//!
//! `cargo bench -p ltx-cluster --bench service [-- throughput | depth [COUNT] | turns]`

#[path = "../tests/common/mod.rs"]
mod common;

use common::{FACE, Nats, Node, Plan, WORKER, client, eventually, node, submit};
use ltx_jobs::{EventKind, GenerationId, State};
use ltx_testkit::fake::FakeOptions;
use parking_lot::Mutex;
use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a step of the fake takes: a clip has eight, and its decoding two more.
const STEP: Duration = Duration::from_millis(100);
/// Clips of every worker that are waited for before and while time is taken.
const BEFORE: usize = 3;
const TIMED: usize = 12;
/// Calls of which the slowest hundredth is told.
const CALLS: usize = 2000;
/// Clips that one client has waiting.
const MANY: usize = 10_000;

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if asked("throughput") {
        throughput();
    }
    if asked("depth") {
        depth(words.iter().find_map(|word| word.parse().ok()).unwrap_or(100_000));
    }
    if asked("turns") {
        turns();
    }
}

/// Everything that one measurement needs; its nodes share nothing but the servers.
struct Service {
    nats: Nats,
    root: tempfile::TempDir,
    face: Node,
    done: Arc<AtomicUsize>,
}

impl Service {
    fn new() -> Self {
        let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
        let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
        Self { nats, root, face, done: Arc::default() }
    }

    /// So many workers, whose finished clips are counted.
    fn workers(&self, count: usize) -> Vec<Node> {
        let fake = FakeOptions { step_time: STEP, ..FakeOptions::default() };
        let plan = Plan { fake, ..Plan::of(WORKER) };
        let workers = (0..count).map(|at| node(&self.nats.address, self.root.path(), &format!("worker-{at}"), &plan));
        let workers: Vec<_> = workers.collect();
        for worker in &workers {
            let done = Arc::clone(&self.done);
            worker.jobs.listen(move |news| {
                if news.event.kind == EventKind::Done {
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        workers
    }

    /// Submits so many clips of one client, by several threads.
    fn fill(&self, owner: &str, count: usize) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        submit(&self.face.jobs, owner, 0);
                    }
                });
            }
        });
    }

    /// When so many clips were done.
    fn at(&self, count: usize) -> Instant {
        eventually("so many clips are done", || self.done.load(Ordering::SeqCst) >= count);
        Instant::now()
    }
}

fn throughput() {
    println!("workers | clips a second | of one worker's, times their number");
    let mut one = 0.0;
    for count in [1, 2, 4, 8, 16] {
        let service = Service::new();
        for owner in 0..4 {
            service.fill(&format!("client-{owner}"), count * (BEFORE + TIMED + 2) / 4 + 1);
        }
        let workers = service.workers(count);
        let (first, last) = (service.at(count * BEFORE), service.at(count * (BEFORE + TIMED)));
        let rate = (count * TIMED) as f64 / (last - first).as_secs_f64();
        one = if count == 1 { rate } else { one };
        println!("{count:7} | {rate:14.3} | {:.3}", rate / (one * count as f64));
        drop(workers);
    }
}

/// Milliseconds of the call at which 50 % and 99 % of them are quicker.
fn percentiles(mut call: impl FnMut(usize)) -> [f64; 2] {
    let timed = |at| {
        let began = Instant::now();
        call(at);
        began.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..CALLS).map(timed).collect();
    times.sort_by(f64::total_cmp);
    [times[CALLS / 2], times[CALLS * 99 / 100]]
}

fn depth(deep: usize) {
    println!("waiting | create, median and 99 % (ms) | get (ms)");
    let service = Service::new();
    let mut waiting = 0;
    for depth in [100, deep] {
        service.fill("many", depth - waiting);
        let mut ids: Vec<GenerationId> = Vec::new();
        let create = percentiles(|_| ids.push(submit(&service.face.jobs, "other", 0)));
        let get = percentiles(|at| _ = service.face.jobs.get(&client("other"), ids[at]).unwrap());
        println!("{depth:7} | {:.2} {:.2} | {:.2} {:.2}", create[0], create[1], get[0], get[1]);
        waiting = depth + CALLS;
    }
}

fn turns() {
    let service = Service::new();
    service.fill("many", MANY);
    let began = Arc::new(Mutex::new(Vec::new()));
    let count = 2;
    let workers = service.workers(count);
    for worker in &workers {
        let began = Arc::clone(&began);
        worker.jobs.listen(move |news| {
            if matches!(news.event.kind, EventKind::Running { .. }) {
                began.lock().push((news.client.as_str().to_owned(), news.generation));
            }
        });
    }
    service.at(2 * count);
    let mut most = 0;
    for round in 0..8 {
        let before = began.lock().len();
        let id = submit(&service.face.jobs, &format!("single-{round}"), 1);
        eventually("it runs", || {
            service.face.jobs.get(&client(&format!("single-{round}")), id).unwrap().state != State::Queued
        });
        let at = began.lock().iter().position(|(_, known)| *known == id);
        most = most.max(at.unwrap_or(before).saturating_sub(before));
    }
    println!(
        "{count} workers, {MANY} clips of one client: at most {most} of them begun between a single client's asking and its turn"
    );
}
