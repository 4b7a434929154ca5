//! A node on a temporary folder, with the fake for an engine.
//!
//! Must not know what is tested with it.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses a part")]

use ltx_jobs::{Disk, GenerationId, Jobs, Surroundings};
use ltx_testkit::fake::{FakeModels, FakeOptions, Gate, draft, policy};
pub use ltx_testkit::fake::{
    LONG, client, ended, eventually, frames_of, is_locked, opened, settings, submission, submit_draft,
};
use ltx_types::GenerationDraft;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

pub fn surroundings(options: FakeOptions) -> Surroundings {
    Surroundings {
        models: Arc::new(FakeModels::new(options)),
        policy: policy().into(),
        space: Box::new(Disk),
        credentials: None,
        tracer: None,
    }
}

pub fn open(data: &Path, options: FakeOptions) -> Jobs {
    opened(|| Jobs::open(settings(data).check().unwrap(), surroundings(options.clone())), is_locked)
}

/// A fake that a test holds.
pub fn behind(gate: &Gate) -> FakeOptions {
    FakeOptions { gate: gate.clone(), ..FakeOptions::default() }
}

/// A fake that takes a while, so that things come at many moments of a run; at which ones decides no test.
pub fn millis(step: u64) -> FakeOptions {
    FakeOptions { step_time: Duration::from_millis(step), ..FakeOptions::default() }
}

pub fn submit(jobs: &Jobs, owner: &str, seed: u64) -> GenerationId {
    submit_draft(jobs, owner, draft("a lake", seed)).unwrap().record.id
}

/// Waits until the device is free, and what it left is removed.
pub fn idle(jobs: &Jobs) {
    eventually("the device is free", || jobs.status().unwrap().running.is_none());
}

/// The frames of requests, by seed, on a node nobody disturbs.
pub fn undisturbed(drafts: impl IntoIterator<Item = GenerationDraft>) -> Vec<(u64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let submit = |draft: GenerationDraft| (draft.seed.0, submit_draft(&jobs, "a", draft).unwrap().record.id);
    let ids: Vec<_> = drafts.into_iter().map(submit).collect();
    ids.into_iter().map(|(seed, id)| (seed, frames_of(&ended(&jobs, "a", id)))).collect()
}

/// The frames of requests that differ by seed alone, on a node nobody disturbs.
pub fn undisturbed_seeds<const N: usize>(seeds: [u64; N]) -> [String; N] {
    let frames = undisturbed(seeds.map(|seed| draft("a lake", seed)));
    frames.into_iter().map(|(_, frames)| frames).collect::<Vec<_>>().try_into().unwrap()
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
