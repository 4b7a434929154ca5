//! A node of a test: its folder, its server, its clients.
//!
//! Must not know what is tested.

use ltx_catalog::{Manifest, ManifestFile, ManifestFiles};
use ltx_jobs::{ClientId, Filter, Jobs, Surroundings};
use ltx_policy::{KnownModel, ModelNames, PolicyConfig};
use ltx_proto::v1::{
    self, generation_service_client::GenerationServiceClient, generation_spec::Images, image::Source,
    node_service_client::NodeServiceClient, policy_service_client::PolicyServiceClient,
    upload_service_client::UploadServiceClient,
};
use ltx_server::{Catalog, Control, Face, ModelCard, Server, ServerError, Settings, Token, TokenHash};
use ltx_testkit::{
    default_settings,
    fake::{FakeModels, FakeOptions, Gate, LONG, picture},
};
use ltx_types::{
    Defaults, Flow, Schedule,
    settings::{Bounded, PerSecond},
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{Request, Status, Streaming, transport::Channel};
use tonic_types::StatusExt;

/// What does not end while a test runs.
const HOUR: Duration = Duration::from_secs(3600);
/// The model that is loaded.
pub(crate) const LOADED: &str = FakeModels::NAME;
/// One that is known and not loaded.
pub(crate) const OTHER: &str = "ltx-2.3-other";
/// Two clients' tokens.
pub(crate) const ALICE: &str = "alice's secret";
pub(crate) const BOB: &str = "bob's secret";

/// How a test wants its node.
pub(crate) struct Wish {
    pub(crate) fake: FakeOptions,
    pub(crate) tokens: bool,
    pub(crate) jobs: fn(&mut ltx_jobs::Settings),
    pub(crate) server: fn(&mut Settings),
}

impl Default for Wish {
    fn default() -> Self {
        Self { fake: FakeOptions::default(), tokens: false, jobs: |_| {}, server: |_| {} }
    }
}

impl Wish {
    /// A node whose device a test holds.
    pub(crate) fn behind(gate: &Gate) -> Self {
        Self { fake: FakeOptions { gate: gate.clone(), ..FakeOptions::default() }, ..Self::default() }
    }
}

/// A node that serves.
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) control: Control,
    pub(crate) jobs: Jobs,
    pub(crate) folder: TempDir,
    pub(crate) serving: JoinHandle<Result<(), ServerError>>,
    pub(crate) stop: oneshot::Sender<()>,
}

pub(crate) fn policy() -> PolicyConfig {
    let known = [LOADED, OTHER].map(|name| {
        let aliases =
            if name == LOADED { vec!["LTX 2.3".to_owned(), "Use Carat Basic Video (LTX 2.3)".into()] } else { vec![] };
        KnownModel::new(name, aliases, "ltx-2.3").unwrap()
    });
    PolicyConfig::new(ModelNames::new(known.to_vec(), [])).with_loaded([LOADED.to_owned()])
}

fn manifest(name: &str) -> Manifest {
    let file = || ManifestFile { path: Some("none".into()), ..ManifestFile::default() };
    Manifest {
        name: name.to_owned(),
        aliases: vec![],
        family: "ltx-2.3".into(),
        version: "2.3.0-fake".into(),
        licence: "none".into(),
        description: "A fake.".into(),
        files: ManifestFiles {
            checkpoint: file(),
            components: vec![],
            text_encoder: file(),
            upscaler: None,
            loras: vec![],
        },
        defaults: Defaults {
            flow: (name == OTHER).then_some(Flow::Distilled),
            width: 64,
            height: 64,
            frames: 9,
            steps: 8,
            ..Defaults::official(Schedule::Distilled)
        },
    }
}

impl TestNode {
    pub(crate) async fn start(wish: Wish) -> Self {
        Self::in_folder(wish, TempDir::new().unwrap()).await
    }

