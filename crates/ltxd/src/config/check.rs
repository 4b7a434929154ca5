//! The keys' values, checked, each error with its key.
//!
//! Must not know where they came from.

use super::{
    ConfigError, Token,
    raw::{Raw, RawCuda, RawLimits, RawRetention},
    tokens,
};
use crate::compute::CudaOptions;
use ltx_nn::DeviceChoice;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

/// A configuration that holds together.
#[derive(Debug)]
pub(crate) struct NodeConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) data_dir: PathBuf,
    pub(crate) models_dir: PathBuf,
    /// The default first; at least one.
    pub(crate) models: Vec<String>,
    pub(crate) device: DeviceChoice,
    pub(crate) dtype: String,
    pub(crate) cuda: CudaOptions,
    /// `None` for the one kept in the data folder.
    pub(crate) node: Option<String>,
    /// `None` where callers need no token.
    pub(crate) tokens: Option<Vec<Token>>,
    pub(crate) tls: Option<Tls>,
    pub(crate) allow_insecure: bool,
    pub(crate) shutdown: Duration,
    pub(crate) limits: Limits,
    pub(crate) retention: Retention,
    pub(crate) plans: Vec<String>,
    pub(crate) external_models: Vec<String>,
    /// Further names of models: alias to model.
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) log: Log,
}

#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) queued: usize,
    pub(crate) queued_per_client: usize,
    pub(crate) requests_per_second: f64,
    pub(crate) request_burst: u32,
    pub(crate) calls_per_second: f64,
    pub(crate) call_burst: u32,
    pub(crate) concurrent_streams: usize,
    pub(crate) message_bytes: usize,
    pub(crate) image_bytes: usize,
    pub(crate) prompt_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) large_requests: usize,
    pub(crate) handshake: Duration,
    pub(crate) connection_idle: Duration,
    pub(crate) call: Duration,
    pub(crate) upload: Duration,
    pub(crate) pause: Duration,
    /// `None` for what the machine has.
    pub(crate) memory_bytes: Option<u64>,
    /// `None` for a quarter of the memory.
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) reserve_bytes: u64,
    pub(crate) fruitless_crashes: u32,
}

#[derive(Debug)]
pub(crate) struct Retention {
    pub(crate) outputs: Duration,
    pub(crate) output_bytes: u64,
    pub(crate) uploads: Duration,
    pub(crate) upload_bytes: u64,
    pub(crate) records: Duration,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
    /// Whether prompts may be logged.
    pub(crate) prompts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

type Checked<T> = Result<T, ConfigError>;

pub(super) fn check(raw: Raw) -> Checked<NodeConfig> {
    let listen = address("listen", &raw.listen)?;
    let metrics_listen = match raw.metrics_listen.as_str() {
        "" => None,
        said => Some(address("metrics_listen", said)?),
    };
    if raw.data_dir.as_os_str().is_empty() {
        return Err(ConfigError::value("data_dir", "\"\"", "say where the node keeps its data"));
    }
    if raw.models.is_empty() {
        return Err(ConfigError::value("models", "[]", "name at least one model"));
    }
    let device = raw.device.parse();
    let device =
        device.map_err(|_| ConfigError::value("device", &raw.device, "is none of auto, cpu, cuda:0, cuda:1, …"))?;
    if !ltx_nn::DTYPES.contains(&raw.dtype.as_str()) {
        return Err(ConfigError::value("dtype", raw.dtype, "is none of f32, bf16, f16, int8"));
    }
    let named = |path: PathBuf| (!path.as_os_str().is_empty()).then_some(path);
    let tokens = named(raw.tokens_file).map(|path| tokens::read(&path)).transpose()?;
    let tls = match (named(raw.tls.cert), named(raw.tls.key)) {
        (Some(cert), Some(key)) => Some(Tls { cert, key }),
        (None, None) => None,
        (Some(cert), None) => return Err(ConfigError::value("tls.cert", cert.display(), "has no tls.key beside it")),
        (None, Some(key)) => return Err(ConfigError::value("tls.key", key.display(), "has no tls.cert beside it")),
    };
    if !listen.ip().is_loopback() && !raw.allow_insecure && (tokens.is_none() || tls.is_none()) {
        let rule = "is beyond loopback, which needs tokens_file and tls, or allow_insecure";
        return Err(ConfigError::value("listen", listen, rule));
    }
    if let Some(address) = metrics_listen.filter(|address| !address.ip().is_loopback() && !raw.metrics_allow_remote) {
        let rule = "is beyond loopback, where anybody can read it; say metrics_allow_remote if that is meant";
        return Err(ConfigError::value("metrics_listen", address, rule));
    }
    let format = match raw.log.format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => return Err(ConfigError::value("log.format", other, "is neither text nor json")),
    };
    Ok(NodeConfig {
        listen,
        metrics_listen,
        data_dir: raw.data_dir,
        models_dir: raw.models_dir,
        models: raw.models,
        device,
        dtype: raw.dtype,
        cuda: cuda(&raw.cuda)?,
        node: (!raw.node.is_empty()).then_some(raw.node),
        tokens,
        tls,
        allow_insecure: raw.allow_insecure,
        shutdown: Duration::from_secs(whole("shutdown_seconds", raw.shutdown_seconds, 1, 3600)?),
        limits: limits(&raw.limits)?,
        retention: retention(&raw.retention)?,
        plans: raw.policy.plans,
        external_models: raw.policy.external_models,
        aliases: raw.aliases,
        log: Log { format, level: raw.log.level, prompts: raw.log.prompts },
    })
}

