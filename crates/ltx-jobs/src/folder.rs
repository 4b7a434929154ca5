//! The data folder: who holds it, what lies where, how a file gets there whole, and how much room is left.
//!
//! Must not know the database's contents, or what is in the files.
//!
//! ```text
//! lock                  held while a node runs
//! jobs.sqlite           the database (and its -wal, -shm)
//! images/<sha256>       images of requests and uploads, by content
//! latents/<id>          the saved latent of a running generation
//! cache/<key>           what was computed once and is needed again (see `cache`)
//! outputs/<id>/         video.mp4, poster.png, generation.json
//! outputs/.<id>.partial the same, not yet complete
//! moved.json            of a node alone: what it holds was moved into a service (see `alone`)
//! ```

use crate::{
    GenerationId, JobsError, OutputKind, Result,
    ports::{Blobs, Shelf},
};
use ltx_files::{Durable, PartialFile, sync_folder};
use ltx_types::ImageSource;
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    process::{Flock, FlockType, fcntl_getlk},
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
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
        ltx_files::free_bytes(folder)
    }
}

/// The file by which a node holds its data folder.
const LOCK: &str = "lock";

/// The file that says that what a folder holds is kept elsewhere now.
const MOVED: &str = "moved.json";

/// Where what a folder of a node alone holds was moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// The service's name.
    pub(crate) service: String,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// The service that what a data folder of a node alone holds was moved to; `None` where it was not.
///
/// # Errors
/// `File`, `Corrupt`.
pub fn moved_to(root: &Path) -> Result<Option<String>> {
    Ok(moved(root)?.map(|moved| moved.service))
}

fn moved(root: &Path) -> Result<Option<Moved>> {
    let path = root.join(MOVED);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| JobsError::Corrupt { what: MOVED }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JobsError::file(path)(error)),
    }
}

/// How often a lock is opened that has lost its name when it is held.
const TRIES: usize = 100;

const SHELVES: [Shelf; 3] = [Shelf::Images, Shelf::Latents, Shelf::Outputs];

/// Whether an open file is the one that a path names.
fn is_named(file: &File, path: &Path) -> bool {
    let of = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((of(file.metadata()), of(fs::metadata(path))), (Ok(open), Ok(named)) if open == named)
}

/// Whether another process holds a data folder. Nothing is taken, so that a node that starts at that moment gets its folder.
pub fn is_held(root: &Path) -> bool {
    let lock = File::open(root.join(LOCK));
    lock.is_ok_and(|lock| matches!(fcntl_getlk(&lock, &Flock::from(FlockType::WriteLock)), Ok(Some(_))))
}

/// A data folder that this process holds.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    /// Whether it was missing.
    made: bool,
    /// Released by the system when the process ends, however it ends.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    /// `Locked`, `File`, `StorageFull`.
    pub fn hold(root: &Path) -> Result<Self> {
        let made = !root.exists();
        let path = root.join(LOCK);
        // Whoever gives a folder up takes its lock away while it still has it, so a lock counts only as long as it has its name.
        for _ in 0..TRIES {
            fs::create_dir_all(root).map_err(JobsError::file(root))?;
            let lock = match File::options().create(true).truncate(false).write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(JobsError::file(&path))?,
            };
            match lock.try_lock() {
                Ok(()) if is_named(&lock, &path) => {
                    // That one cannot be asked about without being taken; this one can ([`is_held`]), and decides nothing.
                    let _ = fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive);
                    return Self { root: root.to_owned(), made, _lock: lock }.with_shelves();
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(JobsError::Locked { folder: root.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(JobsError::File { path, source }),
            }
        }
        let source = io::Error::new(io::ErrorKind::NotFound, "is never there once it was opened");
        Err(JobsError::File { path, source })
    }

    fn with_shelves(self) -> Result<Self> {
        for folder in SHELVES.map(|shelf| self.shelf(shelf)) {
            if let Err(error) = fs::create_dir_all(&folder).map_err(JobsError::file(&folder)) {
                self.give_up();
                return Err(error);
            }
        }
        Ok(self)
    }

    /// Lets go of a folder in which nothing was begun. One that [`Self::hold`] made is gone again; folders above it stay.
    pub fn give_up(self) {
        if self.made {
            // Only what is empty goes, and where it cannot, it stays.
            for shelf in SHELVES {
                let _ = fs::remove_dir(self.shelf(shelf));
            }
            let _ = fs::remove_file(self.root.join(LOCK));
            let _ = fs::remove_dir(&self.root);
        }
    }

    /// Where what it holds was moved, if it was.
    pub(crate) fn moved(&self) -> Result<Option<Moved>> {
        moved(&self.root)
    }

    pub(crate) fn set_moved(&self, to: &Moved) -> Result<()> {
        let path = self.root.join(MOVED);
        let json = serde_json::to_vec(to).map_err(|_| JobsError::Corrupt { what: MOVED })?;
        write_atomically(&path, &[&json], Durable::Name).map_err(JobsError::file(path))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("jobs.sqlite")
    }

    fn shelf(&self, shelf: Shelf) -> PathBuf {
        self.root.join(match shelf {
            Shelf::Images => "images",
            Shelf::Latents => "latents",
            Shelf::Outputs => "outputs",
        })
    }

    fn partial_output(&self, id: GenerationId) -> PathBuf {
        self.shelf(Shelf::Outputs).join(format!(".{id}.partial"))
    }

    fn output(&self, id: GenerationId) -> PathBuf {
        self.shelf(Shelf::Outputs).join(id.to_string())
    }
}

