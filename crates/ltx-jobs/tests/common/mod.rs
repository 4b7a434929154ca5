//! A node on a temporary folder, with the fake for an engine.
//!
//! Must not know what is tested with it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use ltx_jobs::{
    ClientId, Disk, GenerationId, GenerationRecord, Jobs, JobsError, Settings, Submission, Submitted, Surroundings,
    Watched,
};
use ltx_policy::{Ask, admit};
use ltx_testkit::{
    default_settings,
    fake::{FakeModels, FakeOptions, draft, policy},
};
use ltx_types::{
    GenerationDraft,
    settings::{Bounded, PerSecond},
};
use std::{path::Path, sync::Arc, time::Duration};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

pub fn settings(data: &Path) -> Settings {
    let mut settings = Settings { data: data.into(), node: "test-node".into(), ..default_settings() };
    let limits = &mut settings.limits;
    limits.requests_per_second = PerSecond::new(1e6).unwrap();
    limits.request_burst = Bounded::new(1_000_000).unwrap();
    limits.reserve_bytes = Bounded::new(0).unwrap();
    settings
}

pub fn surroundings(options: FakeOptions) -> Surroundings {
    Surroundings { models: Arc::new(FakeModels::new(options)), policy: policy(), space: Box::new(Disk) }
}

pub fn open(data: &Path, options: FakeOptions) -> Jobs {
    Jobs::open(settings(data).check().unwrap(), surroundings(options)).unwrap()
}

pub fn millis(step: u64) -> FakeOptions {
    FakeOptions { step_time: Duration::from_millis(step), ..FakeOptions::default() }
}

pub fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

pub fn submission(draft: GenerationDraft, request_id: Option<&str>) -> Submission {
    let body_sha256 = format!("{} {}", draft.prompt, draft.seed);
    let admitted = admit(&Ask::default(), draft, &policy()).unwrap();
    Submission { admitted, request_id: request_id.map(str::to_owned), body_sha256 }
}

pub fn submit(jobs: &Jobs, owner: &str, seed: u64) -> GenerationId {
    submit_draft(jobs, owner, draft("a lake", seed)).unwrap().record.id
}

pub fn submit_draft(jobs: &Jobs, owner: &str, draft: GenerationDraft) -> Result<Submitted, JobsError> {
    jobs.submit(&client(owner), submission(draft, None))
}

/// Waits until a generation has ended.
pub fn ended(jobs: &Jobs, owner: &str, id: GenerationId) -> GenerationRecord {
    let mut watch = jobs.watch(&client(owner), id, 0).unwrap();
    loop {
        match watch.next_within(LONG).unwrap() {
            Watched::Event(_) => {}
            Watched::End(_) => return jobs.get(&client(owner), id).unwrap(),
            Watched::Pending => panic!("{id} does not end: {:?}", jobs.status()),
        }
    }
}

/// Waits until the device is free, and what it left is removed.
pub fn idle(jobs: &Jobs) {
    while jobs.status().unwrap().running.is_some() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The frames of requests, by seed, on a node nobody disturbs.
pub fn undisturbed(drafts: impl IntoIterator<Item = GenerationDraft>) -> Vec<(u64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let submit = |draft: GenerationDraft| (draft.seed.0, submit_draft(&jobs, "a", draft).unwrap().record.id);
    let ids: Vec<_> = drafts.into_iter().map(submit).collect();
    ids.into_iter().map(|(seed, id)| (seed, frames_of(&ended(&jobs, "a", id)))).collect()
}

/// The same for requests that differ by seed alone.
pub fn undisturbed_seeds<const N: usize>(seeds: [u64; N]) -> [String; N] {
    let frames = undisturbed(seeds.map(|seed| draft("a lake", seed)));
    frames.into_iter().map(|(_, frames)| frames).collect::<Vec<_>>().try_into().unwrap()
}

pub fn frames_of(record: &GenerationRecord) -> String {
    record.outcome.as_ref().unwrap_or_else(|| panic!("{record:?}")).frames_sha256.clone()
}

/// Every file below a folder, by its path in it.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

/// Numbers that look random and are the same every time.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
