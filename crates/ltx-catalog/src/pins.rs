//! What was seen of published files: the commit that a revision stood for, sizes and digests. Kept in a lock file.
//!
//! Must not know where the files lie here.

use crate::{CatalogError, Result, Source, Wanted, kept};
use ltx_hub::{Digest, Remote};
use serde::{Deserialize, Serialize};
use std::path::Path;

const HEAD: &str = "# Written by `ltxd pull`: what the files of the manifests were when they were first fetched. Later pulls fetch the\n\
                    # same; `ltxd pull --update` takes what is published now.\n\n";

/// The content of lock files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    #[serde(default, rename = "pinned")]
    repositories: Vec<Pinned>,
}

/// A revision of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// `OWNER/NAME`.
    pub repository: String,
    /// The branch, tag or commit, as manifests name it.
    pub revision: String,
    /// The commit that it stood for.
    pub commit: String,
    /// Files of it, those that were seen.
    #[serde(default)]
    pub files: Vec<PinnedFile>,
}

/// A file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    /// Its path in the repository.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, where the hub says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The SHA-1 of its Git blob, where that is what the hub says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_sha1: Option<String>,
}

impl PinnedFile {
    /// What its bytes must add up to.
    pub fn digest(&self) -> Option<Digest> {
        let sha256 = self.sha256.clone().map(Digest::Sha256);
        sha256.or_else(|| self.git_sha1.clone().map(Digest::GitSha1))
    }
}

impl Pins {
    /// Reads a lock file; one that is not there has nothing.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(file: &Path) -> Result<Self> {
        kept::read(file)
    }

    /// What is pinned of a source's revision.
    pub fn of(&self, source: &Source) -> Option<&Pinned> {
        let same = |pinned: &&Pinned| {
            pinned.repository == source.repository.as_str() && pinned.revision == source.revision.as_str()
        };
        self.repositories.iter().find(same)
    }

    /// What is pinned of one file of a source.
    pub fn file(&self, source: &Source, path: &str) -> Option<&PinnedFile> {
        self.of(source)?.files.iter().find(|file| file.path == path)
    }

    /// All files of a source, where every one was seen.
    pub fn files(&self, source: &Source) -> Option<Vec<&PinnedFile>> {
        let pinned = self.of(source)?;
        match &source.wanted {
            Wanted::File(path) => pinned.files.iter().find(|file| file.path == *path).map(|file| vec![file]),
            Wanted::Files(_) => {
                let names: Vec<_> = pinned.files.iter().map(|file| file.path.clone()).collect();
                let chosen = source.choose(&names).ok()?;
                crate::source::shards_are_whole(&chosen)
                    .then(|| pinned.files.iter().filter(|file| chosen.contains(&file.path.as_str())).collect())
            }
        }
    }

    /// Takes up what another lock file has of what this one has not.
    pub fn extend(&mut self, other: Self) {
        for theirs in other.repositories {
            let same = |ours: &&mut Pinned| ours.repository == theirs.repository && ours.revision == theirs.revision;
            match self.repositories.iter_mut().find(same) {
                None => self.repositories.push(theirs),
                Some(ours) if ours.commit == theirs.commit => {
                    let new =
                        theirs.files.into_iter().filter(|file| ours.files.iter().all(|here| here.path != file.path));
                    ours.files.extend(new.collect::<Vec<_>>());
                }
                Some(_) => {}
            }
        }
    }

    /// Pins a file that was seen. Another commit than before takes the place of everything seen of the old one.
    pub fn pin(&mut self, source: &Source, remote: &Remote) {
        let (sha256, git_sha1) = match remote.digest() {
            Some(Digest::Sha256(hex)) => (Some(hex), None),
            Some(Digest::GitSha1(hex)) => (None, Some(hex)),
            None => (None, None),
        };
        let file = PinnedFile { path: remote.file.path.clone(), bytes: remote.bytes, sha256, git_sha1 };
        let (repository, revision) = (source.repository.to_string(), source.revision.to_string());
        let same = |pinned: &Pinned| pinned.repository == repository && pinned.revision == revision;
        self.repositories.retain(|pinned| !same(pinned) || pinned.commit == remote.commit);
        match self.repositories.iter_mut().find(|pinned| same(pinned)) {
            Some(pinned) => {
                pinned.files.retain(|seen| seen.path != file.path);
                pinned.files.push(file);
                pinned.files.sort_by(|a, b| a.path.cmp(&b.path));
            }
            None => {
                let commit = remote.commit.clone();
                self.repositories.push(Pinned { repository, revision, commit, files: vec![file] });
            }
        }
    }

    /// Changes a lock file, in one step, while no other process does.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn change(file: &Path, change: impl FnOnce(&mut Self)) -> Result<(), CatalogError> {
        kept::change(file, HEAD, change)
    }
}
