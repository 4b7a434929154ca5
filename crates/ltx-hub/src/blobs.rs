//! The side of a cache that is written: blobs, their locks, and how a blob appears in a commit.
//!
//! Must not know where its bytes come from.

use crate::{Cache, HubError, RepoFile, Repository, Result};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

impl Cache {
    pub(crate) fn blob(&self, repository: &Repository, etag: &str) -> PathBuf {
        self.folder(repository).join("blobs").join(etag)
    }

    pub(crate) fn lock(&self, repository: &Repository, etag: &str) -> PathBuf {
        self.root().join(".locks").join(repository.folder()).join(format!("{etag}.lock"))
    }

    pub(crate) fn prepare(&self, repository: &Repository) -> Result<()> {
        let blobs = self.folder(repository).join("blobs");
        fs::create_dir_all(&blobs).map_err(HubError::io(blobs))
    }

    /// Makes a blob appear under its name in a commit, and the commit under the revision's.
    pub(crate) fn publish(&self, file: &RepoFile, commit: &str, etag: &str) -> Result<PathBuf> {
        let blob = self.blob(&file.repository, etag);
        let path = self.snapshot(&file.repository, commit).join(&file.path);
        let folder = path.parent().unwrap_or(self.root());
        fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        let up = "../".repeat(file.path.split('/').count() + 1);
        link(&blob, &format!("{up}blobs/{etag}"), &path).map_err(HubError::io(&path))?;
        self.point(&file.repository, &file.revision, commit)?;
        Ok(path)
    }
}

/// A link at `path`, in one step; where the file system has none, the file itself.
fn link(blob: &Path, target: &str, path: &Path) -> io::Result<()> {
    if same(blob, path) {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside);
    match symlink(target, &beside) {
        Ok(()) => fs::rename(&beside, path),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            fs::rename(blob, path)
        }
        Err(error) => Err(error),
    }
}

fn same(blob: &Path, path: &Path) -> bool {
    fs::canonicalize(blob).ok().zip(fs::canonicalize(path).ok()).is_some_and(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;

    #[test]
    fn a_file_is_found_by_branch_and_by_commit_once_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let at = |revision: &str, path: &str| {
            let repository = Repository::new("o/n").unwrap();
            RepoFile::new(repository, Revision::new(revision).unwrap(), path).unwrap()
        };
        let find = |file: &RepoFile| {
            let commit = cache.commit(&file.repository, &file.revision)?;
            let path = cache.snapshot(&file.repository, &commit).join(&file.path);
            path.is_file().then_some(path)
        };
        let file = at("main", "sub/a.bin");
        assert_eq!(find(&file), None);
        cache.prepare(&file.repository).unwrap();
        fs::write(cache.blob(&file.repository, "e1"), "bytes").unwrap();
        let path = cache.publish(&file, commit, "e1").unwrap();
        assert_eq!(path, folder.path().join("models--o--n/snapshots").join(commit).join("sub/a.bin"));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("../../../blobs/e1"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "bytes");
        assert_eq!(find(&file), Some(path.clone()));
        assert_eq!(find(&at(commit, "sub/a.bin")), Some(path.clone()));
        assert_eq!(find(&at("other", "sub/a.bin")), None);
        assert_eq!(fs::read_to_string(folder.path().join("models--o--n/refs/main")).unwrap(), commit);
        // Again, and over a link to another blob.
        fs::write(cache.blob(&file.repository, "e2"), "other").unwrap();
        cache.publish(&file, commit, "e2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        // A link whose blob is gone is no file.
        fs::remove_file(cache.blob(&file.repository, "e2")).unwrap();
        assert_eq!(find(&file), None);
    }
}
