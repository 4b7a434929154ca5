//! What an operator decides about the server.
//!
//! Must not know files of configuration; whoever reads one fills [`Settings`].

use crate::{ServerError, Token};
use ltx_jobs::JobsConfig;
use ltx_types::FieldError;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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

/// What one client, one call or one connection may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of one message, in either direction.
    pub message_bytes: usize,
    /// Bytes of the prompt, and of the negative prompt.
    pub prompt_bytes: usize,
    /// Calls of any kind that one client may make a second, on average; a stream is one when it opens.
    pub calls_per_second: f64,
    /// Calls that one client may make at once after a pause.
    pub call_burst: u32,
    /// Watches and downloads that one client may have open.
    pub streams_per_client: usize,
    /// Uploads that one client may have open.
    pub uploads_per_client: usize,
    /// Uploads that all clients together may have open; each holds an image in memory.
    pub uploads: usize,
    /// Other large requests (over 256 KiB) that all clients together may have coming in; each holds a message in memory.
    pub large_requests: usize,
    /// Connections of all clients together; more wait to be accepted.
    pub connections: usize,
    /// HTTP/2 streams of one connection.
    pub streams_per_connection: u32,
    /// Calls that one connection may have in the making (a stream counts until it opens).
    pub calls_per_connection: usize,
    /// The longest an upload may take.
    pub upload_time: Duration,
    /// The longest a stream may wait for its client to send or to take the next part.
    pub idle_time: Duration,
    /// The longest any other call may take until it answers.
    pub call_time: Duration,
    /// The longest a new connection may take to say that it speaks HTTP/2, and to agree on TLS.
    pub handshake_time: Duration,
    /// How long a connection may be without a call; and how long it may be there without a known client's call.
    pub connection_idle_time: Duration,
    /// How often an idle connection is asked whether it lives, and how long it may take to say so.
    pub keepalive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 32 << 20,
            prompt_bytes: 16 << 10,
            calls_per_second: 1000.0,
            call_burst: 5000,
            streams_per_client: 1000,
            uploads_per_client: 4,
            uploads: 16,
            large_requests: 16,
            connections: 1024,
            streams_per_connection: 1024,
            calls_per_connection: 64,
            upload_time: Duration::from_secs(120),
            idle_time: Duration::from_secs(30),
            call_time: Duration::from_secs(120),
            handshake_time: Duration::from_secs(10),
            connection_idle_time: Duration::from_secs(300),
            keepalive: Duration::from_secs(30),
        }
    }
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

/// The settings before they are checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The jobs' configuration; its limits are told to clients. Give [`ltx_jobs::Jobs::open`] the same.
    pub jobs: JobsConfig,
    /// Who may reach the node.
    pub listen: Listen,
    /// What a client, a call, a connection may take.
    pub limits: Limits,
    /// What the node computes on.
    pub device: Device,
    /// Names of external models that the operator added to the policy's own.
    pub external_models: Vec<String>,
    /// The longest a graceful end may take.
    pub shutdown_time: Duration,
    /// How often finished work is looked at and what is old is removed.
    pub sweep_every: Duration,
    /// Whether prompts may be logged.
    pub log_prompts: bool,
}

impl Settings {
    /// Sensible values: loopback, no tokens, no TLS.
    pub fn new(jobs: JobsConfig) -> Self {
        Self {
            jobs,
            listen: Listen::default(),
            limits: Limits::default(),
            device: Device::default(),
            external_models: Vec::new(),
            shutdown_time: Duration::from_secs(30),
            sweep_every: Duration::from_secs(60),
            log_prompts: false,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be, with the nearest one that can.
    pub fn check(self) -> Result<ServerConfig, FieldError> {
        let limits = &self.limits;
        // A chunk of an upload or a download, and what is around it, must fit.
        at_least("message_bytes", limits.message_bytes, 2 << 20)?;
        at_least("prompt_bytes", limits.prompt_bytes, 1)?;
        at_least("call_burst", limits.call_burst as usize, 1)?;
        if !(limits.calls_per_second > 0.0 && limits.calls_per_second <= 1e6) {
            let error = FieldError::new("calls_per_second", limits.calls_per_second, "is outside 0..=1000000");
            return Err(error.nearest(1000));
        }
        at_least("streams_per_client", limits.streams_per_client, 1)?;
        at_least("uploads_per_client", limits.uploads_per_client, 1)?;
        at_least("uploads", limits.uploads, 1)?;
        at_least("large_requests", limits.large_requests, 1)?;
        at_least("connections", limits.connections, 1)?;
        at_least("streams_per_connection", limits.streams_per_connection as usize, 1)?;
        at_least("calls_per_connection", limits.calls_per_connection, 1)?;
        if limits.message_bytes > 1 << 30 {
            return Err(FieldError::new("message_bytes", limits.message_bytes, "is over 1 GiB").nearest(1 << 30));
        }
        if limits.connections > 1 << 20 {
            return Err(FieldError::new("connections", limits.connections, "is over 1048576").nearest(1 << 20));
        }
        let times = [
            ("upload_time", limits.upload_time),
            ("idle_time", limits.idle_time),
            ("call_time", limits.call_time),
            ("handshake_time", limits.handshake_time),
            ("connection_idle_time", limits.connection_idle_time),
            ("keepalive", limits.keepalive),
            ("shutdown_time", self.shutdown_time),
            ("sweep_every", self.sweep_every),
        ];
        for (field, time) in times {
            if time.is_zero() {
                return Err(FieldError::new(field, "0 s", "is no time").nearest("1 s"));
            }
        }
        Ok(ServerConfig(self))
    }
}

fn at_least(field: &'static str, value: usize, least: usize) -> Result<(), FieldError> {
    if value >= least {
        return Ok(());
    }
    Err(FieldError::new(field, value, format!("is less than {least}")).nearest(least))
}

/// Settings that hold together.
#[derive(Debug, Clone)]
pub struct ServerConfig(Settings);

impl std::ops::Deref for ServerConfig {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenHash;
    use ltx_jobs::ClientId;

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
    fn settings_name_the_nearest_value() {
        let jobs = ltx_jobs::Settings::new("data", "node").check().unwrap();
        assert!(Settings::new(jobs.clone()).check().is_ok());
        let mut small = Settings::new(jobs);
        small.limits.message_bytes = 5;
        let error = small.check().unwrap_err();
        assert_eq!(error.to_string(), "message_bytes: 5 is less than 2097152; nearest legal: 2097152");
    }
}