    pub(crate) async fn in_folder(wish: Wish, folder: TempDir) -> Self {
        let mut jobs =
            ltx_jobs::Settings { data: folder.path().into(), node: "test-node".into(), ..default_settings() };
        jobs.limits.requests_per_second = PerSecond::new(1e6).unwrap();
        jobs.limits.request_burst = Bounded::new(100_000).unwrap();
        (wish.jobs)(&mut jobs);
        let config = jobs.check().unwrap();
        let models = Arc::new(FakeModels::new(wish.fake));
        let surroundings = Surroundings {
            models,
            policy: policy().into(),
            space: Box::new(ltx_jobs::Disk),
            credentials: None,
            tracer: None,
        };
        let jobs = Jobs::open(config.clone(), surroundings).unwrap();
        let mut settings = default_settings::<Settings>();
        settings.shutdown_time = LONG;
        // A busy machine makes no client a slow one.
        let limits = &mut settings.limits;
        (limits.handshake_time, limits.connection_idle_time, limits.idle_time) = (HOUR, HOUR, HOUR);
        (limits.call_time, limits.upload_time) = (HOUR, HOUR);
        if wish.tokens {
            let token = |name, text| Token { client: ClientId::new(name).unwrap(), hash: TokenHash::of(text) };
            settings.listen.tokens = vec![token("alice", ALICE), token("bob", BOB)];
        }
        (wish.server)(&mut settings);
        let catalog = Catalog::new([LOADED, OTHER].map(|name| ModelCard::from(manifest(name))).to_vec()).unwrap();
        let server = Server::new(settings.check(config).unwrap(), jobs.clone(), catalog);
        let control = server.control();
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (grpc, metrics) = (listen().await.unwrap(), listen().await.unwrap());
        let (address, metrics_address) = (grpc.local_addr().unwrap(), metrics.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let faces = vec![Face::grpc(grpc), Face::metrics(metrics)];
        let serving = tokio::spawn(server.serve(faces, shutdown));
        Self { address, metrics: metrics_address, control, jobs, folder, serving, stop }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn generations(&self) -> GenerationServiceClient<Channel> {
        GenerationServiceClient::new(self.channel().await).max_encoding_message_size(1 << 30)
    }

    pub(crate) async fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel().await)
    }

    pub(crate) async fn uploads(&self) -> UploadServiceClient<Channel> {
        UploadServiceClient::new(self.channel().await)
    }

    pub(crate) async fn about(&self) -> v1::Node {
        let mut client = NodeServiceClient::new(self.channel().await);
        client.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner().node.unwrap()
    }

    /// Generations of every client, and bytes of every file.
    pub(crate) fn kept(&self) -> (usize, u64) {
        let rows = ["local", "alice", "bob"].map(|client| {
            let client = ClientId::new(client).unwrap();
            self.jobs.list(&client, &Filter::default(), 1000, None).unwrap().records.len()
        });
        (rows.into_iter().sum(), bytes_in(self.folder.path()))
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let bytes = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => bytes_in(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    entries.map(bytes).sum()
}

pub(crate) fn image() -> v1::Image {
    v1::Image { source: Some(Source::Data(picture().to_vec().into())), strength: None }
}

/// One image and a prompt.
pub(crate) fn spec(seed: u64) -> v1::GenerationSpec {
    v1::GenerationSpec {
        prompt: "A lake".into(),
        seed: Some(seed),
        images: Some(Images::Image(image())),
        ..v1::GenerationSpec::default()
    }
}

pub(crate) fn create(spec: v1::GenerationSpec) -> v1::CreateGenerationRequest {
    v1::CreateGenerationRequest { request_id: String::new(), spec: Some(spec), ..Default::default() }
}

/// A request with a token.
pub(crate) fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// ErrorInfo's reason.
#[track_caller]
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "ltxd");
    info.reason
}

/// Begins to watch.
pub(crate) async fn watching(
    client: &mut GenerationServiceClient<Channel>,
    id: &str,
    resume_after: u64,
) -> Streaming<v1::WatchGenerationResponse> {
    let request = v1::WatchGenerationRequest { id: id.to_owned(), resume_after, previews: false };
    client.watch_generation(request).await.unwrap().into_inner()
}

/// Watches to the end.
pub(crate) async fn watched(
    client: &mut GenerationServiceClient<Channel>,
    id: &str,
    resume_after: u64,
) -> Vec<v1::GenerationEvent> {
    to_the_end(watching(client, id, resume_after).await).await
}

/// All that a watch brings yet.
pub(crate) async fn to_the_end(mut stream: Streaming<v1::WatchGenerationResponse>) -> Vec<v1::GenerationEvent> {
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(v1::watch_generation_response::News::Event(event)) = message.news {
            events.push(event);
        }
    }
    events
}
