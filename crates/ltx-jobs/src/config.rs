//! What an operator decides about jobs: where they are kept, for how long, and how many at once. Fields are read from the keys
//! of node.toml that are the jobs'; every value carries its bounds.
//!
//! Must not know where keys come from, nor defaults: those are ltxd's defaults.toml.

use crate::{CacheSettings, RunFaults};
use ltx_types::{
    FieldError, Outputs,
    settings::{Bounded, Bytes, Count, PerSecond, SomeBytes, bytes_or_none, hours, seconds_or_none},
};
use serde::Deserialize;
use std::{path::PathBuf, time::Duration};

/// How long, and how much of it, finished work is kept. Ages count the time the node runs, plus at most a day for each time it
/// was off, so that a wrong clock cannot make things old.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Outputs live this long after their generation ended.
    #[serde(rename = "output_hours", deserialize_with = "hours")]
    pub outputs_for: Duration,
    /// Outputs of all clients together take at most this many bytes; the oldest go first.
    #[serde(rename = "output_bytes")]
    pub outputs_bytes: SomeBytes,
    /// Uploaded images live this long.
    #[serde(rename = "upload_hours", deserialize_with = "hours")]
    pub uploads_for: Duration,
    /// Uploaded images of all clients together take at most this many bytes; the oldest go first.
    #[serde(rename = "upload_bytes")]
    pub uploads_bytes: SomeBytes,
    /// What is known of a finished generation (its request, events and digests) lives this long.
    #[serde(rename = "record_hours", deserialize_with = "hours")]
    pub records_for: Duration,
}

/// How much the jobs take in; the server's limits stand in the same section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Limits {
    /// Queued generations of all clients together.
    pub queued: Count<usize>,
    /// Queued generations of one client.
    pub queued_per_client: Count<usize>,
    /// Generations that one request may ask for.
    pub outputs: Bounded<usize, 1, { Outputs::MOST as u64 }>,
    /// Submissions and uploads a client may make per second, on average.
    pub requests_per_second: PerSecond,
    /// Submissions and uploads a client may make at once after a pause.
    pub request_burst: Count<u32>,
    /// Encoded bytes of one image.
    pub image_bytes: Bounded<u64, 1024, { 256 << 20 }>,
    /// Bytes that stay free on the disk; nothing is admitted that would leave less.
    pub reserve_bytes: Bytes,
    /// The most memory, in bytes, a generation may be predicted to need; `None` admits everything.
    #[serde(deserialize_with = "bytes_or_none")]
    pub memory_bytes: Option<u64>,
    /// The most seconds that a generation may be predicted to take; `None` admits everything, and so does a prediction that
    /// nobody can make.
    #[serde(deserialize_with = "seconds_or_none")]
    pub seconds: Option<u64>,
    /// Whether a request may ask for a clip longer than its model was trained on.
    pub beyond_trained_length: bool,
    /// Crashes in a row without a single new denoising step, after which a generation is given up.
    pub fruitless_crashes: Count<u32>,
}

impl Limits {
    /// Generations that one request may ask for: no more than ever have room at once.
    pub fn outputs_at_once(&self) -> usize {
        self.outputs.get().min(self.queued_per_client.get()).min(self.queued.get())
    }
}

/// The jobs' settings before they are checked against each other.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// The data folder; made when it is missing, locked while the node runs.
    #[serde(rename = "data_dir")]
    pub data: PathBuf,
    /// The node's id in every mark.
    pub node: String,
    /// How much is taken in.
    pub limits: Limits,
    /// How long finished work is kept.
    pub retention: Retention,
    /// How much is kept of what was computed.
    pub cache: CacheSettings,
    /// What every run meets on a node for tests of clients; such a node says so in every mark. `None` on any other node.
    #[serde(skip)]
    pub testing: Option<RunFaults>,
}

impl Settings {
    /// Checks what depends on more than one value, or on nothing being there.
    ///
    /// # Errors
    /// The first value that cannot be, by its key.
    pub fn validate(&self) -> Result<(), FieldError> {
        if self.data.as_os_str().is_empty() {
            return Err(FieldError::new("data_dir", "\"\"", "say where the node keeps its data"));
        }
        let kept = &self.retention;
        if kept.records_for < kept.outputs_for {
            let rule = "is less than retention.output_hours; an output cannot outlive its record";
            return Err(FieldError::new("retention.record_hours", kept.records_for.as_secs_f64() / 3600.0, rule));
        }
        Ok(())
    }

    /// Settings that hold together, of a node that has its id.
    ///
    /// # Errors
    /// As [`Settings::validate`]; an id that no mark can hold.
    pub fn check(self) -> Result<JobsConfig, FieldError> {
        if self.node.is_empty() || self.node.len() > 200 || self.node.contains('\0') {
            return Err(FieldError::new("node", &self.node, "is empty, over 200 bytes, or holds a NUL"));
        }
        self.validate()?;
        Ok(JobsConfig(self))
    }
}

/// Settings that hold together.
#[derive(Debug, Clone)]
pub struct JobsConfig(Settings);

impl std::ops::Deref for JobsConfig {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.0
    }
}
