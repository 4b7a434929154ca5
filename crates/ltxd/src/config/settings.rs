//! The settings of a node's parts, each read from its own keys, then held against each other.
//!
//! Must not know where keys come from, nor the bounds of single values: those are the parts' own.

use super::{ConfigError, Token, layers::Layers, tokens};
use crate::compute::CudaOptions;
use ltx_cluster::{ClusterConfig, Environment};
use ltx_jobs::ClientId;
use ltx_nn::DeviceChoice;
use ltx_provenance::ProvenanceSettings;
use ltx_server::{Listen, Tls};
use ltx_traces::TracesConfig;
use ltx_types::{FieldError, settings::bytes_or_none};
use serde::{Deserialize, Deserializer, de::Error};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

/// A configuration that holds together.
#[derive(Debug)]
pub(crate) struct NodeConfig {
    pub(crate) addresses: Addresses,
    pub(crate) jobs: ltx_jobs::Settings,
    pub(crate) server: ltx_server::Settings,
    pub(crate) engine: EngineSettings,
    pub(crate) models: ModelSettings,
    pub(crate) provenance: ProvenanceSettings,
    pub(crate) log: Log,
    /// The service that the node belongs to; `None` for one alone.
    pub(crate) cluster: Option<ClusterConfig>,
    /// Where spans go; `None` for a node that traces nothing.
    pub(crate) traces: Option<TracesConfig>,
    /// Who may call, as the tokens file has them; empty where callers need no token.
    pub(crate) clients: Vec<Token>,
}

/// Where the node listens, and who may reach it.
#[derive(Debug, Deserialize)]
pub(crate) struct Addresses {
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    #[serde(deserialize_with = "address_or_none")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    metrics_allow_remote: bool,
    allow_insecure: bool,
    tokens_file: PathBuf,
    tls: TlsFiles,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFiles {
    cert: PathBuf,
    key: PathBuf,
}

/// What the engine computes on, and what of it stays between generations.
#[derive(Debug, Deserialize)]
pub(crate) struct EngineSettings {
    #[serde(deserialize_with = "device")]
    pub(crate) device: DeviceChoice,
    #[serde(deserialize_with = "dtype")]
    pub(crate) dtype: String,
    pub(crate) cuda: CudaOptions,
    pub(crate) limits: EngineLimits,
}

/// The section `cuda` alone, for commands that read no other.
#[derive(Debug, Deserialize)]
pub(super) struct CudaSection {
    pub(super) cuda: CudaOptions,
}

/// The section `provenance` alone.
#[derive(Debug, Deserialize)]
pub(super) struct ProvenanceSection {
    pub(super) provenance: ProvenanceSettings,
}

/// The section `cache` alone, for commands that read no other.
#[derive(Debug, Deserialize)]
pub(super) struct CacheSection {
    pub(super) cache: ltx_jobs::CacheSettings,
}

/// The engine's limits; the jobs' and the server's stand in the same section.
#[derive(Debug, Deserialize)]
pub(crate) struct EngineLimits {
    /// `None` for a share of the memory.
    #[serde(deserialize_with = "bytes_or_none")]
    pub(crate) resident_bytes: Option<u64>,
}

/// Which models are served, and under which names.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelSettings {
    /// `None` for the one that is found.
    #[serde(rename = "models_dir", deserialize_with = "path_or_none")]
    pub(crate) folder: Option<PathBuf>,
    /// The default first; at least one.
    #[serde(rename = "models", deserialize_with = "some_models")]
    pub(crate) served: Vec<String>,
    /// Further names of models: alias to model.
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) policy: PolicySettings,
}

/// What the operator says about the policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicySettings {
    pub(crate) plans: Vec<String>,
    pub(crate) external_models: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ClusterSection {
    cluster: ltx_cluster::Settings,
}

#[derive(Debug, Deserialize)]
struct TracesSection {
    traces: ltx_traces::Settings,
}

#[derive(Debug, Deserialize)]
struct Logged {
    log: Log,
}

/// How the node logs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    #[serde(deserialize_with = "log_format")]
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

