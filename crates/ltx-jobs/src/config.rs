//! What an operator decides about jobs: where they are kept, for how long, and how many at once.
//!
//! Must not know files of configuration; whoever reads one fills [`Settings`].

use ltx_types::FieldError;
use std::{path::PathBuf, time::Duration};

/// How long, and how much of it, finished work is kept. Ages count the node's own time: see [`Settings::retention`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Outputs live this long after their generation ended.
    pub outputs_for: Duration,
    /// Outputs of all clients together take at most this many bytes; the oldest go first.
    pub outputs_bytes: u64,
    /// Uploaded images live this long.
    pub uploads_for: Duration,
    /// Uploaded images of all clients together take at most this many bytes; the oldest go first.
    pub uploads_bytes: u64,
    /// What is known of a finished generation (its request, events and digests) lives this long.
    pub records_for: Duration,
}

impl Default for Retention {
    /// Outputs a week and 50 GB, uploads a day and 5 GB, records 30 days.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            outputs_for: 7 * DAY,
            outputs_bytes: 50_000_000_000,
            uploads_for: DAY,
            uploads_bytes: 5_000_000_000,
            records_for: 30 * DAY,
        }
    }
}

/// The settings before they are checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; made when it is missing, locked while the node runs.
    pub data: PathBuf,
    /// The node's id in every mark.
    pub node: String,
    /// Queued generations of all clients together.
    pub max_queued: usize,
    /// Queued generations of one client.
    pub max_queued_per_client: usize,
    /// Submissions and uploads a client may make per second, on average.
    pub requests_per_second: f64,
    /// Submissions and uploads a client may make at once after a pause.
    pub request_burst: u32,
    /// Encoded bytes of one image.
    pub max_image_bytes: u64,
    /// Bytes that stay free on the disk; nothing is admitted that would leave less.
    pub reserve_bytes: u64,
    /// The most memory, in bytes, a generation may be predicted to need; `None` admits everything.
    pub memory_limit_bytes: Option<u64>,
    /// Crashes in a row without a single new denoising step, after which a generation is given up.
    pub max_fruitless_crashes: u32,
    /// How long finished work is kept. Ages count the time the node runs, plus at most a day for each time it was off,
    /// so that a wrong clock cannot make things old.
    pub retention: Retention,
}

impl Settings {
    /// Sensible values for a node with its data in `data`.
    pub fn new(data: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            node: node.into(),
            max_queued: 4096,
            max_queued_per_client: 2048,
            requests_per_second: 10.0,
            request_burst: 50,
            max_image_bytes: 64 << 20,
            reserve_bytes: 1 << 30,
            memory_limit_bytes: None,
            max_fruitless_crashes: 10,
            retention: Retention::default(),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be, with the nearest one that can.
    pub fn check(self) -> Result<JobsConfig, FieldError> {
        if self.node.is_empty() || self.node.len() > 200 || self.node.contains('\0') {
            return Err(FieldError::new("node", &self.node, "is empty, over 200 bytes, or holds a NUL"));
        }
        at_least_one("max_queued", self.max_queued)?;
        at_least_one("max_queued_per_client", self.max_queued_per_client)?;
        at_least_one("request_burst", self.request_burst as usize)?;
        at_least_one("max_fruitless_crashes", self.max_fruitless_crashes as usize)?;
        if !(self.requests_per_second > 0.0 && self.requests_per_second <= 1e6) {
            let error = FieldError::new("requests_per_second", self.requests_per_second, "is outside 0..=1000000");
            return Err(error.nearest(10));
        }
        if self.max_image_bytes == 0 || self.max_image_bytes > 256 << 20 {
            let error = FieldError::new("max_image_bytes", self.max_image_bytes, "is 0 or over 256 MiB");
            return Err(error.nearest(64 << 20));
        }
        if self.retention.records_for < self.retention.outputs_for {
            let rule = "is shorter than outputs_for; an output cannot outlive its record";
            let error = FieldError::new("records_for", format!("{:?}", self.retention.records_for), rule);
            return Err(error.nearest(format!("{:?}", self.retention.outputs_for)));
        }
        Ok(JobsConfig(self))
    }
}

fn at_least_one(field: &'static str, value: usize) -> Result<(), FieldError> {
    if value > 0 { Ok(()) } else { Err(FieldError::new(field, value, "is less than 1").nearest(1)) }
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
