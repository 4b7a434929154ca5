//! The application as a second face would use it: no message, no status, no socket.
//!
//! Must not know gRPC.

use super::{
    Catalog, Checked, Gauges, Given, Listing, News, Node, NodeState, Order, Phase, Problem, ReceivedImage, Request,
    Rules, Shown, Specification, Wanted,
};
use crate::Settings;
use ltx_catalog::ModelLibrary;
use ltx_jobs::{
    ClientId, CurrentPolicy, Disk, EventKind, Filter, GenerationId, Jobs, JobsError, OutputKind, State, Surroundings,
    UploadId,
};
use ltx_policy::{Ask, Reason};
use ltx_testkit::{
    default_settings,
    fake::{FakeModels, FakeOptions, draft, picture, policy},
};
use ltx_types::{
    FieldError, ImageSource, Outputs,
    settings::{Bounded, PerSecond},
};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

/// A request as a face of a test writes it.
#[derive(Debug, Clone, Default)]
struct Plain {
    model: &'static str,
    prompt: &'static str,
    width: Option<usize>,
    cfg_scale: f64,
    upload: Option<UploadId>,
    faults: Vec<FieldError>,
}

impl Specification for Plain {
    fn model(&self) -> &str {
        self.model
    }

    fn read(&self, rules: &Rules<'_>) -> Request {
        let mut draft = draft(self.prompt, 7);
        draft.width = self.width.unwrap_or(draft.width);
        draft.guidance.cfg_scale = self.cfg_scale;
        draft.schedule = rules.defaults.schedule;
        if self.upload.is_some() || !rules.images {
            draft.images[0].source = ImageSource::Bytes([].into());
        }
        let ask = Ask { model: Some(self.model.to_owned()).filter(|model| !model.is_empty()), ..Ask::default() };
        let images = vec![Given { field: "image", upload: self.upload }];
        Request { ask, draft, images, faults: self.faults.clone() }
    }
}

fn lake() -> Plain {
    Plain { prompt: "A lake", cfg_scale: 1.0, ..Plain::default() }
}

fn order(spec: Plain) -> Order<Plain> {
    let body_sha256 = format!("{spec:?}");
    Order { request_id: String::new(), spec, outputs: Ok(Outputs::One), body_sha256, faults: None, trace: None }
}

/// A node that nothing serves, and its folder.
struct Bare {
    node: Arc<Node>,
    _folder: TempDir,
}

impl Bare {
    fn new(policy: CurrentPolicy) -> Self {
        Self::with(policy, |_| {})
    }

    fn with(policy: CurrentPolicy, change: impl FnOnce(&mut ltx_jobs::Settings)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = ltx_jobs::Settings { data: folder.path().into(), node: "bare".into(), ..default_settings() };
        change(&mut config);
        let config = config.check().unwrap();
        let models = Arc::new(FakeModels::new(FakeOptions::default()));
        let jobs = Jobs::open(
            config.clone(),
            Surroundings { models, policy, space: Box::new(Disk), credentials: None, tracer: None },
        )
        .unwrap();
        let library = ModelLibrary::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")).unwrap();
        let catalog = Catalog::new(vec![library.manifest(FakeModels::NAME).unwrap().clone().into()]).unwrap();
        let node = Node::new(default_settings::<Settings>().check(config).unwrap(), jobs, catalog);
        Self { node: Arc::new(node), _folder: folder }
    }

    /// The ids of everything that a client has.
    async fn listed(&self, client: &ClientId) -> Vec<GenerationId> {
        let listing = Listing { size: 10, after: None, filter: Filter::default() };
        let show = |snapshot: super::Snapshot| Shown { item: snapshot.record.id, bytes: 1 };
        self.node.list(client.clone(), listing, 1000, show).await.unwrap().items
    }

    fn metrics(&self) -> String {
        let jobs = self.node.jobs();
        let gauges = Gauges { jobs: jobs.status().ok(), cache: jobs.cache_status(), open_streams: 0, traces: None };
        self.node.metrics.text(&gauges).unwrap()
    }
}

fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_is_ordered_followed_listed_and_fetched() {
    let bare = Bare::new(policy().into());
    let (node, alice) = (&bare.node, client("alice"));
    let named = || Order { request_id: "one".to_owned(), ..order(lake()) };
    let made = node.create(alice.clone(), named()).await.unwrap();
    let id = made.record.id;
    assert!(!made.existed);

    let mut following = node.follow(alice.clone(), Wanted { id, resume_after: 0, previews: false }).await.unwrap();
    let mut events = Vec::new();
    while let Some(news) = following.next().await.unwrap() {
        let News::Event(happened) = news else { continue };
        assert_eq!(happened.event.number, events.len() as u64 + 1);
        events.push(happened);
    }
    assert!(matches!(events[0].event.kind, EventKind::Queued { .. }));
    let last = events.pop().unwrap();
    assert!(matches!(last.event.kind, EventKind::Done) && last.done.is_some_and(|done| done.outputs_kept));
    // Counted as it happened: whoever has seen the end finds it in the metrics.
    let counted = bare.metrics();
    for line in ["accepted_total 1", "ended_total{state=\"DONE\"} 1", "steps_total{stage=\"denoising\"} 8"] {
        assert!(counted.contains(&format!("ltxd_{line}\n")), "{line} in\n{counted}");
    }

    let again = node.create(alice.clone(), named()).await.unwrap();
    assert!(again.existed && again.record.id == id);
    let sea = Plain { prompt: "A sea", ..lake() };
    let other = Order { request_id: "one".to_owned(), ..order(sea) };
    let reused = node.create(alice.clone(), other).await.unwrap_err();
    assert!(matches!(reused, Problem::Jobs(JobsError::AlreadyExists { .. })), "{reused}");

    assert_eq!((bare.listed(&alice).await, bare.listed(&client("bob")).await), (vec![id], vec![]));
    assert_eq!(node.get(alice.clone(), id).await.unwrap().record.state, State::Done);
    let output = node.open_output(alice.clone(), id, OutputKind::Video, 0).await.unwrap();
    let beyond = node.open_output(alice.clone(), id, OutputKind::Video, output.bytes + 1).await.unwrap_err();
    assert!(matches!(beyond, Problem::OffsetOutOfRange { total_bytes, .. } if total_bytes == output.bytes));
    node.delete(alice.clone(), id).await.unwrap();
    assert!(node.get(alice, id).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_takes_an_image_that_came_ahead() {
    let bare = Bare::new(policy().into());
    let alice = client("alice");
    let image = ReceivedImage { bytes: picture(), sha256: "of the bytes".to_owned() };
    let kept = bare.node.keep_upload(alice.clone(), image).await.unwrap();
    assert_eq!((kept.total_bytes, kept.sha256.as_str()), (picture().len() as u64, "of the bytes"));
    let spec = Plain { upload: Some(kept.id), ..lake() };
    bare.node.create(alice.clone(), order(spec.clone())).await.unwrap();
    let missing = bare.node.create(client("bob"), order(spec)).await.unwrap_err();
    assert!(matches!(missing, Problem::Jobs(JobsError::UploadNotFound { .. })), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_comes_before_the_fields_and_a_dry_run_says_the_same() {
    let bare = Bare::new(policy().into());
    let (node, alice) = (&bare.node, client("alice"));
    let wrong = FieldError::new("image.data", 0, "is empty");
    let spec = Plain { model: "Kling", width: Some(63), faults: vec![wrong.clone()], ..lake() };
    let Problem::Refused(refusal) = node.create(alice.clone(), order(spec.clone())).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(refusal.reason(), Reason::ExternalModelNotCovered);
    let Checked { verdict, estimate, faults, lengths } = node.check(alice.clone(), &spec).await.unwrap();
    assert!(!verdict.is_unlimited() && estimate.is_none() && faults.is_empty() && lengths.prompt.is_none());

    let spec = Plain { model: "", ..spec };
    let bad = Order { request_id: "no spaces".to_owned(), ..order(spec.clone()) };
    let Problem::Fields(faults) = node.create(alice.clone(), bad).await.unwrap_err() else { panic!() };
    assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), ["image.data", "request_id", "width"]);
    let checked = node.check(alice.clone(), &spec).await.unwrap();
    assert!(checked.verdict.is_unlimited() && checked.estimate.is_none() && checked.lengths.prompt.is_some());
    assert_eq!(checked.faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), ["image.data", "width"]);
    let good = node.check(alice.clone(), &lake()).await.unwrap();
    assert!(good.faults.is_empty() && good.estimate.is_some_and(|estimate| estimate.fits));

    assert_eq!(bare.listed(&alice).await, []);
    assert!(bare.metrics().contains("ltxd_refusals_total{reason=\"EXTERNAL_MODEL_NOT_COVERED\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_of_a_refused_order_are_counted_within_its_clients_share() {
    let bare = Bare::with(policy().into(), |jobs| {
        jobs.limits.requests_per_second = PerSecond::new(1e-9).unwrap();
        jobs.limits.request_burst = Bounded::new(1).unwrap();
    });
    let spec = Plain { prompt: "heron ".repeat(FakeModels::TOKENS).leak(), width: Some(63), ..lake() };
    let fields = async |name| match bare.node.create(client(name), order(spec.clone())).await {
        Err(Problem::Fields(faults)) => faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(fields("alice").await, ["width", "prompt"]);
    assert_eq!(fields("alice").await, ["width"], "her share is used up");
    assert_eq!(fields("bob").await, ["width", "prompt"]);
    // Where nothing else is wrong, the jobs count it, behind the same share.
    let long = Plain { width: None, ..spec.clone() };
    let limited = bare.node.create(client("bob"), order(long.clone())).await.unwrap_err();
    assert!(matches!(limited, Problem::Jobs(JobsError::RateLimited { .. })), "{limited}");
    let Problem::Fields(faults) = bare.node.create(client("carol"), order(long)).await.unwrap_err() else { panic!() };
    assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), ["prompt"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_orders_between_its_loading_and_its_stopping() {
    let bare = Bare::new(CurrentPolicy::while_loading(policy()));
    let (node, alice) = (&bare.node, client("alice"));
    let state = || async { node.about(client("alice")).await.unwrap().state };
    assert_eq!(state().await, NodeState::Loading);
    let Problem::Refused(refusal) = node.create(alice.clone(), order(lake())).await.unwrap_err() else { panic!() };
    assert_eq!(refusal.reason(), Reason::ModelNotLoaded);
    node.policy().set(policy());
    assert_eq!(state().await, NodeState::Ready);
    node.create(alice.clone(), order(lake())).await.unwrap();
    node.life.enter(Phase::Stopping);
    assert_eq!(state().await, NodeState::Stopping);
    assert!(matches!(node.create(alice, order(lake())).await, Err(Problem::Stopping)));
    assert!(node.takes_uploads().is_err());
    assert!(bare.metrics().contains("ltxd_refusals_total{reason=\"SHUTTING_DOWN\"} 2\n"));
}
