//! Removing what has been kept long enough, and what a crash left behind.
//!
//! Must not touch what waits or runs. Rows go before their files: a crash between the two leaves files without a row,
//! which the next start removes.

use crate::{
    GenerationId, JobsError, Result, TensorCache, WatchEnd,
    core::Core,
    ports::{Blobs, FileOwners, Shelf, Store, SweepTurn},
};
use std::{collections::HashSet, ffi::OsString, time::Duration};

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
    let turn = core.store.sweep_turn()?;
    if turn == SweepTurn::NotNow {
        remove_unused(&core.cache, &*core.store)?;
        core.cache.expire();
        return Ok(Swept::default());
    }
    let keep = &core.config.retention;
    let now = core.now();
    let before = |kept: Duration| now.age_ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let outputs = core.store.expire_outputs(before(keep.outputs_for), keep.outputs_bytes.get())?;
    let records = core.store.expire_records(before(keep.records_for))?;
    let uploads = core.store.expire_uploads(before(keep.uploads_for), keep.uploads_bytes.get())?;
    let removed = each(outputs.iter().chain(&records), |id| core.blobs.delete_of(Shelf::Outputs, *id));
    for id in &records {
        core.events.watchers().end(*id, WatchEnd::Deleted);
    }
    let others = match turn {
        SweepTurn::ExpiredAndOrphans => remove_orphans(&*core.blobs, &*core.store),
        _ => sweep_images(core),
    };
    remove_unused(&core.cache, &*core.store)?;
    core.cache.expire();
    core.store.store_clock(now)?;
    removed.and(others)?;
    Ok(Swept { outputs: outputs.len(), uploads, records: records.len() })
}

/// How many images are removed before requests that bring some go on.
const AT_ONCE: usize = 16;

/// Removes image files that nothing needs. No file is made while some are looked at whose row is still to come.
fn sweep_images(core: &Core) -> Result<()> {
    let others = others(&*core.blobs, Shelf::Images, &needed_images(&*core.store)?)?;
    each(others.chunks(AT_ONCE), |some| {
        let _alone = core.files.write();
        let needed = needed_images(&*core.store)?;
        each(some.iter().filter(|name| !needed.contains(*name)), |name| core.blobs.delete(Shelf::Images, name))
    })
}

/// Removes whatever has no row; before anything runs.
///
/// # Errors
/// `Database`, `File`, `Corrupt`.
pub(crate) fn remove_orphans(blobs: &dyn Blobs, store: &dyn Store) -> Result<()> {
    let FileOwners { with_outputs, unfinished } = store.owners_of_files()?;
    let names = |ids: Vec<GenerationId>| ids.iter().map(|id| id.to_string().into()).collect();
    remove_others(blobs, Shelf::Outputs, &names(with_outputs))?;
    remove_others(blobs, Shelf::Latents, &names(unfinished))?;
    remove_others(blobs, Shelf::Images, &needed_images(store)?)
}

/// Removes from the cache what was used by no generation of which anything is known.
///
/// # Errors
/// `Database`.
pub(crate) fn remove_unused(cache: &TensorCache, store: &dyn Store) -> Result<()> {
    store.unused_cached(cache.keys())?.iter().for_each(|key| cache.remove(key));
    Ok(())
}

fn needed_images(store: &dyn Store) -> Result<HashSet<OsString>> {
    Ok(store.needed_images()?.into_iter().map(OsString::from).collect())
}

/// What is on a shelf beside what is kept.
fn others(blobs: &dyn Blobs, shelf: Shelf, kept: &HashSet<OsString>) -> Result<Vec<OsString>> {
    Ok(blobs.list(shelf)?.into_iter().filter(|name| !kept.contains(name)).collect())
}

fn remove_others(blobs: &dyn Blobs, shelf: Shelf, kept: &HashSet<OsString>) -> Result<()> {
    each(others(blobs, shelf, kept)?, |name| blobs.delete(shelf, &name))
}

/// Does something with each. One with which it fails keeps it from no other, unless the store is away: the first failure comes last.
fn each<T>(all: impl IntoIterator<Item = T>, act: impl Fn(T) -> Result<()>) -> Result<()> {
    let mut failed = Ok(());
    for one in all {
        match act(one) {
            Err(error @ JobsError::Unavailable { .. }) => return Err(error),
            done => failed = failed.and(done),
        }
    }
    failed
}
