//! One process at a time for one file of a cache, by the lock file that `huggingface_hub` takes too.
//!
//! Must not know what is done under the lock.

use crate::{HubError, News, Result, Watch};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Held until it is dropped, or its process ends.
pub(crate) struct BlobLock {
    _file: File,
}

/// Waits for the lock; tells once where another process has it.
pub(crate) async fn hold(path: &Path, watch: &dyn Watch) -> Result<BlobLock> {
    let mut told = false;
    loop {
        if let Some(lock) = try_hold(path)? {
            return Ok(lock);
        }
        if !told {
            watch.tell(News::Waiting);
            told = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn try_hold(path: &Path) -> Result<Option<BlobLock>> {
    let failed = || HubError::io(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(HubError::io(folder))?;
    }
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed()(error)),
    }
    // Who held it before may have removed the file; then the next one takes another file's lock.
    let same = fs::metadata(path)
        .ok()
        .zip(file.metadata().ok())
        .is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()));
    Ok(same.then_some(BlobLock { _file: file }))
}
