//! A hub's cache on disk: `models--OWNER--NAME/{blobs,refs,snapshots}`, as `huggingface_hub` lays it out.
//!
//! Must not know where its files come from.

use crate::{HubError, Repository, Result, Revision, names::is_commit};
use ltx_files::{Durable, PartialFile};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The folder with everything that was fetched from hubs.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache in a folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn folder(&self, repository: &Repository) -> PathBuf {
        self.root.join(repository.folder())
    }

    /// The commit that a revision stood for when it was last fetched; a commit stands for itself.
    pub fn commit(&self, repository: &Repository, revision: &Revision) -> Option<String> {
        if revision.is_commit() {
            return Some(revision.as_str().to_owned());
        }
        let text = fs::read_to_string(self.folder(repository).join("refs").join(revision.as_str())).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// A commit's folder, whether or not it is there.
    pub fn snapshot(&self, repository: &Repository, commit: &str) -> PathBuf {
        self.folder(repository).join("snapshots").join(commit)
    }

    /// Every commit of which something is here.
    pub fn commits(&self, repository: &Repository) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder(repository).join("snapshots")) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut commits: Vec<_> = names.filter(|name| is_commit(name)).collect();
        commits.sort();
        commits
    }

    /// Notes what commit a branch or tag stands for.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn point(&self, repository: &Repository, revision: &Revision, commit: &str) -> Result<()> {
        if revision.is_commit() {
            return Ok(());
        }
        let name = self.folder(repository).join("refs").join(revision.as_str());
        write_whole(&name, commit).map_err(HubError::io(&name))
    }
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let partial = PartialFile::beside(path)?;
    partial.file().write_all(text.as_bytes())?;
    partial.publish(Durable::Bytes)
}