impl Blobs for DataFolder {
    fn put_whole(&self, shelf: Shelf, name: &str, chunks: &[&[u8]]) -> io::Result<()> {
        // A latent may be older than it should be after a power failure; an image must be there.
        let durable = if shelf == Shelf::Images { Durable::Name } else { Durable::Bytes };
        write_atomically(&self.path_of(shelf, name), chunks, durable)
    }

    fn read(&self, shelf: Shelf, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path_of(shelf, name))
    }

    fn open(&self, shelf: Shelf, name: &str) -> io::Result<File> {
        File::open(self.path_of(shelf, name))
    }

    fn length(&self, shelf: Shelf, name: &str) -> Option<u64> {
        fs::metadata(self.path_of(shelf, name)).ok().map(|metadata| metadata.len())
    }

    /// The name of an image that is anything but 64 hexadecimal digits leads nowhere.
    fn path_of(&self, shelf: Shelf, name: &str) -> PathBuf {
        let is_digest = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.shelf(shelf).join(if shelf == Shelf::Images && !is_digest { "-" } else { name })
    }

    fn image(&self, sha256: &str) -> Result<ImageSource> {
        Ok(ImageSource::Path(self.path_of(Shelf::Images, sha256)))
    }

    fn begin_outputs(&self, id: GenerationId) -> Result<PathBuf> {
        let partial = self.partial_output(id);
        remove(&partial)?;
        remove(&self.output(id))?;
        fs::create_dir(&partial).map_err(JobsError::file(&partial))?;
        Ok(partial)
    }

    fn publish_outputs(&self, id: GenerationId) -> Result<()> {
        let target = self.output(id);
        fs::rename(self.partial_output(id), &target).map_err(JobsError::file(target))?;
        sync_folder(&self.shelf(Shelf::Outputs));
        Ok(())
    }

    fn discard_outputs(&self, id: GenerationId) -> Result<()> {
        remove(&self.partial_output(id))
    }

    fn open_output(&self, id: GenerationId, kind: OutputKind) -> io::Result<File> {
        File::open(self.output(id).join(kind.file_name()))
    }

    fn list(&self, shelf: Shelf) -> Result<Vec<OsString>> {
        let folder = self.shelf(shelf);
        let entries = fs::read_dir(&folder).map_err(JobsError::file(&folder))?;
        entries.map(|entry| Ok(entry.map_err(JobsError::file(&folder))?.file_name())).collect()
    }

    fn delete(&self, shelf: Shelf, name: &OsStr) -> Result<()> {
        remove(&self.shelf(shelf).join(name))
    }
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write_atomically(path: &Path, chunks: &[&[u8]], durable: Durable) -> io::Result<()> {
    let partial = PartialFile::beside(path)?;
    chunks.iter().try_for_each(|chunk| partial.file().write_all(chunk))?;
    partial.publish(durable)
}

/// Removes a file or a folder with all it holds. One that is not there is removed already.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JobsError::file(path)(error)),
        _ => Ok(()),
    }
}
