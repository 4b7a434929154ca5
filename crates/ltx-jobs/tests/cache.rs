//! What a node keeps of what was computed: found again by later requests and after a restart, counted, estimated with, bounded, and
//! gone with the last generation that used it.

mod common;

use common::{client, ended, files, is_locked, opened, settings, submission, submit_draft, surroundings};
use ltx_engine::{Cache, CacheKey, CachedTensor};
use ltx_jobs::{CacheSettings, CacheStatus, GenerationId, GenerationRecord, Jobs, Settings, TensorCache};
use ltx_testkit::{
    Guarded,
    fake::{FakeOptions, draft},
};
use ltx_types::{Stage, settings::Bounded};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// Bytes of a context of the fake: of its file, and of its values.
const FILE: u64 = 16 + 32 + 32 + 1 + 8 + 16;
const VALUES: u64 = 16;

fn cache(bytes: u64, memory_bytes: u64) -> CacheSettings {
    let [bytes, memory_bytes] = [bytes, memory_bytes].map(|bytes| Bounded::new(bytes).unwrap());
    CacheSettings { bytes, memory_bytes, days: Bounded::new(30).unwrap() }
}

fn open(data: &Path, cache: CacheSettings) -> Jobs {
    let settings = Settings { cache, ..settings(data) };
    let options = FakeOptions { contexts: true, ..FakeOptions::default() };
    opened(|| Jobs::open(settings.clone().check().unwrap(), surroundings(options.clone())), is_locked)
}

fn run(jobs: &Jobs, prompt: &str, seed: u64) -> GenerationId {
    let id = submit_draft(jobs, "a", draft(prompt, seed)).unwrap().record.id;
    ended(jobs, "a", id);
    id
}

fn status(jobs: &Jobs) -> CacheStatus {
    jobs.cache_status()
}

/// Whether its text was encoded.
fn encoded(record: &GenerationRecord) -> bool {
    let stages = &record.outcome.as_ref().unwrap().stages;
    stages.iter().any(|time| time.stage == Stage::TextEncoding)
}

#[test]
fn thirty_requests_of_ten_prompts_encode_ten_times_within_the_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), cache(1 << 20, 4 * VALUES));
    for seed in 0..30 {
        let id = run(&jobs, &format!("prompt {}", seed % 10), seed);
        let record = jobs.get(&client("a"), id).unwrap();
        assert_eq!(encoded(&record), seed < 10);
        assert!(status(&jobs).memory_bytes <= 4 * VALUES);
    }
    let expected = CacheStatus { hits: 20, misses: 10, damaged: 0, bytes: 10 * FILE, memory_bytes: 4 * VALUES };
    assert_eq!(status(&jobs), expected);
    drop(jobs);
    // After a restart they are still there, all but one that is damaged, which is computed again.
    let damaged = fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let jobs = open(folder.path(), cache(1 << 20, 0));
    for seed in 100..111 {
        run(&jobs, &format!("prompt {}", seed % 10), seed);
    }
    assert_eq!(status(&jobs), CacheStatus { hits: 10, misses: 1, damaged: 1, bytes: 10 * FILE, memory_bytes: 0 });
}

#[test]
fn the_folder_is_bounded_and_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), cache(3 * FILE, 0));
    for seed in 0..20 {
        run(&jobs, &format!("prompt {seed}"), seed);
        assert!(status(&jobs).bytes <= 3 * FILE);
    }
    drop(jobs);
    let off = tempfile::tempdir().unwrap();
    let jobs = open(off.path(), cache(0, 0));
    assert_ne!(run(&jobs, "a lake", 1), run(&jobs, "a lake", 2));
    assert_eq!(
        (status(&jobs).hits, status(&jobs).bytes, files(off.path()).iter().any(|f| f.contains("cache"))),
        (0, 0, false)
    );
}

#[test]
fn deleting_a_record_deletes_what_it_alone_has_used() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), cache(1 << 20, 1 << 20));
    let [lake, again] = [1, 2].map(|seed| run(&jobs, "a lake", seed));
    let forest = run(&jobs, "a forest", 3);
    let held = |jobs: &Jobs| (status(jobs).bytes / FILE, status(jobs).memory_bytes / VALUES);
    assert_eq!(held(&jobs), (2, 2));
    jobs.delete(&client("a"), lake).unwrap();
    assert_eq!(held(&jobs), (2, 2), "another generation uses it");
    jobs.delete(&client("a"), forest).unwrap();
    assert_eq!(held(&jobs), (1, 1));
    jobs.delete(&client("a"), again).unwrap();
    assert_eq!(held(&jobs), (0, 0));
    // What belongs to no generation, as after a crash between the two, and what is half written goes at the start.
    drop(jobs);
    let orphan = folder.path().join("cache").join("ab".repeat(32));
    let partial = folder.path().join("cache/.abab.partial-x");
    [&orphan, &partial].into_iter().for_each(|path| fs::write(path, "x").unwrap());
    let jobs = open(folder.path(), cache(1 << 20, 0));
    assert!(!orphan.exists() && !partial.exists());
    drop(jobs);
}

#[test]
fn an_estimate_knows_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), cache(1 << 20, 0));
    run(&jobs, "a lake", 1);
    let stages = |prompt: &str| {
        let admitted = submission(draft(prompt, 9), None).admitted.check(&jobs.rules("ltx-2.3-tiny").unwrap()).unwrap();
        let estimate = jobs.estimate(&client("a"), &admitted).unwrap();
        estimate.predicted.stages.iter().map(|time| time.stage).collect::<Vec<_>>()
    };
    let (known, new) = (stages("a lake"), stages("a forest"));
    assert_eq!((new[0], &new[1..]), (Stage::TextEncoding, &known[..]));
}

const FOLDER: &str = "LTX_JOBS_CACHE_FOLDER";

fn key(number: u64) -> CacheKey {
    let mut digest = [0; CacheKey::BYTES];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    CacheKey::new(digest)
}

/// Large enough that a kill comes while it is written.
fn large(number: u64) -> CachedTensor {
    CachedTensor { shape: vec![1 << 10, 1 << 10], values: vec![number as f32; 1 << 20] }
}

/// The child: keeps one after the other, and says before each that it begins.
#[test]
fn be_the_one_that_writes() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let cache = TensorCache::new(Path::new(&folder), &cache(1 << 40, 0));
    for number in 0..100 {
        println!("\nbegin {number}");
        cache.put(&key(number), large(number));
    }
}

#[test]
fn killed_while_it_writes_it_leaves_whole_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut left_partial = 0;
    for kill_at in 1..=8 {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["be_the_one_that_writes", "--exact", "--nocapture"]).env(FOLDER, folder.path());
        let mut child = Guarded(child.stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = format!("begin {kill_at}");
        assert!(lines.map_while(Result::ok).any(|said| said == line));
        child.kill().unwrap();
        child.wait().unwrap();
        left_partial += files(folder.path()).iter().filter(|name| name.starts_with('.')).count();
        let cache = TensorCache::new(folder.path(), &cache(1 << 40, 0));
        let whole = (0..100).filter(|number| cache.holds(&key(*number)));
        let whole: Vec<_> = whole.map(|number| (cache.get(&key(number)).unwrap(), number)).collect();
        assert!(whole.len() >= kill_at && whole.iter().all(|(kept, number)| **kept == large(*number)));
        assert_eq!(cache.status().damaged, 0);
    }
    println!("{left_partial} half-written files were seen, none under a key");
}
