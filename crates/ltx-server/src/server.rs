//! The server: made of a configuration and the jobs, it serves on listeners until it is told to stop.
//!
//! Must not know what the services do.

use crate::{
    Catalog, ServerConfig, ServerError, Tls,
    app::{node::Node, observer},
    config::{CALLS_PER_CONNECTION, KEEPALIVE, STREAMS_PER_CONNECTION},
    grpc::{
        calls::Calls,
        services::{generation::Generations, node::About, policy::Policy, upload::Uploads},
    },
    http::metrics,
    transport::{auth::Authenticate, listen},
};
use ltx_jobs::Jobs;
use ltx_policy::{PolicyConfig, WeightFingerprint};
use ltx_proto::v1::{
    FILE_DESCRIPTOR_SET, generation_service_server::GenerationServiceServer, node_service_server::NodeServiceServer,
    policy_service_server::PolicyServiceServer, upload_service_server::UploadServiceServer,
};
use std::{fs, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use tonic::{
    codegen::InterceptedService,
    service::Routes,
    transport::{Identity, Server as Transport, ServerTlsConfig},
};
use tonic_health::{ServingStatus, server::HealthReporter};

/// Of the time to end, what is left for connections to close.
const CLOSING: u32 = 4;
/// The most bytes of a call's headers.
const HEADERS: u32 = 16 << 10;
/// How much later than `Calls` the transport ends a call.
const BEHIND: Duration = Duration::from_secs(5);
/// Bytes that a client may send ahead on a stream, and on a connection.
const WINDOWS: (u32, u32) = (1 << 20, 4 << 20);
const SERVICES: [&str; 5] =
    ["", "ltx.v1.GenerationService", "ltx.v1.UploadService", "ltx.v1.PolicyService", "ltx.v1.NodeService"];

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// Prometheus metrics over plain HTTP, without tokens: keep it where only Prometheus reaches it.
    pub metrics: Option<TcpListener>,
}

/// A node's server.
pub struct Server {
    node: Arc<Node>,
}

/// Tells a server what changed while it runs.
#[derive(Clone)]
pub struct Control {
    node: Arc<Node>,
}

impl Server {
    /// Puts a server together. `policy` says which models are loaded: none at all is a node that is still loading, until
    /// [`Control::set_policy`] says otherwise.
    pub fn new(config: ServerConfig, jobs: Jobs, policy: PolicyConfig, catalog: Catalog) -> Self {
        Self { node: Arc::new(Node::new(config, jobs, policy, catalog)) }
    }

    /// The way to tell it what changed; to be taken before it serves.
    pub fn control(&self) -> Control {
        Control { node: Arc::clone(&self.node) }
    }

    /// Serves until `shutdown`. Then nothing more is admitted, what runs is saved, watchers are told, and it returns within
    /// the configured time. The jobs are shut down with it.
    ///
    /// # Errors
    /// `Unprotected`, `Pem`, `Tls`, `Listener`, `Reflection`; `Transport`.
    pub async fn serve(
        self,
        listeners: Listeners,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServerError> {
        let node = self.node;
        let config = &node.config;
        let address = listeners.grpc.local_addr().map_err(ServerError::Listener)?;
        config.listen.check(address)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut routes = services(&node)?;
        routes = routes.add_service(health_service);
        let mut transport = transport(config)?.layer(Calls::new(Arc::clone(&node)));
        let (stop, stopped) = oneshot::channel::<()>();
        let connections = listen::connections(listeners.grpc, &config.limits);
        let serving = transport.add_routes(routes).serve_with_incoming_shutdown(connections, async {
            // Dropped or sent, it is over.
            let _ = stopped.await;
        });
        tracing::info!(%address, tls = config.listen.tls.is_some(), clients = config.listen.tokens.len(), "serving");
        let background = Background::start(&node, listeners.metrics, &health);
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.map_err(ServerError::Transport),
            () = shutdown => {}
        }

        tracing::info!("stopping");
        node.stop();
        drop(background);
        for service in SERVICES {
            health.set_service_status(service, ServingStatus::NotServing).await;
        }
        let closing = config.shutdown_time / CLOSING;
        let saving = Self::save(&node, config.shutdown_time - closing);
        tokio::pin!(saving);
        // Calls are answered while the jobs are saved: those that admit nothing, as ever.
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = &mut saving => None,
        };
        match ended {
            Some(ended) => {
                saving.await;
                ended.map_err(ServerError::Transport)
            }
            None => {
                drop(stop);
                match timeout(closing, serving).await {
                    Ok(ended) => ended.map_err(ServerError::Transport),
                    Err(_) => {
                        tracing::warn!("connections that did not close are dropped");
                        Ok(())
                    }
                }
            }
        }
    }

    async fn save(node: &Node, within: Duration) {
        let jobs = node.jobs().clone();
        let saved = tokio::task::spawn_blocking(move || jobs.shutdown(within)).await;
        match saved {
            Ok(true) => tracing::info!("the jobs are saved"),
            Ok(false) => tracing::warn!("the step on the device did not end in time; it will be repeated"),
            Err(error) => tracing::error!(%error, "the jobs were not saved"),
        }
    }
}

