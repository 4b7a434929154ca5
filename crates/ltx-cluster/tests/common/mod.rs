//! Nodes of a service with the fake for an engine, and what the service keeps.
//!
//! Must not know what is tested with them.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses a part")]

use async_nats::jetstream;
use futures_util::{StreamExt, TryStreamExt};
use ltx_cluster::{Cluster, ClusterError, Joining, Role, Settings, join};
use ltx_jobs::{DataFolder, Disk, GenerationId, Jobs, JobsError, Surroundings};
pub use ltx_testkit::fake::{LONG, client, draft, ended, eventually, frames_of, submission, submit_draft};
pub use ltx_testkit::nats::Nats;
use ltx_testkit::{
    default_settings,
    fake::{FakeModels, FakeOptions, Gate, is_locked, opened, policy, settings},
};
use ltx_types::{Stage, settings::Bounded};
use object_store::{ObjectStore, PutPayload, memory::InMemory};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What a service keeps, past its nodes.
pub struct Raw {
    runtime: tokio::runtime::Runtime,
    client: async_nats::Client,
    jetstream: jetstream::Context,
}

impl Raw {
    pub fn of(nats: &Nats) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, jetstream) = runtime.block_on(async {
            let client = async_nats::connect(&nats.address).await.unwrap();
            (client.clone(), jetstream::new(client))
        });
        Self { runtime, client, jetstream }
    }

    /// The nodes that say that they want a generation's previews, when asked as a worker asks. One that is slow is there the next time.
    pub fn want_previews(&self, id: GenerationId) -> BTreeSet<String> {
        let (client, inbox) = (&self.client, self.client.new_inbox());
        self.runtime.block_on(async {
            let mut answers = client.subscribe(inbox.clone()).await.unwrap();
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Ltxd-Preview", r#"{"node": "nobody"}"#);
            let subject = format!("ltxd.ltxd.previews.{id}");
            client.publish_with_reply_and_headers(subject, inbox, headers, "".into()).await.unwrap();
            let mut found = BTreeSet::new();
            while let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(100), answers.next()).await {
                found.insert(String::from_utf8(answer.payload.to_vec()).unwrap());
            }
            found
        })
    }

    /// What is under a key.
    pub fn get(&self, key: &str) -> Value {
        self.runtime.block_on(async {
            let stream = self.jetstream.get_stream("KV_ltxd").await.unwrap();
            let kept = stream.get_last_raw_message_by_subject(&format!("$KV.ltxd.{key}")).await.unwrap();
            serde_json::from_slice(&kept.payload).unwrap()
        })
    }

    pub fn put(&self, key: &str, value: impl Into<Vec<u8>>) {
        let (subject, value) = (format!("$KV.ltxd.{key}"), value.into());
        self.runtime.block_on(async { self.jetstream.publish(subject, value.into()).await.unwrap().await.unwrap() });
    }

    pub fn delete(&self, key: &str) {
        self.runtime.block_on(async { self.jetstream.get_key_value("ltxd").await.unwrap().delete(key).await.unwrap() });
    }

    /// The keys that hold something.
    pub fn keys(&self) -> Vec<String> {
        self.runtime.block_on(async {
            let stream = self.jetstream.get_stream("KV_ltxd").await.unwrap();
            let subjects = stream.info_with_subjects("$KV.ltxd.>").await.unwrap();
            let mut keys = Vec::new();
            for (subject, _) in subjects.try_collect::<Vec<_>>().await.unwrap() {
                let kept = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
                if kept.headers.get("KV-Operation").is_none() {
                    keys.push(subject.trim_start_matches("$KV.ltxd.").to_owned());
                }
            }
            keys
        })
    }

    /// A generation's document as a newer version would have written it; what it was before.
    pub fn age(&self, id: GenerationId) -> Value {
        let key = format!("g.{id}");
        let before = self.get(&key);
        let mut newer = before.clone();
        newer["version"] = 99.into();
        self.put(&key, newer.to_string());
        before
    }

    /// Puts a file where generations' outputs are.
    pub fn put_output(&self, kept: &Kept, name: &str) {
        self.runtime.block_on(async {
            match kept {
                Kept::JetStream => {
                    let outputs = self.jetstream.get_object_store("ltxd-outputs").await.unwrap();
                    outputs.put(name, &mut &b"frames"[..]).await.map(drop).unwrap();
                }
                Kept::S3(bucket) => {
                    let key = format!("ltxd/outputs/{name}").into();
                    bucket.put(&key, PutPayload::from_static(b"frames")).await.map(drop).unwrap();
                }
            }
        });
    }

    pub fn has_output(&self, kept: &Kept, name: &str) -> bool {
        self.files(kept).contains(&format!("outputs/{name}"))
    }

    /// The names of all files of the service, those of each shelf below its name.
    pub fn files(&self, kept: &Kept) -> Vec<String> {
        self.runtime.block_on(async {
            let mut names = Vec::new();
            match kept {
                Kept::JetStream => {
                    // Listing by the client waits for as many as there were when it began, also for what is removed meanwhile.
                    for shelf in ["images", "latents", "outputs"] {
                        let stream = self.jetstream.get_stream(format!("OBJ_ltxd-{shelf}")).await.unwrap();
                        let subjects = stream.info_with_subjects(format!("$O.ltxd-{shelf}.M.>")).await.unwrap();
                        for (subject, _) in subjects.try_collect::<Vec<_>>().await.unwrap() {
                            let Ok(info) = stream.get_last_raw_message_by_subject(&subject).await else { continue };
                            let info: Value = serde_json::from_slice(&info.payload).unwrap();
                            if info["deleted"] != true {
                                names.push(format!("{shelf}/{}", info["name"].as_str().unwrap()));
                            }
                        }
                    }
                }
                Kept::S3(bucket) => {
                    let all = bucket.list(None).try_collect::<Vec<_>>().await.unwrap();
                    names.extend(
                        all.into_iter().filter_map(|it| Some(it.location.as_ref().strip_prefix("ltxd/")?.to_owned())),
                    );
                    names.retain(|name| !name.starts_with("service-"));
                }
            }
            names
        })
    }

    /// The names of everything that the servers keep in streams.
    pub fn streams(&self) -> Vec<String> {
        self.runtime.block_on(async { self.jetstream.stream_names().try_collect().await.unwrap() })
    }

    /// How many events of a generation are in the log.
    pub fn events(&self, id: GenerationId) -> usize {
        self.runtime.block_on(async {
            let stream = self.jetstream.get_stream("ltxd-events").await.unwrap();
            let counts = stream.info_with_subjects(format!("ltxd.ltxd.events.{id}")).await.unwrap();
            counts.try_collect::<Vec<_>>().await.unwrap().iter().map(|(_, count)| count).sum()
        })
    }

    /// The work queue loses the message of a generation.
    pub fn lose_message(&self, id: GenerationId) {
        self.runtime.block_on(async {
            let stream = self.jetstream.get_stream("ltxd-work").await.unwrap();
            for place in 1..=stream.cached_info().state.last_sequence {
                if stream.get_raw_message(place).await.is_ok_and(|message| message.payload == id.to_string()) {
                    stream.delete_message(place).await.unwrap();
                }
            }
        });
    }
}