/// What may be taken out of a GPU's way of computing.
pub(super) fn cuda(raw: &RawCuda) -> Checked<CudaOptions> {
    let kernels = raw.kernels.parse();
    let kernels =
        kernels.map_err(|_| ConfigError::value("cuda.kernels", &raw.kernels, "is neither newest nor ampere"))?;
    Ok(CudaOptions { graphs: raw.graphs, kernels })
}

fn limits(raw: &RawLimits) -> Checked<Limits> {
    const MAX: u64 = 1 << 30;
    let message_bytes = whole("limits.message_bytes", raw.message_bytes, 2 << 20, 256 << 20)? as usize;
    let seconds = |key, value| whole(key, value, 1, 86_400).map(Duration::from_secs);
    let memory = whole("limits.memory_bytes", raw.memory_bytes, 0, i64::MAX as u64)?;
    let resident = whole("limits.resident_bytes", raw.resident_bytes, 0, i64::MAX as u64)?;
    Ok(Limits {
        queued: whole("limits.queued", raw.queued, 1, MAX)? as usize,
        queued_per_client: whole("limits.queued_per_client", raw.queued_per_client, 1, MAX)? as usize,
        requests_per_second: rate("limits.requests_per_second", raw.requests_per_second)?,
        request_burst: whole("limits.request_burst", raw.request_burst, 1, MAX)? as u32,
        calls_per_second: rate("limits.calls_per_second", raw.calls_per_second)?,
        call_burst: whole("limits.call_burst", raw.call_burst, 1, MAX)? as u32,
        concurrent_streams: whole("limits.concurrent_streams", raw.concurrent_streams, 1, MAX)? as usize,
        message_bytes,
        image_bytes: whole("limits.image_bytes", raw.image_bytes, 1 << 10, 256 << 20)? as usize,
        prompt_bytes: whole("limits.prompt_bytes", raw.prompt_bytes, 1, 1 << 20)? as usize,
        connections: whole("limits.connections", raw.connections, 1, 1 << 20)? as usize,
        large_requests: whole("limits.large_requests", raw.large_requests, 1, 1 << 20)? as usize,
        handshake: seconds("limits.handshake_seconds", raw.handshake_seconds)?,
        connection_idle: seconds("limits.connection_idle_seconds", raw.connection_idle_seconds)?,
        call: seconds("limits.call_seconds", raw.call_seconds)?,
        upload: seconds("limits.upload_seconds", raw.upload_seconds)?,
        pause: seconds("limits.pause_seconds", raw.pause_seconds)?,
        memory_bytes: (memory > 0).then_some(memory),
        resident_bytes: (resident > 0).then_some(resident),
        reserve_bytes: whole("limits.reserve_bytes", raw.reserve_bytes, 0, i64::MAX as u64)?,
        fruitless_crashes: whole("limits.fruitless_crashes", raw.fruitless_crashes, 1, MAX)? as u32,
    })
}

