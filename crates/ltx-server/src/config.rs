//! What an operator decides about the server. [`Settings`] is read from the keys of node.toml that are the server's; every
//! value carries its bounds.
//!
//! Must not know where keys come from, nor defaults: those are ltxd's defaults.toml.

use crate::{
    ServerError, TestingSettings, Token,
    transport::origin::{Addressed, Origin},
};
use ltx_jobs::JobsConfig;
use ltx_types::{
    FieldError,
    settings::{Bounded, Count, PerSecond, seconds},
};
use serde::{Deserialize, Deserializer, de::Error};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and the chain behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may reach the node, and how it tells clients apart.
#[derive(Debug, Clone, Default)]
pub struct Listen {
    /// The clients' tokens. Without any, every caller is the client `local`.
    pub tokens: Vec<Token>,
    /// TLS for the gRPC listener.
    pub tls: Option<Tls>,
    /// Lets the node listen beyond loopback without tokens and TLS.
    pub allow_unprotected: bool,
}

impl Listen {
    /// Whether the node may listen there: on loopback always, elsewhere with tokens and TLS, or when it is allowed outright.
    /// [`crate::Server::serve`] asks again about the listener it is given.
    ///
    /// # Errors
    /// `Unprotected`.
    pub fn check(&self, address: SocketAddr) -> Result<(), ServerError> {
        let protected = !self.tokens.is_empty() && self.tls.is_some();
        if address.ip().to_canonical().is_loopback() || protected || self.allow_unprotected {
            return Ok(());
        }
        Err(ServerError::Unprotected { address, tokens: !self.tokens.is_empty() })
    }
}

/// What browsers are served, and what of theirs is obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Whether there is a page.
    pub enabled: Shown,
    /// Names that the node goes by, beside localhost and its addresses, as browsers reach it.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<String>,
    /// Origins of other pages that may call the node.
    #[serde(deserialize_with = "origins")]
    pub origins: Vec<Origin>,
}

/// Whether the page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Where the node listens on loopback.
    Auto,
    /// Wherever it listens.
    On,
    /// Nowhere.
    Off,
}

impl Page {
    /// Whether a node that listens there shows the page.
    pub(crate) fn is_shown_at(&self, address: IpAddr) -> bool {
        match self.enabled {
            Shown::Auto => address.to_canonical().is_loopback(),
            Shown::On => true,
            Shown::Off => false,
        }
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(D::Error::custom("is none of auto, on, off")),
        }
    }
}

fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let said = Vec::<String>::deserialize(deserializer)?;
    let host = |said: String| match said.parse::<Addressed>() {
        Ok(addressed) if addressed.host.eq_ignore_ascii_case(&said) => Ok(addressed.host),
        _ => Err(D::Error::custom(format!("{said:?} is not a host's name alone, such as node.example"))),
    };
    said.into_iter().map(host).collect()
}

fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Origin>, D::Error> {
    let said = Vec::<String>::deserialize(deserializer)?;
    let origin =
        |said: String| said.parse().map_err(|error: FieldError| D::Error::custom(format!("{said:?} {}", error.rule)));
    said.into_iter().map(origin).collect()
}

/// Uploads that one client may have open.
pub(crate) const UPLOADS_PER_CLIENT: usize = 4;
/// Uploads that all clients together may have open; each holds an image in memory.
pub(crate) const UPLOADS: usize = 16;
/// HTTP/2 streams of one connection.
pub(crate) const STREAMS_PER_CONNECTION: u32 = 1024;
/// Calls that one connection may have in the making (a stream counts until it opens).
pub(crate) const CALLS_PER_CONNECTION: usize = 64;
/// How often an idle connection is asked whether it lives, and how long it may take to say so.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
/// The longest that a call, a pause or a connection without calls may be said to last, in seconds: a day.
const DAY: u64 = 86_400;

/// What one client, one call or one connection may take; the jobs' limits stand in the same section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Limits {
    /// Bytes of one message that comes in. A chunk of an upload, and what is around it, must fit. Answers have a bound of their own.
    pub message_bytes: Bounded<usize, { 2 << 20 }, { 256 << 20 }>,
    /// Bytes of the prompt, and of the negative prompt.
    pub prompt_bytes: Bounded<usize, 1, { 1 << 20 }>,
    /// Calls of any kind that one client may make a second, on average; a stream is one when it opens.
    pub calls_per_second: PerSecond,
    /// Calls that one client may make at once after a pause.
    pub call_burst: Count<u32>,
    /// Watches and downloads that one client may have open.
    #[serde(rename = "concurrent_streams")]
    pub streams_per_client: Count<usize>,
    /// Large requests (over 256 KiB), parts of uploads among them but no streams of them, that all clients together may have
    /// coming in; each holds a message in memory.
    pub large_requests: Bounded<usize, 1, { 1 << 20 }>,
    /// Connections of all clients together; more wait to be accepted.
    pub connections: Bounded<usize, 1, { 1 << 20 }>,
    /// The longest an upload may take; of one that comes in parts, the longest between two of them.
    #[serde(rename = "upload_seconds", deserialize_with = "seconds::<_, DAY>")]
    pub upload_time: Duration,
    /// The longest a stream may wait for its client to send or to take the next part.
    #[serde(rename = "pause_seconds", deserialize_with = "seconds::<_, DAY>")]
    pub idle_time: Duration,
    /// The longest any other call may take until it answers.
    #[serde(rename = "call_seconds", deserialize_with = "seconds::<_, DAY>")]
    pub call_time: Duration,
    /// The longest a new connection may take to begin speaking HTTP, and to agree on TLS.
    #[serde(rename = "handshake_seconds", deserialize_with = "seconds::<_, DAY>")]
    pub handshake_time: Duration,
    /// How long a connection may be without a call; and how long it may be there without a known client's call.
    #[serde(rename = "connection_idle_seconds", deserialize_with = "seconds::<_, DAY>")]
    pub connection_idle_time: Duration,
}

