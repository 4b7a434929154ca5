//! `ltxd serve`: a node, from its configuration to its end.
//!
//! Must not know what it serves.

use crate::{
    config::{NodeConfig, Sources},
    exit,
    node::{self, Node},
    ready_file::{self, Started},
};
use anyhow::{Context, Result, anyhow};
use ltx_jobs::DataFolder;
use ltx_nn::Level;
use ltx_server::Face;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    select,
    signal::unix::{Signal, SignalKind, signal},
};

/// How long the last spans may take, of the time to end.
const LAST_SPANS: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
#[command(
    after_help = "SIGTERM and Ctrl-C end it: nothing more is admitted, what runs is saved at its last step and goes \
on after the next start. A second one ends it at once, which loses nothing that was acknowledged either."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// A file that is written, whole, once the node serves and its default model is loaded: a JSON object with listen,
    /// metrics_listen, pid, node_id, version, tls and testing. With --listen 127.0.0.1:0 it says which port was free. One that an
    /// earlier start left is removed as soon as the data folder is this node's.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    let config = arguments.sources.load()?;
    node::log::start(&config.log)?;
    if config.server.testing.enabled {
        tracing::warn!(
            "testing.enabled: this node makes faults when it is asked to, and marks its outputs; it is for tests only"
        );
    }
    let ready_file = arguments.ready_file.as_deref();
    // In a data folder that is still to be made it can be written once that is.
    let checked = ready_file.filter(|file| config.jobs.data.exists() || !file.starts_with(&config.jobs.data));
    checked.map(ready_file::check).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.context("no runtime can be started")?.block_on(serve(&config, level, ready_file));
    let code = ended.map_or_else(|error| exit::print(&error), |()| exit::Code::Done);
    // What the device has not finished in time must not keep the process: its step is repeated after the next start.
    std::process::exit(code as i32)
}

async fn serve(config: &NodeConfig, level: Level, ready_file: Option<&Path>) -> Result<()> {
    let mut signals = Signals::new()?;
    // Before the models: a busy port is said at once.
    let (mut faces, mut listen, mut metrics_listen) = (Vec::new(), None, None);
    // A worker of a cluster answers no clients.
    if config.cluster.as_ref().is_none_or(|cluster| cluster.roles.face) {
        let listener = bind("listen", config.addresses.listen).await?;
        let address = listener.local_addr().context("the listener has no address")?;
        tracing::info!("listening on {address}");
        faces.push(Face::grpc(listener));
        listen = Some(address);
    }
    if let Some(address) = config.addresses.metrics_listen {
        let face = Face::metrics(bind("metrics_listen", address).await?);
        metrics_listen = Some(face.address().context("the metrics' listener has no address")?);
        faces.push(face);
    }
    // Before the models as well, and before the file by which a node tells of itself: a second node changes nothing of the first.
    let folder = DataFolder::hold(&config.jobs.data)?;
    if let Err(error) = ready_file.map(ready_file::remove).transpose() {
        folder.give_up();
        return Err(error);
    }
    let Node { server, jobs, loading, id, traces } = node::assemble(config, level, folder)?;
    let started = Started {
        listen,
        metrics_listen,
        node_id: id,
        tls: config.server.listen.tls.is_some(),
        testing: config.server.testing.enabled,
    };
    let ready_file = ready_file.map(Path::to_owned);
    let loaded = tokio::task::spawn_blocking(move || {
        loading.finish()?;
        ready_file.map_or(Ok(()), |file| ready_file::write(&file, &started))
    });
    let (mut failed, mut told_at) = (None, None);
    let shutdown = async {
        let told = signals.next();
        tokio::pin!(told);
        select! {
            () = &mut told => {}
            loaded = loaded => {
                failed = loaded.map_err(|error| anyhow!(error)).flatten().err();
                if failed.is_none() {
                    told.await;
                }
            }
        }
        told_at = Some(Instant::now());
    };
    let served = server.serve(faces, shutdown).await;
    if let Some(traces) = traces {
        let gone = told_at.map_or(Duration::ZERO, |told: Instant| told.elapsed());
        let left = config.server.shutdown_time.saturating_sub(gone).min(LAST_SPANS);
        if !tokio::task::spawn_blocking(move || traces.end(left)).await.unwrap_or(false) {
            tracing::warn!("the last spans were not sent in time");
        }
    }
    // Kept until here, so that its last clone does not wait for the device inside the server.
    std::mem::forget(jobs);
    match failed {
        Some(error) => Err(error),
        None => Ok(served?),
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key} = {address}: cannot listen there"))
}

/// SIGTERM and SIGINT. After the first, another one ends the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let cannot = "signals cannot be handled";
        let terminate = signal(SignalKind::terminate()).context(cannot)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).context(cannot)? })
    }

    async fn next(&mut self) {
        self.either().await;
        tokio::spawn(async {
            if let Ok(mut again) = Self::new() {
                again.either().await;
                std::process::exit(130);
            }
        });
    }

    async fn either(&mut self) {
        select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
