//! The data folder: who holds it, what lies where, how a file gets there whole, and how much room is left.
//!
//! Must not know the database's contents.
//!
//! ```text
//! lock                  held while a node runs
//! jobs.sqlite           the database (and its -wal, -shm)
//! images/<sha256>       images of requests and uploads, by content
//! latents/<id>          the saved latent of a running generation
//! outputs/<id>/         video.mp4, poster.png, generation.json
//! outputs/.<id>.partial the same, not yet complete
//! ```

use crate::{GenerationId, JobsError, Result};
use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Says how much room a disk has.
pub trait Space: Send + Sync {
    /// Bytes that can still be written under `folder`.
    ///
    /// # Errors
    /// The system does not tell.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The disk itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Space for Disk {
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
    /// Released by the system when the process ends, however it ends.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    /// `Locked`, `File`, `StorageFull`.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        for folder in [root.to_owned(), root.join("images"), root.join("latents"), root.join("outputs")] {
            fs::create_dir_all(&folder).map_err(JobsError::file(&folder))?;
        }
        let path = root.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(JobsError::file(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(JobsError::Locked { folder: root.to_owned() }),
            Err(TryLockError::Error(source)) => Err(JobsError::File { path, source }),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("jobs.sqlite")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Where an image of that digest lies. Anything but 64 hexadecimal digits leads nowhere.
    pub(crate) fn image(&self, sha256: &str) -> PathBuf {
        let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.images().join(if is_digest { sha256 } else { "-" })
    }

    pub(crate) fn latents(&self) -> PathBuf {
        self.root.join("latents")
    }

    pub(crate) fn latent(&self, id: GenerationId) -> PathBuf {
        self.latents().join(id.to_string())
    }

    pub(crate) fn outputs(&self) -> PathBuf {
        self.root.join("outputs")
    }

    pub(crate) fn output(&self, id: GenerationId) -> PathBuf {
        self.outputs().join(id.to_string())
    }

    pub(crate) fn partial_output(&self, id: GenerationId) -> PathBuf {
        self.outputs().join(format!(".{id}.partial"))
    }
}

/// Writes a file that is there whole or not at all, even after a power failure once this has returned.
pub(crate) fn write_atomically(path: &Path, chunks: &[&[u8]]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let hidden = path.with_file_name(format!(".{name}.partial-{number}"));
    let written = (|| {
        let mut file = File::create(&hidden)?;
        chunks.iter().try_for_each(|chunk| file.write_all(chunk))?;
        file.sync_all()?;
        fs::rename(&hidden, path)
    })();
    if written.is_err() {
        // The error is what matters; a leftover is swept at the next start.
        let _ = fs::remove_file(&hidden);
    }
    written
}

/// Makes a folder's names durable. Some file systems cannot; the contents are safe either way.
pub(crate) fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Removes a file or a folder with all it holds. One that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JobsError::file(path)(error)),
        _ => Ok(()),
    }
}
