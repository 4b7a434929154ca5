//! A queue of a test: its settings, and requests submitted to it and waited for.
//!
//! Must not know which engine is behind it.

use super::policy;
use crate::default_settings;
use ltx_jobs::{ClientId, GenerationId, GenerationRecord, Jobs, JobsError, Settings, Submission, Submitted, Watched};
use ltx_policy::{Ask, admit};
use ltx_types::{
    GenerationDraft,
    settings::{Bounded, PerSecond},
};
use std::{
    fmt::Debug,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// A guard against hanging: longer than anything in a test takes, on a machine however busy.
pub const LONG: Duration = Duration::from_secs(600);

/// Settings under which no rate or reserve stands in a test's way.
pub fn settings(data: &Path) -> Settings {
    let mut settings = Settings { data: data.into(), node: "test-node".into(), ..default_settings() };
    let limits = &mut settings.limits;
    limits.requests_per_second = PerSecond::new(1e6).unwrap_or_else(|error| panic!("{error:?}"));
    limits.request_burst = Bounded::new(1_000_000).unwrap_or_else(|error| panic!("{error:?}"));
    limits.reserve_bytes = Bounded::new(0).unwrap_or_else(|error| panic!("{error:?}"));
    settings
}

/// Waits for a state.
///
/// # Panics
/// It does not come within [`LONG`].
pub fn eventually(what: &str, mut there: impl FnMut() -> bool) {
    let patience = Instant::now() + LONG;
    while !there() {
        assert!(Instant::now() < patience, "never: {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Opens what lies in a folder that this process may just have let go of: a child that another test starts at that moment holds all
/// that was open here, locks among it, until it executes its program.
///
/// # Panics
/// It cannot be opened, or is locked for [`LONG`].
pub fn opened<T, E: Debug>(mut open: impl FnMut() -> Result<T, E>, is_locked: impl Fn(&E) -> bool) -> T {
    let began = Instant::now();
    loop {
        match open() {
            Err(error) if is_locked(&error) && began.elapsed() < LONG => sleep(Duration::from_millis(1)),
            opened => return opened.unwrap_or_else(|error| panic!("{error:?}")),
        }
    }
}

/// Whether another process holds the folder.
pub fn is_locked(error: &JobsError) -> bool {
    matches!(error, JobsError::Locked { .. })
}

/// A client of that name.
///
/// # Panics
/// The name is none that a client may have.
pub fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A draft as it is submitted once the usual policy has admitted it.
///
/// # Panics
/// It does not.
pub fn submission(draft: GenerationDraft, request_id: Option<&str>) -> Submission {
    let body_sha256 = format!("{} {}", draft.prompt, draft.seed);
    let admitted = admit(&Ask::default(), draft, &policy()).unwrap_or_else(|refusal| panic!("{refusal}"));
    let (further, request_id) = (vec![], request_id.map(str::to_owned));
    Submission { admitted, further, request_id, body_sha256, faults: None, trace: None }
}

/// Submits a draft.
///
/// # Errors
/// As [`Jobs::submit`].
pub fn submit_draft(jobs: &Jobs, owner: &str, draft: GenerationDraft) -> Result<Submitted, JobsError> {
    jobs.submit(&client(owner), submission(draft, None))
}

/// Waits until a generation has ended.
///
/// # Panics
/// It is not there, or does not end within [`LONG`].
pub fn ended(jobs: &Jobs, owner: &str, id: GenerationId) -> GenerationRecord {
    let failed = |error: JobsError| -> ! { panic!("{id}: {error}") };
    let mut watch = jobs.watch(&client(owner), id, 0).unwrap_or_else(|error| failed(error));
    loop {
        match watch.next_within(LONG).unwrap_or_else(|error| failed(error)) {
            Watched::Event(_) => {}
            Watched::End(_) => return jobs.get(&client(owner), id).unwrap_or_else(|error| failed(error)),
            Watched::Pending => panic!("{id} does not end: {:?}", jobs.status()),
        }
    }
}

/// The digest of a finished generation's frames.
///
/// # Panics
/// It is not finished.
pub fn frames_of(record: &GenerationRecord) -> String {
    record.outcome.as_ref().unwrap_or_else(|| panic!("{record:?}")).frames_sha256.clone()
}