impl Control {
    /// From now on requests are judged by this policy, stored ones included; it also says which models are loaded.
    pub fn set_policy(&self, policy: PolicyConfig) {
        self.node.set_policy(policy);
    }

    /// What became known of a model: whether two stages are possible, and what tells its weights from others.
    pub fn set_model_facts(&self, name: &str, two_stages: bool, weights: Option<WeightFingerprint>) {
        self.node.change_catalog(|catalog| {
            if let Some(card) = catalog.card_mut(name) {
                card.two_stages = Some(two_stages);
                card.weights = weights.or(card.weights.take());
            }
        });
    }
}

/// Every service of the contract, and reflection.
pub(crate) fn services(node: &Arc<Node>) -> Result<Routes, ServerError> {
    let most = node.config.limits.message_bytes.get();
    let auth = Authenticate(Arc::clone(node));
    macro_rules! service {
        ($server:ident, $service:expr) => {
            InterceptedService::new(
                $server::new($service).max_decoding_message_size(most).max_encoding_message_size(most),
                auth.clone(),
            )
        };
    }
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Many clients know the older of the two only.
    let reflection = reflected().build_v1().map_err(ServerError::Reflection)?;
    let reflection_alpha = reflected().build_v1alpha().map_err(ServerError::Reflection)?;
    let routes = Routes::new(service!(GenerationServiceServer, Generations(Arc::clone(node))))
        .add_service(service!(UploadServiceServer, Uploads(Arc::clone(node))))
        .add_service(service!(PolicyServiceServer, Policy(Arc::clone(node))))
        .add_service(service!(NodeServiceServer, About(Arc::clone(node))))
        .add_service(reflection)
        .add_service(reflection_alpha);
    Ok(routes)
}

fn transport(config: &ServerConfig) -> Result<Transport, ServerError> {
    let limits = &config.limits;
    let transport = Transport::builder()
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        // `Calls` tells a call that it is out of time, with details; this is behind it.
        .timeout(limits.call_time.max(limits.upload_time + limits.idle_time) + BEHIND)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .http2_max_header_list_size(HEADERS);
    match &config.listen.tls {
        None => Ok(transport),
        Some(tls) => with_tls(transport, tls, limits.handshake_time),
    }
}

fn with_tls(
    transport: Transport,
    Tls { certificate, key }: &Tls,
    handshake: Duration,
) -> Result<Transport, ServerError> {
    let pem =
        |file: &std::path::Path| fs::read(file).map_err(|source| ServerError::Pem { file: file.to_owned(), source });
    let identity = Identity::from_pem(pem(certificate)?, pem(key)?);
    let tls = ServerTlsConfig::new().identity(identity).timeout(handshake);
    let failed = |source| ServerError::Tls { certificate: certificate.clone(), key: key.clone(), source };
    transport.tls_config(tls).map_err(failed)
}

/// What runs beside the services; dropped, it ends.
struct Background(Vec<JoinHandle<()>>);

impl Background {
    fn start(node: &Arc<Node>, metrics: Option<TcpListener>, health: &HealthReporter) -> Self {
        let mut tasks = vec![
            tokio::spawn(observer::follow_unfinished(Arc::clone(node))),
            tokio::spawn(sweep(Arc::clone(node))),
            tokio::spawn(tell_health(Arc::clone(node), health.clone())),
        ];
        tasks.extend(metrics.map(|listener| tokio::spawn(metrics::serve(listener, Arc::clone(node)))));
        Self(tasks)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn sweep(node: Arc<Node>) {
    loop {
        tokio::time::sleep(node.config.sweep_every).await;
        match node.write(|jobs| Ok(jobs.sweep()?)).await {
            Ok(swept) if swept == ltx_jobs::Swept::default() => {}
            Ok(swept) => tracing::info!(?swept, "old work removed"),
            Err(error) => tracing::error!(%error, "old work cannot be removed"),
        }
    }
}

/// Generations are served once a model is loaded; everything else is at once.
async fn tell_health(node: Arc<Node>, health: HealthReporter) {
    let mut told = None;
    loop {
        let ready = node.is_ready();
        if told != Some(ready) {
            for service in SERVICES {
                let waits = !ready && service == "ltx.v1.GenerationService";
                let status = if waits { ServingStatus::NotServing } else { ServingStatus::Serving };
                health.set_service_status(service, status).await;
            }
            told = Some(ready);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