impl NodeConfig {
    /// Reads every part's settings.
    ///
    /// # Errors
    /// A value that cannot be, alone or beside the others; a tokens file that is none.
    pub(super) fn of(layers: &Layers) -> Result<Self, ConfigError> {
        let Logged { log } = layers.extract()?;
        let ProvenanceSection { provenance } = layers.extract()?;
        provenance.validate().map_err(|error| layers.refuse_field(error))?;
        let ClusterSection { mut cluster } = layers.extract()?;
        cluster.environment = Environment::of(|name| std::env::var(name).ok());
        let cluster = cluster.check().map_err(|error| layers.refuse_field(error))?;
        if cluster.is_none()
            && let Some(key) = layers.changed("cluster")?.first()
        {
            return Err(layers.refuse(key, "is for a node of a cluster, and cluster.servers names none"));
        }
        let traces = traces(layers)?;
        let mut config = Self {
            addresses: layers.extract()?,
            jobs: layers.extract()?,
            server: layers.extract()?,
            engine: layers.extract()?,
            models: layers.extract()?,
            provenance,
            log,
            cluster,
            traces,
            clients: Vec::new(),
        };
        config.jobs.validate().map_err(|error| layers.refuse_field(error))?;
        let faults = config.server.testing.run_faults();
        config.jobs.testing = faults.map_err(|error| layers.refuse_field(error))?;
        let addresses = &config.addresses;
        let tls = addresses.tls.files().map_err(|(key, rule)| layers.refuse(key, rule))?;
        if let Some(file) = addresses.tokens_file() {
            config.clients = tokens::read(file)?;
        }
        let tokens = config.clients.iter().map(token).collect::<Result<_, _>>();
        let tokens = tokens.map_err(|FieldError { rule, .. }| layers.refuse("tokens_file", rule))?;
        let listen = Listen { tokens, tls, allow_unprotected: addresses.allow_insecure };
        if listen.check(addresses.listen).is_err() {
            let rule = "is beyond loopback, which needs tokens_file and tls, or allow_insecure";
            return Err(layers.refuse("listen", rule));
        }
        if addresses
            .metrics_listen
            .is_some_and(|address| !address.ip().is_loopback() && !addresses.metrics_allow_remote)
        {
            let rule = "is beyond loopback, where anybody can read it; say metrics_allow_remote if that is meant";
            return Err(layers.refuse("metrics_listen", rule));
        }
        config.server.listen = listen;
        config.server.external_models.clone_from(&config.models.policy.external_models);
        config.server.log_prompts = config.log.prompts;
        Ok(config)
    }
}

/// The section `traces`. What OpenTelemetry's variables say is said to every program of a machine: of a node that traces nothing it
/// means nothing.
fn traces(layers: &Layers) -> Result<Option<TracesConfig>, ConfigError> {
    let TracesSection { traces } = layers.extract()?;
    let traces = traces.check().map_err(|error| layers.refuse_field(error))?;
    if traces.is_some() {
        return layers.refused_of_otel().map_or(Ok(traces), Err);
    }
    if !layers.is_of_otel("traces.endpoint")
        && let Some(key) = layers.changed("traces")?.iter().find(|key| !layers.is_of_otel(key))
    {
        return Err(layers.refuse(key, "is for a node that traces, and traces.endpoint names no collector"));
    }
    Ok(None)
}

impl Addresses {
    /// The file of tokens, where there is one.
    pub(crate) fn tokens_file(&self) -> Option<&Path> {
        Some(self.tokens_file.as_path()).filter(|file| !file.as_os_str().is_empty())
    }
}

impl TlsFiles {
    /// Both or neither; else the key that stands alone, and why it cannot.
    fn files(&self) -> Result<Option<Tls>, (&'static str, &'static str)> {
        match (self.cert.as_os_str().is_empty(), self.key.as_os_str().is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Tls { certificate: self.cert.clone(), key: self.key.clone() })),
            (false, true) => Err(("tls.cert", "has no tls.key beside it")),
            (true, false) => Err(("tls.key", "has no tls.cert beside it")),
        }
    }
}

