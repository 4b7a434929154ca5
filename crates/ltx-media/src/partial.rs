//! An output that is not there until it is whole: a hidden file or folder beside its target, renamed at the end.
//!
//! Must not know what is inside.

use crate::MediaError;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The hidden file or folder. Dropped before [`commit`](Self::commit), it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    target: PathBuf,
    folder: PathBuf,
    hidden: PathBuf,
    committed: bool,
}

impl Partial {
    /// An empty hidden file, readable and writable.
    ///
    /// # Errors
    /// `NoFolder`, `IsFolder`, `Create`.
    pub(crate) fn file(target: &Path) -> Result<(Self, File), MediaError> {
        if target.is_dir() {
            return Err(MediaError::IsFolder { path: target.to_owned() });
        }
        Self::create(target, |hidden| File::options().read(true).write(true).create_new(true).open(hidden))
    }

    /// An empty hidden folder. A target that exists must be an empty folder; it is replaced.
    ///
    /// # Errors
    /// `NoFolder`, `NotAFolder`, `FolderNotEmpty`, `Create`.
    pub(crate) fn folder(target: &Path) -> Result<Self, MediaError> {
        let path = || target.to_owned();
        match fs::read_dir(target) {
            Ok(entries) => match entries.count() {
                0 => {}
                _ => return Err(MediaError::FolderNotEmpty { path: path() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && target.exists() => {
                return Err(MediaError::NotAFolder { path: path() });
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(MediaError::Create { path: path(), source }),
        }
        Ok(Self::create(target, |hidden| fs::create_dir(hidden))?.0)
    }

    fn create<T>(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<(Self, T), MediaError> {
        let failed = |source| MediaError::Create { path: target.to_owned(), source };
        let name = target.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        match fs::metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Err(source) if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(failed(source));
            }
            _ => return Err(MediaError::NoFolder { path: target.to_owned(), folder }),
        }
        // Short enough that the hidden name is legal wherever the name is.
        let name: String = name.to_string_lossy().chars().take(40).collect();
        loop {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let hidden = folder.join(format!(".{name}.partial-{}-{number}", std::process::id()));
            match make(&hidden) {
                Ok(made) => return Ok((Self { target: target.to_owned(), folder, hidden, committed: false }, made)),
                // Left by an earlier process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }

    /// Where to write until then.
    pub(crate) fn path(&self) -> &Path {
        &self.hidden
    }

    /// The name it will have.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A write error that names the target.
    pub(crate) fn write_error(&self, source: io::Error) -> MediaError {
        MediaError::Write { path: self.target.clone(), source }
    }

    /// Gives it its name, in one step, and makes the name durable. A file of that name is replaced.
    ///
    /// # Errors
    /// `Write`; the hidden file or folder is removed then.
    pub(crate) fn commit(mut self) -> Result<(), MediaError> {
        fs::rename(&self.hidden, &self.target).map_err(|source| self.write_error(source))?;
        self.committed = true;
        // Some file systems cannot sync a folder; the output is complete either way.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody is left to tell.
            let _ = if self.hidden.is_dir() { fs::remove_dir_all(&self.hidden) } else { fs::remove_file(&self.hidden) };
        }
    }
}
