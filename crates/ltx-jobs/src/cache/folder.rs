//! Tensors in a folder, a file each, named by its key. The folder itself says what is there: several processes may use it at once.
//!
//! Must not know who uses a tensor. Files and folder are for their owner alone, whatever the umask.

use super::entry;
use ltx_engine::{CacheKey, CachedTensor};
use ltx_files::{Durable, PartialFile};
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// After so long nobody writes a partial file any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// What was found under a key.
pub(super) enum Found {
    Whole(CachedTensor),
    Nothing,
    /// This file was dropped.
    Damaged(PathBuf),
}

/// A file of the folder.
struct Listed {
    path: PathBuf,
    /// Nothing for what is not whole.
    key: Option<CacheKey>,
    bytes: u64,
    /// When it was used last.
    used: SystemTime,
}

pub(super) struct Folder {
    root: PathBuf,
    bytes: u64,
    unused_for: Duration,
}

impl Folder {
    pub(super) fn new(root: &Path, bytes: u64, unused_for: Duration) -> Self {
        Self { root: root.to_owned(), bytes, unused_for }
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    pub(super) fn holds(&self, key: &CacheKey) -> bool {
        let used = fs::metadata(self.path(key)).and_then(|metadata| metadata.modified());
        used.is_ok_and(|used| !self.is_old(used))
    }

    fn is_old(&self, used: SystemTime) -> bool {
        SystemTime::now().duration_since(used).is_ok_and(|unused| unused > self.unused_for)
    }

    /// Takes a tensor, which counts as used then.
    pub(super) fn get(&self, key: &CacheKey) -> Found {
        let path = self.path(key);
        if !self.holds(key) {
            return Found::Nothing;
        }
        // No file of ours is larger than all the room.
        let read = fs::metadata(&path).and_then(|metadata| match metadata.len() <= self.bytes {
            true => fs::read(&path),
            false => Ok(Vec::new()),
        });
        match read.map(|file| entry::decode(key, &file)) {
            Ok(Some(tensor)) => {
                self.touch(key);
                Found::Whole(tensor)
            }
            Ok(None) => {
                self.remove(key);
                Found::Damaged(path)
            }
            // It went meanwhile, or the system lacks something for now: that says nothing about its bytes.
            Err(_) => Found::Nothing,
        }
    }

    /// Notes that a tensor is used now, if it is here.
    pub(super) fn touch(&self, key: &CacheKey) {
        // Where the time cannot be set it goes earlier than it need.
        let _ = File::open(self.path(key)).and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// Keeps a tensor: the whole file or none. Makes room for it first; one that is larger than all the room is not kept.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn put(&self, key: &CacheKey, tensor: &CachedTensor) -> io::Result<()> {
        let bytes = entry::file_bytes(tensor);
        if bytes > self.bytes {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        self.prune(bytes);
        let partial = PartialFile::beside(&self.path(key))?;
        partial.file().set_permissions(Permissions::from_mode(0o600))?;
        entry::encode(key, tensor).try_for_each(|part| partial.file().write_all(&part))?;
        // What a loss of power leaves of it shows by its digest.
        partial.publish(Durable::Nothing)
    }

    /// Removes what was not used for too long, and then what was used longest ago until there is room for so many bytes.
    pub(super) fn prune(&self, room: u64) {
        let mut all = self.listed();
        all.sort_by_key(|file| std::cmp::Reverse(file.used));
        let mut kept = room;
        for file in all {
            let abandoned = || SystemTime::now().duration_since(file.used).is_ok_and(|age| age > ABANDONED);
            let with = kept.saturating_add(file.bytes);
            let goes = match file.key {
                Some(_) => self.is_old(file.used) || with > self.bytes,
                None => abandoned(),
            };
            match goes {
                true => remove(&file.path),
                false => kept = with,
            }
        }
    }

    /// Removes what is not whole, of a folder that nobody writes to.
    pub(super) fn remove_partial(&self) {
        self.listed().iter().filter(|file| file.key.is_none()).for_each(|file| remove(&file.path));
    }

    pub(super) fn remove(&self, key: &CacheKey) {
        remove(&self.path(key));
    }

    pub(super) fn keys(&self) -> Vec<CacheKey> {
        self.listed().into_iter().filter_map(|file| file.key).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.listed().iter().map(|file| file.bytes).sum()
    }

    /// Every file; none where there is no folder yet.
    fn listed(&self) -> Vec<Listed> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let listed = |entry: fs::DirEntry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let key = entry.file_name().to_str().and_then(|name| name.parse().ok());
            Some(Listed { path: entry.path(), key, bytes: metadata.len(), used: metadata.modified().ok()? })
        };
        entries.filter_map(listed).collect()
    }
}

/// What is gone already, or cannot be removed now, is looked at again with the next.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}
