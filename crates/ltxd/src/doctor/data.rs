//! The data folder, and the room on its disk.
//!
//! Must not know what a node keeps there, beyond what its files are called.

use super::{
    Findings,
    files::{Others, others, try_write},
};
use crate::{config::NodeConfig, human::human};
use ltx_jobs::{Disk, Space};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Files that a node reads and writes at its start.
const FILES: [&str; 3] = ["jobs.sqlite", "node-id", "lock"];
/// How far in the future a file may have been written before the clock is doubted.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// The data folder of a configuration, as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    /// None is said, so none is looked at.
    NotSaid,
    /// No node runs in it.
    Idle,
    /// A node runs in it, which has its ports and its device.
    Running,
}

impl Folder {
    /// Looks, and takes nothing.
    pub(super) fn of(config: &NodeConfig, said: bool) -> Self {
        match said {
            false => Self::NotSaid,
            true if ltx_jobs::is_held(&config.jobs.data) => Self::Running,
            true => Self::Idle,
        }
    }
}

/// The folder and the files in it.
pub(super) fn folder(findings: &mut Findings<'_>, config: &NodeConfig, found: Folder) {
    if found == Folder::NotSaid {
        findings.fine("none is said (data_dir), so none is looked at");
        return;
    }
    let data = &config.jobs.data;
    let shown = data.display();
    if !data.exists() {
        return missing(findings, data);
    }
    if !data.is_dir() {
        findings.error(
            format!("{shown}: is a file, not a folder"),
            "set data_dir to a folder, or to one that is still to be made",
        );
        return;
    }
    let before = findings.all.len();
    if let (None, Ok(Some(service))) = (&config.cluster, ltx_jobs::moved_to(data)) {
        let what =
            format!("{shown}: what it holds was moved into the service {service}, so no node alone starts in it");
        findings.error(what, "set data_dir to another folder, or cluster.servers to those of the service");
    }
    if let Err(error) = try_write(data) {
        let what = format!("{shown}: nothing can be written there: {error}");
        findings.error(what, format!("give it to the node's user (chown), or mount it writable: {shown}"));
    }
    if matches!(others(data), Ok(Others::Write)) {
        findings.error(format!("{shown}: anybody here may write in it"), format!("chmod o-w {shown}"));
    }
    for name in FILES {
        let path = data.join(name);
        if !path.exists() {
            continue;
        }
        if let Err(error) = File::options().read(true).write(true).open(&path) {
            let what = format!("{}: cannot be read and written: {error}", path.display());
            findings.error(what, "give it to the node's user (chown); a folder of that name does not belong there");
        } else if let Some(ahead) = written_ahead(&path) {
            let what = format!(
                "{}: was written {} h in the future, as the clock has it",
                path.display(),
                ahead.as_secs() / 3600
            );
            findings.warn(what, "set the clock (timedatectl set-ntp true)");
        }
    }
    if findings.all.len() == before {
        let running = if found == Folder::Running { "; a node runs in it" } else { "" };
        findings.fine(format!("{shown}{running}"));
    }
}

/// A folder that the node will make.
fn missing(findings: &mut Findings<'_>, data: &Path) {
    let shown = data.display();
    let above = nearest(data);
    match try_write(&above) {
        Ok(()) => findings.fine(format!("{shown}: will be made")),
        Err(error) => {
            let what = format!("{shown}: is not there and cannot be made in {}: {error}", above.display());
            findings.error(what, format!("make it, and give it to the node's user (install -d -o USER {shown})"));
        }
    }
}

/// The nearest folder above that is there.
fn nearest(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn written_ahead(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    written.duration_since(SystemTime::now()).ok().filter(|ahead| *ahead > AHEAD)
}

/// The room on its disk, and on that of the hub's cache.
pub(super) fn disk(findings: &mut Findings<'_>, config: &NodeConfig, found: Folder) {
    if found != Folder::NotSaid {
        room_for_data(findings, config);
    }
    if let Some(cache) = crate::hub::cache() {
        room_for_models(findings, cache.root());
    }
}

fn room_for_data(findings: &mut Findings<'_>, config: &NodeConfig) {
    let data = nearest(&config.jobs.data);
    let Ok(free) = Disk.free_bytes(&data) else {
        let what = format!("{}: the system does not say how much room there is", data.display());
        findings.warn(what, "see whether the disk is mounted");
        return;
    };
    let (reserve, outputs) = (config.jobs.limits.reserve_bytes.get(), config.jobs.retention.outputs_bytes.get());
    let of = format!("{} free where {} is", human(free), data.display());
    if free < reserve {
        let what = format!("{of}, less than limits.reserve_bytes ({}): every request is STORAGE_FULL", human(reserve));
        findings.error(what, "make room, use another disk, or lower limits.reserve_bytes");
    } else if free < reserve.saturating_add(outputs) {
        let what =
            format!("{of}, less than outputs may take (retention.output_bytes, {}) and the reserve", human(outputs));
        let remedy = match free - reserve {
            0 => "make room, or use another disk".to_owned(),
            left => format!("make room, or set retention.output_bytes to {left} or less"),
        };
        findings.warn(what, remedy);
    } else {
        findings.fine(of);
    }
}

fn room_for_models(findings: &mut Findings<'_>, cache: &Path) {
    if !cache.exists() {
        return;
    }
    if !cache.is_dir() {
        let what = format!("{}: is the hub's cache, and no folder", cache.display());
        findings.error(what, "remove it, or set HF_HUB_CACHE to a folder");
    } else if let Ok(free) = Disk.free_bytes(cache) {
        findings.fine(format!("{} free in the hub's cache, {}", human(free), cache.display()));
    }
}