/// Where the files of a service lie.
#[derive(Debug, Clone)]
pub enum Kept {
    JetStream,
    S3(Arc<InMemory>),
}

impl Kept {
    /// Both, S3 as a bucket in memory: what must hold there must hold here.
    pub fn both() -> [Self; 2] {
        [Self::JetStream, Self::s3()]
    }

    /// A bucket of its own.
    pub fn s3() -> Self {
        Self::S3(Arc::default())
    }
}

/// A node of a service.
pub struct Node {
    pub jobs: Jobs,
    pub cluster: Arc<Cluster>,
    pub gate: Gate,
}

/// How a node is set up.
#[derive(Clone)]
pub struct Plan {
    pub roles: &'static [Role],
    pub fake: FakeOptions,
    /// Longer than anything takes where a test does not say: no late sign of life gives anything to another worker.
    pub silent_seconds: u64,
    pub fruitless_crashes: u64,
    pub queued_per_client: usize,
    pub burst: u32,
    pub kept: Kept,
}

pub const FACE: &[Role] = &[Role::Face];
pub const WORKER: &[Role] = &[Role::Worker];

impl Plan {
    pub fn of(roles: &'static [Role]) -> Self {
        Self {
            roles,
            fake: FakeOptions::default(),
            silent_seconds: 600,
            fruitless_crashes: 100,
            queued_per_client: 100_000,
            burst: 1_000_000,
            kept: Kept::JetStream,
        }
    }

    /// The same in a service whose files lie there.
    pub fn kept(self, kept: &Kept) -> Self {
        Self { kept: kept.clone(), ..self }
    }

