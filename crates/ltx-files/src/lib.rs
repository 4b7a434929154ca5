//! Files and folders that are not there until they are whole: made hidden beside their target, and renamed at the end. And the
//! room that a disk has for them. And whose a file is that lies beside another.
//!
//! Must not know what is inside.
#![forbid(unsafe_code)]

mod adapter_config;

pub use adapter_config::AdapterConfig;

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile, TempDir};

/// Characters of a target's name that its hidden name repeats: few enough that it is legal wherever the target's is.
const REPEATED: usize = 40;

/// What of a published file outlives a loss of power. Whoever looks for it sees the whole file or none, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Nothing, for what is soon written anew: no disk is waited for.
    Nothing,
    /// The file of this name, or the one before, with all its bytes.
    Bytes,
    /// This file, once publishing has returned.
    Name,
}

/// A hidden file. Dropped before [`publish`](Self::publish), it is removed.
#[derive(Debug)]
pub struct PartialFile {
    target: PathBuf,
    hidden: NamedTempFile,
}

impl PartialFile {
    /// An empty hidden file in the folder of `target`, readable and writable, with the permissions of any new file.
    ///
    /// # Errors
    /// `target` has no file name; or the folder is missing or refuses.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let (folder, prefix) = place(target)?;
        let create = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
        Ok(Self { target: target.to_owned(), hidden: Builder::new().prefix(&prefix).make_in(folder, create)? })
    }

    /// Where it is until it is published.
    pub fn path(&self) -> &Path {
        self.hidden.path()
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.hidden.as_file()
    }

    /// Gives the file its name, in one step, as durable as is asked for. A file of that name is replaced.
    ///
    /// # Errors
    /// The disk is full or refuses; the hidden file is removed then.
    pub fn publish(self, durable: Durable) -> io::Result<()> {
        if durable != Durable::Nothing {
            self.file().sync_all()?;
        }
        self.hidden.persist(&self.target).map_err(|refused| refused.error)?;
        if durable == Durable::Name {
            sync_folder(place(&self.target)?.0);
        }
        Ok(())
    }
}

/// A hidden folder. Dropped before [`publish`](Self::publish), it is removed with all that it holds.
#[derive(Debug)]
pub struct PartialFolder {
    target: PathBuf,
    hidden: TempDir,
}

impl PartialFolder {
    /// An empty hidden folder in the folder of `target`, with the permissions of any new folder.
    ///
    /// # Errors
    /// As [`PartialFile::beside`].
    pub fn beside(target: &Path) -> io::Result<Self> {
        let (folder, prefix) = place(target)?;
        let hidden = Builder::new().prefix(&prefix).permissions(Permissions::from_mode(0o777)).tempdir_in(folder);
        // The library's error tells the hidden path as well.
        Ok(Self { target: target.to_owned(), hidden: hidden.map_err(|error| error.kind())? })
    }

    /// Where to write until it is published.
    pub fn path(&self) -> &Path {
        self.hidden.path()
    }

    /// Gives the folder its name, in one step. An empty folder of that name is replaced.
    ///
    /// # Errors
    /// There is something of that name, or the disk refuses; the hidden folder is removed then.
    pub fn publish(mut self) -> io::Result<()> {
        fs::rename(self.hidden.path(), &self.target)?;
        self.hidden.disable_cleanup(true);
        sync_folder(place(&self.target)?.0);
        Ok(())
    }
}

/// The folder that `target` is in, and how the name of what is hidden there begins.
fn place(target: &Path) -> io::Result<(&Path, String)> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let repeated: String = name.to_string_lossy().chars().take(REPEATED).collect();
    Ok((folder, format!(".{repeated}.partial-")))
}

/// Bytes that can still be written under a folder.
///
/// # Errors
/// The folder is not there, or the system does not tell.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(folder)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

/// Makes the names in a folder durable. Some file systems cannot; the contents of its files are safe either way.
pub fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.into_string().unwrap()).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("clip.mp4");
        drop(PartialFile::beside(&target).unwrap());
        assert!(names(folder.path()).is_empty(), "what is dropped leaves nothing");
        let partial = PartialFile::beside(&target).unwrap();
        partial.file().write_all(b"whole").unwrap();
        assert!(names(folder.path())[0].starts_with(".clip.mp4.partial-"));
        partial.publish(Durable::Name).unwrap();
        assert_eq!((names(folder.path()), fs::read(&target).unwrap()), (vec!["clip.mp4".into()], b"whole".to_vec()));
        fs::write(folder.path().join("plain"), b"").unwrap();
        assert_eq!(mode(&target), mode(&folder.path().join("plain")));
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("frames");
        fs::write(PartialFolder::beside(&target).unwrap().path().join("1.png"), b"1").unwrap();
        assert!(names(folder.path()).is_empty(), "what is dropped leaves nothing");
        let partial = PartialFolder::beside(&target).unwrap();
        fs::write(partial.path().join("1.png"), b"1").unwrap();
        partial.publish().unwrap();
        assert_eq!((names(folder.path()), names(&target)), (vec!["frames".into()], vec!["1.png".into()]));
        let again = PartialFolder::beside(&target).unwrap();
        assert!(again.publish().is_err(), "a folder with something in it is not replaced");
        assert_eq!(names(folder.path()), ["frames"]);
    }

    #[test]
    fn errors_are_the_systems_and_long_names_are_legal() {
        let folder = tempfile::tempdir().unwrap();
        let missing = PartialFile::beside(&folder.path().join("none/clip.mp4")).unwrap_err();
        assert_eq!(missing.to_string(), io::Error::from_raw_os_error(2).to_string());
        assert!(PartialFile::beside(Path::new("/")).is_err());
        PartialFile::beside(&folder.path().join("x".repeat(255))).unwrap().publish(Durable::Bytes).unwrap();
    }
}
