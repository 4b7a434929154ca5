//! Putting a node together from its configuration: models, jobs, server.
//!
//! Must not know signals or listeners; the `serve` command brings those.

mod identity;
mod idle;
pub(crate) mod log;
mod memory;
mod models;
mod rates;

pub(crate) use identity::random_hex;

use crate::{config::NodeConfig, exit::BadInput, provenance};
use anyhow::{Context, Result};
use ltx_cluster::Joining;
use ltx_jobs::{CurrentPolicy, DataFolder, Disk, Jobs, Models, Surroundings, Tracer};
use ltx_nn::{Compute, Level, gpu_memory, gpu_name};
use ltx_policy::{ModelNames, PolicyConfig};
use ltx_provenance::Credentials;
use ltx_server::{Control, Device, Server, ServerConfig};
use ltx_traces::Traces;
use ltx_types::{FramePosition, ImageInput, ImageSource, Method, Overrides, Strength};
use models::NodeModels;
use procfs::{CpuInfo, Current};
use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// How long digests of checkpoints wait for the machine's rates. Those take seconds, where nothing else is to be done.
const MEASURED_WITHIN: Duration = Duration::from_secs(30);

/// A node that does not serve yet.
pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) jobs: Jobs,
    pub(crate) loading: Loading,
    /// Its id, which is in every mark.
    pub(crate) id: String,
    /// Where spans go, if anything is traced.
    pub(crate) traces: Option<Arc<Traces>>,
}

/// What is left to do before generations are served. It takes as long as the model takes to open.
pub(crate) struct Loading {
    jobs: Jobs,
    control: Control,
    policy: PolicyConfig,
    models: Arc<NodeModels>,
    served: Vec<String>,
    /// Whether it computes, as every node does that belongs to no cluster.
    works: bool,
}

/// Looks at everything that can be looked at without touching the data folder or the network.
pub(crate) fn look(config: &NodeConfig, level: Level) -> Result<()> {
    log::filter(&config.log)?;
    for file in config.server.listen.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]) {
        std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    }
    provenance::look(&config.provenance)?;
    let models::Known { models, names, .. } = models::open(config, level)?;
    with_aliases(names, config)?;
    configured(config, "looked-at".to_owned(), &models)?;
    Ok(())
}

/// What a clip of a model's own defaults needs.
pub(crate) struct Need {
    /// Bytes of memory at its peak; `None` where the manifest's defaults make no request.
    pub(crate) peak: Option<u64>,
    /// Bytes that a generation may take; `None` where nobody knows.
    pub(crate) available: Option<u64>,
}

/// Opens one model alone, to compute there, and plans a clip of its own defaults.
pub(crate) fn need(config: &NodeConfig, compute: Compute, model: &str) -> Result<Need> {
    let models::Known { models, catalog, .. } = models::open_these(&[model.to_owned()], config, compute)?;
    let card = catalog.cards().iter().find(|card| card.manifest.name == model);
    let image = ImageInput {
        source: ImageSource::Path("start.png".into()),
        position: FramePosition::First,
        strength: Strength::FULL,
    };
    let request = card.zip(models.rules(model)).and_then(|(card, rules)| {
        let draft = card.manifest.defaults.fill(Overrides::default(), String::new(), vec![image]);
        draft.check_by(&rules, Method::ImageToVideo).ok()
    });
    let peak = request.and_then(|request| Some(models.plan(model, &request)?.peak()));
    Ok(Need { peak, available: models.admitted_bytes() })
}

/// Opens the models, and recovers what a crash interrupted in the data folder. Stored generations begin to run.
pub(crate) fn assemble(config: &NodeConfig, level: Level, folder: DataFolder) -> Result<Node> {
    let known = models::open(config, level).and_then(|mut known| {
        known.names = with_aliases(known.names, config)?;
        Ok(known)
    });
    let models::Known { models, names, catalog, served } = match known {
        Ok(known) => known,
        Err(error) => {
            folder.give_up();
            return Err(error);
        }
    };
    let catalog = catalog.with_names(names.known());
    let id = identity::of(&config.jobs.node, &config.jobs.data)?;
    let credentials = provenance::of_node(&config.provenance, &config.jobs.data, &id);
    let credentials = match credentials {
        Ok(credentials) => credentials,
        Err(error) => {
            folder.give_up();
            return Err(error);
        }
    };
    tell(credentials.as_deref());
    let configured = configured(config, id.clone(), &models)?;
    let plans = config.models.policy.plans.iter().cloned();
    let policy = PolicyConfig::new(names).with_plans(plans).with_loaded(served.iter().cloned());
    models.keep_rates_in(&config.jobs.data);
    let works = config.cluster.as_ref().is_none_or(|cluster| cluster.roles.worker);
    let models = Arc::new(models);
    // Clients are told to wait until the first model is open; what is stored already waits for it anyway.
    let current = CurrentPolicy::while_loading(policy.clone());
    let traces = config.traces.clone().map(|traces| Traces::start(traces, &id)).transpose()?.map(Arc::new);
    let tracer = traces.clone().map(|traces| traces as Arc<dyn Tracer>);
    let surroundings =
        Surroundings { models: Arc::clone(&models) as _, policy: current, space: Box::new(Disk), credentials, tracer };
    let jobs = match &config.cluster {
        None => Jobs::open_in(folder, configured.jobs.clone(), surroundings)?,
        Some(cluster) => {
            let joining = Joining { node: &id, folder, jobs: &configured.jobs, models: served.clone() };
            let (backing, _) = ltx_cluster::join(cluster, joining)?;
            Jobs::open_on(backing, configured.jobs.clone(), surroundings)?
        }
    };
    idle::give_back_memory(jobs.clone())?;
    let server = Server::new(configured, jobs.clone(), catalog);
    let loading = Loading { jobs: jobs.clone(), control: server.control(), policy, models, served, works };
    Ok(Node { server, jobs, loading, id, traces })
}

