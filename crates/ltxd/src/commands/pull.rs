//! `ltxd pull`: brings the files of models here, from the hub that publishes them or from another program's folder.
//!
//! Must not know what is in the files.

mod bars;
mod elsewhere;
mod plan;
mod report;

use crate::{exit::BadInput, hub, human::human, library};
use anyhow::{Context, Result, anyhow};
use bars::Bars;
use ltx_catalog::{Manifest, ModelLibrary, Pins, Source, Whereabouts};
use ltx_hub::{Cache, Hub, HubError, HubSettings, Patience, free_bytes};
use ltx_types::Cancelled;
use plan::{Plan, Planned, Step};
use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, time::Duration};
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

#[derive(clap::Args)]
#[command(
    after_help = "The hub's variables count as they do for huggingface_hub: HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, \
HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, HTTPS_PROXY, HTTP_PROXY, NO_PROXY. Ctrl-C keeps what has come; the next pull goes on."
)]
pub(crate) struct Arguments {
    /// Models by name (see `ltxd models`). With --dry-run, all of them where none is named.
    #[arg(value_name = "NAME", required_unless_present = "dry_run")]
    names: Vec<String>,
    /// A folder of another program, such as ComfyUI or LTX-Desktop: files that it has under their published names are used in place.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Say what would be fetched and how much, and fetch nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take what is published now, where the lock file has an earlier state.
    #[arg(long)]
    update: bool,
    /// Ranges of a file that are fetched at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    connections: u8,
    /// Print a summary as JSON on standard output, and no progress.
    #[arg(long)]
    json: bool,
    /// Folder of model manifests.
    #[arg(long, env = "LTXD_MODELS", value_name = "DIR")]
    models_dir: Option<PathBuf>,
}

/// A pull that goes on.
struct Pull<'a> {
    arguments: &'a Arguments,
    library: &'a ModelLibrary,
    hub: Hub,
    bars: Bars,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let library = library::open(arguments.models_dir.as_deref())?;
    let manifests = chosen(&arguments.names, &library)?;
    let nowhere = "there is no folder for downloads: set HF_HOME, HF_HUB_CACHE or HOME";
    let cache = hub::cache().ok_or_else(|| BadInput(nowhere.into()))?;
    let pull = Pull {
        arguments,
        library: &library,
        hub: Hub::new(settings(arguments)?, cache)?,
        bars: Bars::new(arguments.json),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime can be started")?;
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        select! {
            ended = pull.run(&manifests) => ended,
            _ = terminate.recv() => Err(stopped()),
            _ = interrupt.recv() => Err(stopped()),
        }
    });
    pull.bars.clear();
    // A digest that is being added up must not keep the process.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

fn stopped() -> anyhow::Error {
    anyhow!(Cancelled).context("stopped; what has come stays, and the next pull goes on")
}

fn settings(arguments: &Arguments) -> Result<HubSettings> {
    let settings = hub::settings()?;
    let connections = usize::from(arguments.connections);
    if !arguments.dry_run {
        return Ok(HubSettings { connections, ..settings });
    }
    // What a dry run cannot learn at once stays unknown.
    let answer = settings.patience.answer.min(Duration::from_secs(10));
    Ok(HubSettings { connections, patience: Patience { attempts: 1, answer, ..settings.patience }, ..settings })
}

/// The manifests of the names, or all.
fn chosen<'a>(names: &[String], library: &'a ModelLibrary) -> Result<Vec<&'a Manifest>> {
    if names.is_empty() {
        return Ok(library.manifests().iter().collect());
    }
    let known = library.names();
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for name in names {
        let found = known.find(name).and_then(|model| library.manifest(model.name()));
        let manifest = found.ok_or_else(|| unknown(name, library))?;
        if seen.insert(&manifest.name) {
            chosen.push(manifest);
        }
    }
    Ok(chosen)
}

fn unknown(name: &str, library: &ModelLibrary) -> BadInput {
    let all = library.manifests().iter().flat_map(|manifest| std::iter::once(&manifest.name).chain(&manifest.aliases));
    let like = |known: &String| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest = all.max_by(|a, b| like(a).total_cmp(&like(b)));
    let nearest = nearest.map(|nearest| format!("; nearest: {nearest}")).unwrap_or_default();
    BadInput(format!(
        "{name}: no manifest in {} has this name{nearest}; ltxd models lists them",
        library.folder().display()
    ))
}

impl Pull<'_> {
    async fn run(&self, manifests: &[&Manifest]) -> Result<()> {
        let found = self.look_elsewhere(manifests).await?;
        let plan = self.plan(manifests, &found).await?;
        for note in &plan.notes {
            self.bars.say(note);
        }
        if self.arguments.dry_run {
            self.report(&plan);
            return Ok(());
        }
        plan.check_sources()?;
        self.check_space(&plan)?;
        self.bars.begin(plan.missing_bytes().unwrap_or(0));
        for (step, source) in plan.steps_to_fetch() {
            for planned in &step.files {
                self.fetch(source, planned).await?;
            }
            self.point(source, step)?;
        }
        self.bars.clear();
        self.report(&plan);
        Ok(())
    }

    /// Asks for room before anything is fetched.
    fn check_space(&self, plan: &Plan<'_>) -> Result<()> {
        let (folder, needed) = (self.hub.cache().root(), plan.missing_bytes().unwrap_or(0));
        match free_bytes(folder) {
            Some(free) if free < needed => Err(HubError::NoSpace { folder: folder.to_owned(), needed, free }.into()),
            _ => Ok(()),
        }
    }

    async fn fetch(&self, source: &Source, planned: &Planned) -> Result<()> {
        let Some(remote) = &planned.remote else { return Ok(()) };
        let watch = self.bars.file(&remote.file.to_string(), remote.bytes);
        self.hub.fetch(remote, planned.pinned.as_ref(), &watch.as_watch()).await?;
        watch.done();
        hub::write_record(self.library.folder(), |folder| {
            Pins::change(&hub::lock_in(folder), |pins| pins.pin(source, remote))
        })
    }

    /// A pinned commit gets its branch's name where nothing has it, so that other programs find it by that.
    fn point(&self, source: &Source, step: &Step) -> Result<()> {
        let cache: &Cache = self.hub.cache();
        let Some(remote) = step.files.iter().find_map(|planned| planned.remote.as_ref()) else { return Ok(()) };
        if self.arguments.update || cache.commit(&source.repository, &source.revision).is_none() {
            cache.point(&source.repository, &source.revision, &remote.commit)?;
        }
        Ok(())
    }
}

/// Whether a file needs nothing.
fn is_here(here: &Whereabouts) -> bool {
    *here != Whereabouts::Missing
}

/// Bytes for people, or that they are unknown.
fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), human)
}
