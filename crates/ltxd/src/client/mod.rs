//! What the client commands share: the way to a node, and how its answers are shown.
//!
//! Must not know what a node does behind the contract.

pub(crate) mod fault;
pub(crate) mod fetch;
pub(crate) mod follow;
pub(crate) mod json;
pub(crate) mod preview;
pub(crate) mod spec;
pub(crate) mod text;
pub(crate) mod words;

use crate::exit::BadInput;
use anyhow::{Context, Result};
use fault::Fault;
use ltx_proto::v1::{
    generation_service_client::GenerationServiceClient, node_service_client::NodeServiceClient,
    policy_service_client::PolicyServiceClient, upload_service_client::UploadServiceClient,
};
use std::{net::IpAddr, path::PathBuf, time::Duration};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri},
};
use tonic_health::pb::health_client::HealthClient;

/// Answers may carry previews and pages of generations.
const ANSWER_BYTES: usize = 64 << 20;

/// Which node, and as whom.
#[derive(clap::Args)]
pub(crate) struct Connection {
    /// The node: http://HOST:PORT, or https:// for TLS.
    #[arg(long, env = "LTXD_SERVER", default_value = "http://127.0.0.1:7750", value_name = "URL")]
    server: String,
    /// A file with this client's bearer token on its first line.
    #[arg(long, env = "LTXD_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's (PEM).
    #[arg(long, env = "LTXD_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Allow a token to be sent to another machine without TLS.
    #[arg(long)]
    insecure: bool,
}

/// Adds the token to every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Bearer>;

/// A node that answers.
#[derive(Clone)]
pub(crate) struct Node {
    service: Service,
}

impl Node {
    pub(crate) fn generations(&self) -> GenerationServiceClient<Service> {
        GenerationServiceClient::new(self.service.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn policy(&self) -> PolicyServiceClient<Service> {
        PolicyServiceClient::new(self.service.clone())
    }

    pub(crate) fn uploads(&self) -> UploadServiceClient<Service> {
        UploadServiceClient::new(self.service.clone())
    }

    pub(crate) fn health(&self) -> HealthClient<Service> {
        HealthClient::new(self.service.clone())
    }

    pub(crate) fn node(&self) -> NodeServiceClient<Service> {
        NodeServiceClient::new(self.service.clone()).max_decoding_message_size(ANSWER_BYTES)
    }
}

impl Connection {
    /// Connects, and does `work` until it is finished or Ctrl-C is pressed, which is [`ltx_types::Cancelled`].
    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(Node) -> Result<T>) -> Result<T> {
        until_done(async { work(self.connect().await?).await })
    }

    /// The same, but a node that takes longer to answer counts as one that cannot be reached.
    pub(crate) fn run_within<T>(&self, patience: Duration, work: impl AsyncFnOnce(Node) -> Result<T>) -> Result<T> {
        until_done(async {
            let answered = tokio::time::timeout(patience, async { work(self.connect().await?).await }).await;
            answered.unwrap_or_else(|elapsed| Err(Fault::unreachable(&self.server, &elapsed).into()))
        })
    }

    async fn connect(&self) -> Result<Node> {
        let endpoint = self.endpoint()?;
        let bearer = self.bearer(endpoint.uri())?;
        let channel = endpoint.connect().await.map_err(|error| Fault::unreachable(&self.server, &error))?;
        Ok(Node { service: InterceptedService::new(channel, bearer) })
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let bad = |error: tonic::transport::Error| BadInput(format!("--server {}: {error}", self.server));
        let endpoint = Endpoint::from_shared(self.server.clone()).map_err(bad)?;
        let secure = match endpoint.uri().scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadInput(format!("--server {}: is neither http:// nor https://", self.server)).into()),
        };
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30));
        if !secure {
            return match &self.ca {
                Some(_) => Err(BadInput(format!("--ca: {} does not use TLS; say https://", self.server)).into()),
                None => Ok(endpoint),
            };
        }
        let tls = match &self.ca {
            Some(file) => {
                let pem = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
            }
            None => ClientTlsConfig::new().with_enabled_roots(),
        };
        Ok(endpoint.tls_config(tls).map_err(bad)?)
    }

    fn bearer(&self, uri: &Uri) -> Result<Bearer> {
        let Some(file) = &self.token_file else { return Ok(Bearer(None)) };
        let text = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let token = text.lines().next().unwrap_or_default().trim();
        let rule = || BadInput(format!("{}: holds no token on its first line", file.display()));
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().map_err(|_| rule())?;
        if token.is_empty() {
            return Err(rule().into());
        }
        if uri.scheme_str() != Some("https") && !is_loopback(uri) && !self.insecure {
            let why = format!("--server {}: the token would travel readable; use https://, or --insecure", self.server);
            return Err(BadInput(why).into());
        }
        Ok(Bearer(Some(value)))
    }
}

/// Waits for its end, or until Ctrl-C is pressed.
fn until_done<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no runtime can be started")?.block_on(async {
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err(ltx_types::Cancelled.into()),
        }
    })
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