/// Says by whose certificate outputs are signed.
fn tell(credentials: Option<&Credentials>) {
    let Some(credentials) = credentials else {
        tracing::warn!("provenance.mode: outputs carry their mark alone, and no signature");
        return;
    };
    let certificate = credentials.certificate();
    let (subject, until) = (&certificate.subject, &certificate.until);
    match credentials.own_authority() {
        Some(authority) => tracing::info!(
            subject, until, trust = %authority.display(),
            "outputs are signed by a certificate of this node's own, which nobody else vouches for"
        ),
        None => tracing::info!(subject, until, issuer = certificate.issuer, "outputs are signed"),
    }
}

/// The operator's own names for models go over the manifests'.
fn with_aliases(names: ModelNames, config: &NodeConfig) -> Result<ModelNames> {
    let named = config.models.aliases.iter().try_fold(names, |names, (alias, model)| names.with_alias(alias, model));
    named.map_err(|error| BadInput(error.to_string()).into())
}

impl Loading {
    /// Opens the default model on the device thread, and from then on generations are served. Digests of whole checkpoints
    /// follow in the background.
    ///
    /// # Errors
    /// The model cannot be opened.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { jobs, control, policy, models, served, works } = self;
        if let Some(first) = served.first().filter(|_| works) {
            jobs.preload(first).with_context(|| format!("the model {first} cannot be loaded"))?;
        }
        control.set_policy(policy);
        tracing::info!(models = served.join(","), "ready");
        // On the device thread, while nothing runs there.
        let (told, measured) = mpsc::channel();
        if works {
            jobs.measure_rates(move || _ = told.send(()));
        }
        thread::Builder::new().name("digests".into()).spawn(move || {
            // Reading and hashing would be measured, too. Where generations come first, it is.
            let _ = measured.recv_timeout(MEASURED_WITHIN);
            for model in &served {
                digest(model, &models, &control);
            }
        })?;
        Ok(())
    }
}

/// Completes a model's fingerprint.
fn digest(model: &str, models: &NodeModels, control: &Control) {
    match models.complete_fingerprint(model) {
        Ok(Some(weights)) => control.set_weights(model, weights),
        Ok(None) => {}
        Err(error) => tracing::warn!(model, %error, "the checkpoint's digest cannot be computed"),
    }
}

/// The configuration of jobs and server, with what this machine says of itself.
fn configured(config: &NodeConfig, node: String, models: &NodeModels) -> Result<ServerConfig> {
    let mut jobs = ltx_jobs::Settings { node, ..config.jobs.clone() };
    jobs.limits.memory_bytes = models.admitted_bytes();
    let server = ltx_server::Settings { device: device(config, models.compute()), ..config.server.clone() };
    Ok(server.check(jobs.check()?)?)
}

fn device(config: &NodeConfig, compute: &Compute) -> Device {
    if let Some(name) = gpu_name(&compute.device) {
        let memory_bytes = gpu_memory(&compute.device).map(|(_, total)| total);
        return Device { kind: "cuda".to_owned(), name, dtype: config.engine.dtype.clone(), threads: 0, memory_bytes };
    }
    let processors = CpuInfo::current().ok();
    Device {
        kind: "cpu".to_owned(),
        name: processors.and_then(|processors| processors.model_name(0).map(str::to_owned)).unwrap_or_default(),
        dtype: config.engine.dtype.clone(),
        threads: thread::available_parallelism().map_or(1, |threads| threads.get() as u32),
        memory_bytes: None,
    }
}
