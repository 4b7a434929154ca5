//! Outputs that are not there until they are whole, with the errors that an output's name can have.
//!
//! Must not know what is inside.

use crate::MediaError;
use ltx_files::{Durable, PartialFile, PartialFolder};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What lies under a hidden name until it is published.
pub(crate) trait Hidden {
    /// Where it is until then.
    fn path(&self) -> &Path;

    /// Gives it its name, in one step, and makes the name durable.
    fn publish(self) -> io::Result<()>;
}

impl Hidden for PartialFile {
    fn path(&self) -> &Path {
        PartialFile::path(self)
    }

    fn publish(self) -> io::Result<()> {
        PartialFile::publish(self, Durable::Name)
    }
}

impl Hidden for PartialFolder {
    fn path(&self) -> &Path {
        PartialFolder::path(self)
    }

    fn publish(self) -> io::Result<()> {
        PartialFolder::publish(self)
    }
}

/// A hidden file or folder. Dropped before [`commit`](Self::commit), it is removed.
#[derive(Debug)]
pub(crate) struct Partial<T> {
    target: PathBuf,
    hidden: T,
}

impl Partial<PartialFile> {
    /// An empty hidden file, readable and writable.
    ///
    /// # Errors
    /// `NoFolder`, `IsFolder`, `Create`.
    pub(crate) fn file(target: &Path) -> Result<(Self, File), MediaError> {
        if target.is_dir() {
            return Err(MediaError::IsFolder { path: target.to_owned() });
        }
        let partial = Self::create(target, PartialFile::beside)?;
        let file = partial.hidden.file().try_clone();
        let file = file.map_err(|source| MediaError::Create { path: target.to_owned(), source })?;
        Ok((partial, file))
    }
}

impl Partial<PartialFolder> {
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
        Self::create(target, PartialFolder::beside)
    }
}

impl<T: Hidden> Partial<T> {
    fn create(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<Self, MediaError> {
        let failed = |source| MediaError::Create { path: target.to_owned(), source };
        if target.file_name().is_none() {
            return Err(failed(io::ErrorKind::InvalidFilename.into()));
        }
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
        Ok(Self { target: target.to_owned(), hidden: make(target).map_err(failed)? })
    }

    /// Where to write until it is committed.
    pub(crate) fn path(&self) -> &Path {
        self.hidden.path()
    }

    /// Gives it its name, in one step, and makes it durable. A file, or an empty folder, of that name is replaced.
    ///
    /// # Errors
    /// `Write`; what was hidden is removed then.
    pub(crate) fn commit(self) -> Result<(), MediaError> {
        let Self { target, hidden } = self;
        hidden.publish().map_err(|source| MediaError::Write { path: target, source })
    }

    /// The name it will have.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A write error that names the target.
    pub(crate) fn write_error(&self, source: io::Error) -> MediaError {
        MediaError::Write { path: self.target.clone(), source }
    }
}