/// What the node computes on, for `GetNode`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// `cpu` or `cuda`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `f32`, `bf16` or `f16`.
    pub dtype: String,
    /// Threads used on a CPU.
    pub threads: u32,
    /// Memory of the device; `None` asks the system for the machine's.
    pub memory_bytes: Option<u64>,
}

/// The server's settings, as the keys of node.toml have them; what is no key is filled in by whoever puts a node together.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Who may reach the node.
    #[serde(skip)]
    pub listen: Listen,
    /// What a client, a call, a connection may take.
    pub limits: Limits,
    /// What browsers are served.
    pub page: Page,
    /// What the node computes on.
    #[serde(skip)]
    pub device: Device,
    /// Names of external models that the operator added to the policy's own.
    #[serde(skip)]
    pub external_models: Vec<String>,
    /// The longest a graceful end may take.
    #[serde(rename = "shutdown_seconds", deserialize_with = "seconds::<_, 3600>")]
    pub shutdown_time: Duration,
    /// How often finished work is looked at and what is old is removed.
    #[serde(skip, default = "every_minute")]
    pub sweep_every: Duration,
    /// Whether prompts may be logged.
    #[serde(skip)]
    pub log_prompts: bool,
    /// Faults for tests of clients.
    pub testing: TestingSettings,
}

fn every_minute() -> Duration {
    Duration::from_secs(60)
}

impl Settings {
    /// The server's configuration, with the jobs': their limits are told to clients. Give [`ltx_jobs::Jobs::open`] the same.
    ///
    /// # Errors
    /// A time that is none; from a file none can be. Faults without `testing.enabled`, or other ones of runs than the jobs have.
    pub fn check(self, jobs: JobsConfig) -> Result<ServerConfig, FieldError> {
        if self.testing.run_faults()? != jobs.testing {
            return Err(FieldError::new("testing.enabled", self.testing.enabled, "is not what the jobs were told"));
        }
        let limits = &self.limits;
        let times = [
            ("limits.upload_seconds", limits.upload_time),
            ("limits.pause_seconds", limits.idle_time),
            ("limits.call_seconds", limits.call_time),
            ("limits.handshake_seconds", limits.handshake_time),
            ("limits.connection_idle_seconds", limits.connection_idle_time),
            ("shutdown_seconds", self.shutdown_time),
            ("sweep_every", self.sweep_every),
        ];
        match times.iter().find(|(_, time)| time.is_zero()) {
            Some((field, _)) => Err(FieldError::new(field, 0, "is no time").nearest(1)),
            None => Ok(ServerConfig { settings: self, jobs }),
        }
    }
}

/// Settings that hold together, and the jobs' beside them.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    settings: Settings,
    /// What the jobs are configured with.
    pub jobs: JobsConfig,
}

impl std::ops::Deref for ServerConfig {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenHash;
    use ltx_jobs::ClientId;
    use ltx_testkit::default_settings;

    #[test]
    fn beyond_loopback_needs_tokens_and_tls_or_an_outright_word() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let open = Listen::default();
        for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(open.check(address(loopback)).is_ok(), "{loopback}");
        }
        let token = Token { client: ClientId::new("a").unwrap(), hash: TokenHash::of("t") };
        let tls = Tls { certificate: "c".into(), key: "k".into() };
        let tokens = Listen { tokens: vec![token], ..Listen::default() };
        let only_tls = Listen { tls: Some(tls), ..Listen::default() };
        for beyond in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1", "[::ffff:10.0.0.1]:1"].map(address) {
            for listen in [&open, &tokens, &only_tls] {
                assert!(matches!(listen.check(beyond), Err(ServerError::Unprotected { .. })), "{beyond}");
            }
            let both = Listen { tls: only_tls.tls.clone(), ..tokens.clone() };
            assert!(both.check(beyond).is_ok());
            assert!(Listen { allow_unprotected: true, ..Listen::default() }.check(beyond).is_ok());
        }
    }

    #[test]
    fn a_time_that_is_none_is_refused_by_its_key() {
        let jobs = ltx_jobs::Settings { data: "data".into(), node: "node".into(), ..default_settings() };
        let jobs = jobs.check().unwrap();
        let mut settings: Settings = default_settings();
        assert!(settings.clone().check(jobs.clone()).is_ok());
        settings.limits.idle_time = Duration::ZERO;
        let error = settings.check(jobs).unwrap_err();
        assert_eq!(error.to_string(), "limits.pause_seconds: 0 is no time; nearest legal: 1");
    }
}
