//! The keys as they stand in defaults.toml, unchecked.
//!
//! Must not know which values can be.

use super::ConfigError;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) listen: String,
    pub(super) metrics_listen: String,
    pub(super) metrics_allow_remote: bool,
    pub(super) allow_insecure: bool,
    pub(super) data_dir: PathBuf,
    pub(super) models_dir: PathBuf,
    pub(super) models: Vec<String>,
    pub(super) device: String,
    pub(super) dtype: String,
    pub(super) node: String,
    pub(super) tokens_file: PathBuf,
    pub(super) shutdown_seconds: i64,
    pub(super) cuda: RawCuda,
    pub(super) tls: RawTls,
    pub(super) limits: RawLimits,
    pub(super) retention: RawRetention,
    pub(super) policy: RawPolicy,
    pub(super) aliases: BTreeMap<String, String>,
    pub(super) log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCuda {
    pub(super) graphs: bool,
    pub(super) kernels: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) queued: i64,
    pub(super) queued_per_client: i64,
    pub(super) requests_per_second: f64,
    pub(super) request_burst: i64,
    pub(super) calls_per_second: f64,
    pub(super) call_burst: i64,
    pub(super) concurrent_streams: i64,
    pub(super) message_bytes: i64,
    pub(super) image_bytes: i64,
    pub(super) prompt_bytes: i64,
    pub(super) connections: i64,
    pub(super) large_requests: i64,
    pub(super) handshake_seconds: i64,
    pub(super) connection_idle_seconds: i64,
    pub(super) call_seconds: i64,
    pub(super) upload_seconds: i64,
    pub(super) pause_seconds: i64,
    pub(super) memory_bytes: i64,
    pub(super) resident_bytes: i64,
    pub(super) reserve_bytes: i64,
    pub(super) fruitless_crashes: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetention {
    pub(super) output_hours: f64,
    pub(super) output_bytes: i64,
    pub(super) upload_hours: f64,
    pub(super) upload_bytes: i64,
    pub(super) record_hours: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) plans: Vec<String>,
    pub(super) external_models: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) format: String,
    pub(super) level: String,
    pub(super) prompts: bool,
}

/// The table as a struct.
pub(super) fn parse(table: toml::Table) -> Result<Raw, ConfigError> {
    table.try_into().map_err(|error| ConfigError::Inconsistent(Box::new(error)))
}
