//! Removing what has been kept long enough, and what a crash left behind.
//!
//! Must not touch what waits or runs. Rows go before their files: a crash between the two leaves files without a row,
//! which the next start removes.

use crate::{
    GenerationId, JobsError, Result, WatchEnd,
    core::Core,
    folder::{DataFolder, remove},
    store::Store,
};
use std::{collections::HashSet, ffi::OsString, fs, path::Path, sync::PoisonError, time::Duration};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Generations whose outputs went.
    pub outputs: usize,
    /// Uploads.
    pub uploads: usize,
    /// Generations of which nothing is known any more.
    pub records: usize,
}

/// One sweep.
///
/// # Errors
/// `Database`, `StorageFull`, `File`.
pub(crate) fn sweep(core: &Core) -> Result<Swept> {
    let keep = &core.config.retention;
    let now = core.now();
    let before = |kept: Duration| now.age_ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let outputs = core.store.expire_outputs(before(keep.outputs_for), keep.outputs_bytes.get())?;
    let records = core.store.expire_records(before(keep.records_for))?;
    let uploads = core.store.expire_uploads(before(keep.uploads_for), keep.uploads_bytes.get())?;
    for id in outputs.iter().chain(&records) {
        remove(&core.folder.output(*id))?;
    }
    for id in &records {
        core.hub.end(*id, WatchEnd::Deleted);
    }
    sweep_images(core)?;
    core.store.store_clock(now)?;
    Ok(Swept { outputs: outputs.len(), uploads, records: records.len() })
}

/// Removes image files that nothing needs. No file is made meanwhile whose row is still to come.
fn sweep_images(core: &Core) -> Result<()> {
    let _alone = core.files.write().unwrap_or_else(PoisonError::into_inner);
    remove_others(&core.folder.images(), &core.store.needed_images()?.into_iter().map(OsString::from).collect())
}

/// Removes whatever has no row; before anything runs.
///
/// # Errors
/// `Database`, `File`, `Corrupt`.
pub(crate) fn remove_orphans(folder: &DataFolder, store: &Store) -> Result<()> {
    let (with_outputs, unfinished) = store.owners_of_files()?;
    let names = |ids: Vec<GenerationId>| ids.iter().map(|id| id.to_string().into()).collect();
    remove_others(&folder.outputs(), &names(with_outputs))?;
    remove_others(&folder.latents(), &names(unfinished))?;
    remove_others(&folder.images(), &store.needed_images()?.into_iter().map(OsString::from).collect())
}

fn remove_others(folder: &Path, kept: &HashSet<OsString>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(JobsError::file(folder))? {
        let entry = entry.map_err(JobsError::file(folder))?;
        if !kept.contains(&entry.file_name()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