fn token(client: &Token) -> Result<ltx_server::Token, FieldError> {
    Ok(ltx_server::Token { client: ClientId::new(&client.name)?, hash: client.sha256.parse()? })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    resolved(&String::deserialize(deserializer)?)
}

fn path_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let said = PathBuf::deserialize(deserializer)?;
    Ok(Some(said).filter(|said| !said.as_os_str().is_empty()))
}

fn address_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let said = String::deserialize(deserializer)?;
    (!said.is_empty()).then(|| resolved(&said)).transpose()
}

/// An address and a port; a name is looked up.
fn resolved<E: Error>(said: &str) -> Result<SocketAddr, E> {
    let found = said.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| E::custom("is not an address and a port, such as 127.0.0.1:7750"))
}

fn device<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeviceChoice, D::Error> {
    let said = String::deserialize(deserializer)?;
    said.parse().map_err(|_| D::Error::custom("is none of auto, cpu, cuda:0, cuda:1, …"))
}

fn dtype<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let said = String::deserialize(deserializer)?;
    let known = ltx_nn::DTYPES.contains(&said.as_str());
    Some(said).filter(|_| known).ok_or_else(|| D::Error::custom("is none of auto, f32, bf16, f16, int8"))
}

fn some_models<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let said = Vec::deserialize(deserializer)?;
    Some(said).filter(|said| !said.is_empty()).ok_or_else(|| D::Error::custom("name at least one model"))
}