    /// A worker that the test holds.
    pub fn held() -> Self {
        Self { fake: FakeOptions { gate: Gate::closed(), ..FakeOptions::default() }, ..Self::of(WORKER) }
    }
}

#[derive(Deserialize)]
struct Section {
    cluster: Settings,
}

pub fn cluster_settings(address: &str, plan: &Plan) -> Settings {
    let Section { mut cluster } = default_settings();
    cluster.servers = vec![address.to_owned()];
    cluster.roles.face = plan.roles.contains(&Role::Face);
    cluster.roles.worker = plan.roles.contains(&Role::Worker);
    cluster.silent_seconds = Bounded::new(plan.silent_seconds).unwrap();
    cluster
}

pub fn try_node(address: &str, data: &Path, name: &str, plan: &Plan) -> Result<Node, ClusterError> {
    let mut settings = settings(data);
    settings.node = name.to_owned();
    settings.limits.queued = Bounded::new(1_000_000).unwrap();
    settings.limits.fruitless_crashes = Bounded::new(plan.fruitless_crashes).unwrap();
    settings.limits.queued_per_client = Bounded::new(plan.queued_per_client as u64).unwrap();
    settings.limits.request_burst = Bounded::new(plan.burst.into()).unwrap();
    if plan.burst < 1_000_000 {
        settings.limits.requests_per_second = ltx_types::settings::PerSecond::new(0.001).unwrap();
    }
    let config = settings.check().unwrap();
    let mut cluster = cluster_settings(address, plan).check().unwrap().unwrap();
    if let Kept::S3(bucket) = &plan.kept {
        cluster.keep_files_in(Arc::clone(bucket) as _);
    }
    let folder = DataFolder::hold(data)?;
    let models = vec![FakeModels::NAME.to_owned()];
    let (backing, cluster) = join(&cluster, Joining { node: name, folder, jobs: &config, models })?;
    let models = Arc::new(FakeModels::new(plan.fake.clone()));
    let surroundings =
        Surroundings { models, policy: policy().into(), space: Box::new(Disk), credentials: None, tracer: None };
    let jobs = Jobs::open_on(backing, config, surroundings)?;
    Ok(Node { jobs, cluster, gate: plan.fake.gate.clone() })
}

/// A node whose folder lies below `root`.
pub fn node(address: &str, root: &Path, name: &str, plan: &Plan) -> Node {
    let is_locked = |error: &ClusterError| matches!(error, ClusterError::Jobs(error) if is_locked(error));
    opened(|| try_node(address, &root.join(name), name, plan), is_locked)
}

pub fn submit(jobs: &Jobs, owner: &str, seed: u64) -> GenerationId {
    submit_draft(jobs, owner, draft("a lake", seed)).unwrap().record.id
}

/// A generation that one worker has begun and another one has taken over, both held in the middle of it.
pub struct TakenOver {
    pub face: Node,
    pub first: Node,
    pub second: Node,
    /// Of seed 3.
    pub id: GenerationId,
    /// Of seed 4 and the same client, so that the second worker looks at what that client has; what is given out again comes before it.
    pub behind: GenerationId,
}

impl TakenOver {
    /// Held before these denoising steps.
    pub fn at(nats: &Nats, root: &Path, kept: &Kept, [first_step, second_step]: [usize; 2]) -> Self {
        let face = node(&nats.address, root, "face", &Plan::of(FACE).kept(kept));
        let first = node(&nats.address, root, "first", &Plan::held().kept(kept));
        let id = submit(&face.jobs, "a", 3);
        first.gate.bring_to(3, Stage::Denoising, first_step);
        let behind = submit(&face.jobs, "a", 4);
        // Its message is given out again, as if it had been silent.
        first.cluster.fall_silent();
        let second = node(&nats.address, root, "second", &Plan::held().kept(kept));
        second.gate.bring_to(3, Stage::Denoising, second_step);
        Self { face, first, second, id, behind }
    }
}

/// The frames of a seed on a node alone that nobody disturbs.
pub fn undisturbed(seeds: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let models = Arc::new(FakeModels::default());
    let surroundings =
        Surroundings { models, policy: policy().into(), space: Box::new(Disk), credentials: None, tracer: None };
    let jobs = Jobs::open(settings(folder.path()).check().unwrap(), surroundings).unwrap();
    let ids: Vec<_> = seeds.into_iter().map(|seed| (seed, submit(&jobs, "a", seed))).collect();
    ids.into_iter().map(|(seed, id)| (seed, frames_of(&ended(&jobs, "a", id)))).collect()
}