fn retention(raw: &RawRetention) -> Checked<Retention> {
    let bytes = |key, value| whole(key, value, 1, i64::MAX as u64);
    let kept = Retention {
        outputs: hours("retention.output_hours", raw.output_hours)?,
        output_bytes: bytes("retention.output_bytes", raw.output_bytes)?,
        uploads: hours("retention.upload_hours", raw.upload_hours)?,
        upload_bytes: bytes("retention.upload_bytes", raw.upload_bytes)?,
        records: hours("retention.record_hours", raw.record_hours)?,
    };
    if kept.records < kept.outputs {
        let rule = "is less than retention.output_hours; an output cannot outlive its record";
        return Err(ConfigError::value("retention.record_hours", raw.record_hours, rule));
    }
    Ok(kept)
}

fn rate(key: &'static str, per_second: f64) -> Checked<f64> {
    if !(per_second > 0.0 && per_second <= 1e6) {
        return Err(ConfigError::value(key, per_second, "is not above 0 and at most 1000000"));
    }
    Ok(per_second)
}

fn hours(key: &'static str, hours: f64) -> Checked<Duration> {
    if !(hours > 0.0 && hours <= 876_000.0) {
        return Err(ConfigError::value(key, hours, "is not above 0 and at most 876000"));
    }
    Ok(Duration::from_secs_f64(hours * 3600.0))
}

fn whole(key: &'static str, value: i64, least: u64, most: u64) -> Checked<u64> {
    let legal = u64::try_from(value).ok().filter(|value| (least..=most).contains(value));
    legal.ok_or_else(|| ConfigError::value(key, value, format!("is outside {least} to {most}")))
}

/// An address and a port; a name is looked up.
fn address(key: &'static str, said: &str) -> Checked<SocketAddr> {
    let rule = "is not an address and a port, such as 127.0.0.1:7750";
    let found = said.to_socket_addrs().map_err(|_| ConfigError::value(key, said, rule))?.next();
    found.ok_or_else(|| ConfigError::value(key, said, rule))
}

#[cfg(test)]
mod tests {
    use super::super::{layer::Layers, raw};
    use super::*;

    fn checked(settings: &[(&str, &str)]) -> Checked<NodeConfig> {
        let mut layers = Layers::defaults()?;
        for (key, value) in [("data_dir", "/data")].iter().chain(settings) {
            layers.set(key, value)?;
        }
        check(raw::parse(layers.into_table())?)
    }

    #[test]
    fn the_defaults_need_only_a_data_folder() {
        let config = checked(&[]).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert!(config.tokens.is_none() && config.tls.is_none() && config.metrics_listen.is_none());
        assert!(checked(&[("data_dir", "")]).unwrap_err().to_string().contains("data_dir"));
    }

    #[test]
    fn beyond_loopback_needs_both_or_a_word() {
        let error = checked(&[("listen", "0.0.0.0:7750")]).unwrap_err().to_string();
        assert!(error.starts_with("listen = 0.0.0.0:7750"), "{error}");
        assert!(checked(&[("listen", "0.0.0.0:7750"), ("tls.cert", "c"), ("tls.key", "k")]).is_err());
        assert!(checked(&[("listen", "0.0.0.0:7750"), ("allow_insecure", "true")]).is_ok());
        assert!(checked(&[("metrics_listen", "[::]:9000")]).is_err());
        assert!(checked(&[("metrics_listen", "[::1]:9000")]).is_ok());
    }

    #[test]
    fn every_error_names_its_key() {
        for (key, value) in [
            ("listen", "nowhere"),
            ("models", ""),
            ("device", "gpu"),
            ("dtype", "f8"),
            ("cuda.kernels", "hopper"),
            ("tls.cert", "c"),
            ("shutdown_seconds", "0"),
            ("limits.queued", "0"),
            ("limits.message_bytes", "-1"),
            ("limits.requests_per_second", "NaN"),
            ("limits.calls_per_second", "0"),
            ("limits.call_burst", "0"),
            ("retention.record_hours", "1"),
            ("retention.output_hours", "-1"),
            ("log.format", "xml"),
        ] {
            let error = checked(&[(key, value)]).unwrap_err().to_string();
            assert!(error.starts_with(key), "{key}: {error}");
        }
        assert!(matches!(checked(&[("tokens_file", "/nonexistent")]), Err(ConfigError::Read { .. })));
    }
}