fn log_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(D::Error::custom("is neither text nor json")),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::layers::{DEFAULTS, leaves},
        *,
    };
    use toml::Table;

    fn checked(settings: &[(&str, &str)]) -> Result<NodeConfig, ConfigError> {
        let set = [("data_dir", "/data")].into_iter().chain(settings.iter().copied());
        NodeConfig::of(&Layers::defaults()?.set(set)?)
    }

    #[test]
    fn the_defaults_need_only_a_data_folder() {
        let config = checked(&[]).unwrap();
        assert!(config.addresses.listen.ip().is_loopback() && config.addresses.metrics_listen.is_none());
        assert!(config.clients.is_empty() && config.server.listen.tls.is_none());
        let error = checked(&[("data_dir", "")]).unwrap_err().to_string();
        assert_eq!(error, "the command line: data_dir = \"\": say where the node keeps its data");
    }

    #[test]
    fn every_default_is_a_key_of_some_part() {
        let defaults: Table = DEFAULTS.parse().unwrap();
        for (key, _) in leaves(&defaults) {
            let mut without = defaults.clone();
            match key.split_once('.') {
                Some((section, name)) => drop(without[section].as_table_mut().unwrap().remove(name).unwrap()),
                None => drop(without.remove(&key).unwrap()),
            }
            let error = NodeConfig::of(&Layers::of(without)).unwrap_err();
            assert!(matches!(error, ConfigError::Inconsistent(_)), "nobody reads {key}: {error}");
        }
    }

    #[test]
    fn beyond_loopback_needs_both_or_a_word() {
        let error = checked(&[("listen", "0.0.0.0:7750")]).unwrap_err().to_string();
        assert!(error.starts_with("the command line: listen = 0.0.0.0:7750: is beyond loopback"), "{error}");
        assert!(checked(&[("listen", "0.0.0.0:7750"), ("tls.cert", "c"), ("tls.key", "k")]).is_err());
        assert!(checked(&[("listen", "0.0.0.0:7750"), ("allow_insecure", "true")]).is_ok());
        assert!(checked(&[("metrics_listen", "[::]:9000")]).is_err());
        assert!(checked(&[("metrics_listen", "[::1]:9000")]).is_ok());
    }

    #[test]
    fn every_error_names_its_key() {
        for (key, value) in [
            ("listen", "nowhere"),
            ("metrics_listen", "nowhere"),
            ("models", ""),
            ("device", "gpu"),
            ("dtype", "f8"),
            ("cuda.kernels", "hopper"),
            ("tls.cert", "c"),
            ("provenance.mode", "signed"),
            ("provenance.certificate", "c"),
            ("provenance.key", "k"),
            ("provenance.timestamp_url", "ftp://time.example"),
            ("shutdown_seconds", "0"),
            ("limits.queued", "0"),
            ("limits.message_bytes", "-1"),
            ("limits.requests_per_second", "NaN"),
            ("limits.calls_per_second", "0"),
            ("limits.call_burst", "0"),
            ("limits.memory_bytes", "-1"),
            ("limits.call_seconds", "86401"),
            ("retention.record_hours", "1"),
            ("retention.output_hours", "-1"),
            ("log.format", "xml"),
            ("cluster.servers", "nats://"),
            ("cluster.roles", "boss"),
            ("cluster.roles", "worker"),
            ("cluster.replicas", "6"),
            ("cluster.silent_seconds", "0"),
            ("cluster.service", "other"),
            ("cluster.replicas", "3"),
            ("cluster.silent_seconds", "5"),
            ("cluster.tls_ca", "c"),
            ("cluster.nkey_file", "n"),
            ("cluster.s3_bucket", "files"),
            ("cluster.s3_allow_http", "true"),
            ("traces.endpoint", "127.0.0.1:4318"),
            ("traces.service_name", "x"),
            ("traces.sampler", "always_on"),
            ("traces.headers_file", "h"),
            ("page.enabled", "true"),
            ("page.hosts", "http://node"),
            ("page.hosts", "node:7750"),
            ("page.origins", "*"),
            ("page.origins", "https://studio.example/path"),
        ] {
            let error = checked(&[(key, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the command line: {key} = ")), "{key}: {error}");
        }
        assert!(matches!(checked(&[("tokens_file", "/nonexistent")]), Err(ConfigError::Read { .. })));
    }

    #[test]
    fn a_value_that_may_hold_a_password_is_not_repeated() {
        let secret = "http://me:secret@c";
        let variables = |name: &str| [(name.into(), secret.into())].into_iter();
        let of =
            |layers: Layers| NodeConfig::of(&layers.set([("data_dir", "/data")]).unwrap()).unwrap_err().to_string();
        let with = |keys: &[(&str, &str)]| of(Layers::defaults().unwrap().set(keys.iter().copied()).unwrap());
        let s3 = [("cluster.servers", "nats://n"), ("cluster.s3_bucket", "files"), ("cluster.s3_endpoint", secret)];
        for (key, said) in [
            ("cluster.s3_endpoint", with(&s3)),
            ("traces.endpoint", with(&[("traces.endpoint", secret)])),
            (
                "traces.endpoint",
                of(Layers::defaults().unwrap().environment(variables("OTEL_EXPORTER_OTLP_ENDPOINT")).unwrap()),
            ),
        ] {
            assert!(said.contains(&format!("{key} = (not shown)")) && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn traces_are_off_unless_a_collector_is_named_here_or_to_every_program() {
        let said = |variables: &[(&str, &str)], set: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
            let set = [("data_dir", "/data")].into_iter().chain(set.iter().copied());
            NodeConfig::of(&Layers::defaults()?.environment(variables)?.set(set)?)
        };
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        assert!(said(&[], &[]).unwrap().traces.is_none());
        assert!(said(&[collector], &[]).unwrap().traces.is_some());
        assert!(said(&[collector, ("OTEL_SDK_DISABLED", "true")], &[]).unwrap().traces.is_none());
        assert!(
            said(&[collector], &[("traces.endpoint", "")]).unwrap().traces.is_none(),
            "what is said here goes over it"
        );
        // What is said to every program stops none that traces nothing.
        let others = [("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        assert!(said(&others, &[]).unwrap().traces.is_none());
        let refused = said(&[collector, others[1]], &[]).unwrap_err().to_string();
        assert!(refused.starts_with("the environment: OTEL_EXPORTER_OTLP_PROTOCOL = grpc: "), "{refused}");
        let named = said(&[collector, ("OTEL_TRACES_SAMPLER", "xray")], &[]).unwrap_err().to_string();
        assert!(named.starts_with("OTEL_TRACES_SAMPLER: traces.sampler = xray: "), "{named}");
    }
}
