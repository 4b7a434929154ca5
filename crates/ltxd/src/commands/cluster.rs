//! `ltxd cluster import`: what a node alone holds is moved into a service of many nodes.
//!
//! Must not know how a service keeps it.

use crate::{
    config::Sources,
    exit::{BadInput, Code},
    human::human,
    node::{log, random_hex},
    progress,
};
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use ltx_cluster::{Import, Imported, Joining, Roles, join};
use ltx_jobs::{Alone, DataFolder, GenerationId, JobsError, State};
use std::{
    collections::HashSet,
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Move the data folder of a node alone into a service: records, events, images, latents, outputs, uploads.
    #[command(
        after_help = "What waits goes on waiting, what ran goes on from its saved latent, what has ended is listed, watched and downloaded as \
before, and is kept as much longer as it would have been. No node may work in the folder meanwhile; the service's nodes may. Nothing in the \
folder is changed: in the end moved.json says there where it was moved, and no node alone starts in it any more. A move that was cut \
short goes on when the same is said again. What cannot be moved is named, with exit code 1, and the folder is not marked then: mend it, or \
leave it with --leave."
    )]
    Import(Box<Importing>),
}

#[derive(clap::Args)]
struct Importing {
    /// The data folder of the node alone.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Say what would be moved and what cannot be; neither the folder nor the service is changed, nor is the service asked.
    #[arg(long)]
    dry_run: bool,
    /// A generation that stays in the folder, and is lost to the service's clients; may be said several times.
    #[arg(long, value_name = "ID")]
    leave: Vec<GenerationId>,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    sources: Sources,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Command::Import(importing) = &arguments.command;
    importing.run()
}

impl Importing {
    fn run(&self) -> Result<ExitCode> {
        // A data_dir of the configuration would be a node's own: nothing is kept there now.
        let (config, _) = self.sources.load_for_doctor()?;
        let none = || BadInput("cluster.servers: names no NATS server, and so no service to move anything into".into());
        let mut cluster = config.cluster.clone().ok_or_else(none)?;
        log::start(&config.log)?;
        let scratch = tempfile::tempdir().context("no folder for scratch can be made")?;
        let alone = match Alone::open(&self.data, scratch.path()) {
            Ok(alone) => alone,
            // Said again, it is done already.
            Err(JobsError::Moved { service, .. }) if service == cluster.service() && self.leave.is_empty() => {
                println!("{}: was moved into the service {service} before", self.data.display());
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => return Err(error.into()),
        };
        let bar = if self.quiet || !stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::no_length() };
        bar.set_style(progress::style("{msg:<11} {bar:32} {pos}/{len}  {elapsed} gone, {eta} left"));
        bar.set_message(if self.dry_run { "looking" } else { "moving" });
        let progress = |done: usize, all: usize| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let leave = self.leave.iter().copied().collect::<HashSet<_>>();
        let fruitless_crashes = config.jobs.limits.fruitless_crashes.get();
        let import = Import { alone: &alone, leave, fruitless_crashes, progress: &progress };
        let imported = if self.dry_run {
            import.look()?
        } else {
            let mut jobs = ltx_jobs::Settings { data: scratch.path().join("node"), ..config.jobs.clone() };
            jobs.node = format!("import-{}", random_hex(8)?);
            let jobs = jobs.check()?;
            // It answers nobody and computes nothing; of the two this is the one that takes no work.
            cluster.roles = Roles { face: true, worker: false };
            let folder = DataFolder::hold(&jobs.data)?;
            let (_, joined) = join(&cluster, Joining { node: &jobs.node, folder, jobs: &jobs, models: Vec::new() })?;
            joined.import(&import)?
        };
        bar.finish_and_clear();
        self.tell(&imported, cluster.service());
        if !imported.refused.is_empty() {
            return Ok(Code::Failed.into());
        }
        if !self.dry_run {
            alone.is_moved_to(cluster.service())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, imported: &Imported, service: &str) {
        for (id, why) in &imported.refused {
            eprintln!("ltxd: generation {id} cannot be moved: {why}");
        }
        let states = State::ALL.iter().zip(imported.moved).filter(|(_, count)| *count > 0);
        let states: Vec<_> = states.map(|(state, count)| format!("{count} {}", state.as_str())).collect();
        let states = if states.is_empty() { String::new() } else { format!(" ({})", states.join(", ")) };
        let (generations, uploads, bytes) = (imported.generations(), imported.uploads, human(imported.bytes));
        let verb = if self.dry_run { "would be moved" } else { "moved" };
        println!("{generations} generations{states} and {uploads} uploads {verb} into the service {service}: {bytes}");
        if imported.there > 0 {
            println!("{} generations were moved before", imported.there);
        }
        if imported.left > 0 {
            println!("{} generations are left in {}, as was said", imported.left, self.data.display());
        }
        if !imported.refused.is_empty() {
            let count = imported.refused.len();
            println!("{count} generations cannot be moved: mend what is said of them, or leave them with --leave");
        }
    }
}
