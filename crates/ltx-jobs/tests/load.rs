//! Two thousand queued generations and five hundred watchers on one node.
//!
//! A measurement, not a promise about this machine: it prints figures, and asserts what does not depend on speed.

mod common;

use common::{client, millis, open, submit};
use ltx_jobs::{GenerationId, Jobs, Watched};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const WATCHERS: usize = 500;
const JOBS: u64 = 2000;

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<f64>().unwrap() / 1024.0
}

/// Median and 99th percentile of `get`.
fn latency(jobs: &Jobs, ids: &[GenerationId], times: usize) -> (Duration, Duration) {
    let once = |i: usize| {
        let began = Instant::now();
        jobs.get(&client("a"), ids[i * 7919 % ids.len()]).unwrap();
        std::thread::sleep(Duration::from_micros(200));
        began.elapsed() - Duration::from_micros(200)
    };
    let mut all: Vec<_> = (0..times).map(once).collect();
    all.sort();
    (all[times / 2], all[times * 99 / 100])
}

#[test]
#[ignore = "a measurement: minutes"]
fn five_hundred_watchers_and_two_thousand_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), millis(2));
    let first = submit(&jobs, "a", 1);
    common::ended(&jobs, "a", first);
    let (idle_median, idle_p99) = latency(&jobs, &[first], 2000);
    let idle_mb = resident();

    let began = Instant::now();
    let ids: Vec<_> = (0..JOBS).map(|seed| submit(&jobs, "a", seed)).collect();
    println!("{JOBS} submissions in {:.1?}", began.elapsed());
    let (events, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    std::thread::scope(|scope| {
        let (events, stop, jobs, ids) = (&events, &stop, &jobs, &ids);
        scope.spawn(move || {
            runtime.block_on(async move {
                let watch = |n: usize| async move {
                    let id = ids[n % 60];
                    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        match watch.poll().unwrap() {
                            Watched::Event(event) => {
                                assert_eq!(event.number, last + 1);
                                last = event.number;
                                events.fetch_add(1, Ordering::Relaxed);
                            }
                            Watched::Pending => {
                                drop(tokio::time::timeout(Duration::from_millis(500), watch.changed()).await);
                            }
                            Watched::End(_) => return,
                        }
                    }
                };
                let all: Vec<_> = (0..WATCHERS).map(watch).collect();
                let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
                // All of them on this one thread, as one task would have them.
                std::future::poll_fn(|context| {
                    all.retain_mut(|one| one.as_mut().poll(context).is_pending());
                    if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            });
        });
        std::thread::sleep(Duration::from_secs(1));
        let (median, p99) = latency(jobs, ids, 5000);
        println!(
            "get: unloaded median {idle_median:.1?} p99 {idle_p99:.1?}; loaded median {median:.1?} p99 {p99:.1?} \
             ({:.1} x the unloaded median)",
            p99.as_secs_f64() / idle_median.as_secs_f64()
        );
        println!("resident: idle {idle_mb:.1} MB, loaded {:.1} MB", resident());
        std::thread::sleep(Duration::from_secs(5));
        stop.store(true, Ordering::Relaxed);
    });
    println!("{} events delivered in order", events.load(Ordering::Relaxed));
    println!("resident at the end {:.1} MB; {:?}", resident(), jobs.status().unwrap());
    let began = Instant::now();
    assert!(jobs.shutdown(Duration::from_secs(10)));
    println!("stopped in {:.1?}", began.elapsed());
}
