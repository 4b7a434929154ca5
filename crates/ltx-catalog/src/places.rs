//! Where a manifest's files may lie on this machine, and in which order that is looked at.
//!
//! Must not know how a file gets here.

use crate::{Found, ManifestFile, Pins, Result, Source, Wanted};
use ltx_hub::{Cache, Digest};
use std::path::{Path, PathBuf};

/// The lock file's name in a folder, and that of the record of files found elsewhere.
const PINS: &str = "models.lock";
const FOUND: &str = "models.found";

/// Everything that is known of files apart from the manifests.
#[derive(Debug, Clone, Default)]
pub struct Places {
    cache: Option<Cache>,
    /// What was seen of published files.
    pub pins: Pins,
    found: Found,
}

/// Where a file or folder of a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// Where the manifest puts it.
    Local(PathBuf),
    /// In the hub's cache.
    Cached(PathBuf),
    /// Where another program keeps it.
    Found(PathBuf),
    /// Nowhere.
    Missing,
}

impl Whereabouts {
    /// The path, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Local(path) | Self::Cached(path) | Self::Found(path) => Some(path),
            Self::Missing => None,
        }
    }

    /// In a word: `local`, `cache`, `found`; nothing where it is missing.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Local(_) => Some("local"),
            Self::Cached(_) => Some("cache"),
            Self::Found(_) => Some("found"),
            Self::Missing => None,
        }
    }
}

impl Places {
    /// Reads the lock files and records in folders; of two that differ, the first folder's counts.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(cache: Option<Cache>, folders: &[PathBuf]) -> Result<Self> {
        let mut places = Self { cache, ..Self::default() };
        for folder in folders {
            places.pins.extend(Pins::read(&Self::lock_in(folder))?);
            places.found.extend(Found::read(&Self::record_in(folder))?);
        }
        Ok(places)
    }

    /// The lock file of a folder.
    pub fn lock_in(folder: &Path) -> PathBuf {
        folder.join(PINS)
    }

    /// The record of files found elsewhere, of a folder.
    pub fn record_in(folder: &Path) -> PathBuf {
        folder.join(FOUND)
    }

    /// Where a file is: where its manifest, which lies in `beside`, puts it; in the cache; where it was found.
    pub fn locate(&self, file: &ManifestFile, beside: &Path) -> Whereabouts {
        if let Some(path) = file.path.as_ref().map(|path| beside.join(path)).filter(|path| path.exists()) {
            return Whereabouts::Local(path);
        }
        let Some(source) = &file.source else { return Whereabouts::Missing };
        let cached = self.cached(source).map(Whereabouts::Cached);
        cached.or_else(|| self.found.place(source).map(Whereabouts::Found)).unwrap_or(Whereabouts::Missing)
    }

    /// The pinned commit's file; else the file of what the revision stands for in the cache, where it is not another than the
    /// pinned one.
    fn cached(&self, source: &Source) -> Option<PathBuf> {
        let cache = self.cache.as_ref()?;
        let pinned = self.pins.of(source);
        let of_revision = cache.commit(&source.repository, &source.revision);
        // A file that another commit has as well may be here under that one alone: the pinned digest tells it.
        let others = if pinned.is_some() { cache.commits(&source.repository) } else { Vec::new() };
        let commits = pinned.map(|pinned| pinned.commit.clone()).into_iter().chain(of_revision).chain(others);
        commits.into_iter().find_map(|commit| {
            let snapshot = cache.snapshot(&source.repository, &commit);
            let is_pinned = pinned.is_none_or(|pinned| pinned.commit == commit);
            match &source.wanted {
                Wanted::File(path) => {
                    let there = snapshot.join(path);
                    (there.is_file() && (is_pinned || self.is_as_pinned(source, path, &there))).then_some(there)
                }
                Wanted::Files(_) => (self.is_whole(source, &snapshot) && is_pinned).then_some(snapshot),
            }
        })
    }

    fn is_whole(&self, source: &Source, folder: &Path) -> bool {
        match self.pins.files(source) {
            Some(files) => files.iter().all(|file| folder.join(&file.path).is_file()),
            None => source.is_whole_in(folder),
        }
    }

    /// Whether a file of another commit has the pinned one's bytes: the name of its blob says so.
    fn is_as_pinned(&self, source: &Source, path: &str, there: &Path) -> bool {
        let Some(pinned) = self.pins.file(source, path).and_then(|file| file.digest()) else { return true };
        let blob = std::fs::canonicalize(there).ok();
        let name = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        name.and_then(Digest::of_etag).is_some_and(|digest| digest == pinned)
    }

    /// Bytes of a file or folder, as far as they are known without asking anybody: of what is here, as the lock has it, as the
    /// manifest states it. What lies in a folder at one of the places `apart` is another item's.
    pub fn bytes(&self, file: &ManifestFile, here: &Whereabouts, apart: &[&Path]) -> Option<u64> {
        let pinned = || file.source.as_ref().and_then(|source| self.pins.files(source));
        let pinned = || pinned().map(|files| files.iter().map(|file| file.bytes).sum());
        match here.path() {
            Some(path) => bytes_at(path, file.source.as_ref(), apart),
            None => pinned().or(file.bytes),
        }
    }
}

/// How deep folders of a model are looked into: a layout of diffusers has one level, a file of weights in each folder.
const DEPTH: usize = 4;

/// Bytes of a file; of a folder, those of the files that are wanted of it, or of all in it.
fn bytes_at(path: &Path, source: Option<&Source>, apart: &[&Path]) -> Option<u64> {
    let there = path.metadata().ok()?;
    if !there.is_dir() {
        return Some(there.len());
    }
    let Some(source) = source.filter(|source| matches!(source.wanted, Wanted::Files(_))) else {
        return Some(bytes_within(path, apart, DEPTH));
    };
    let files = path.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let names: Vec<String> = files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    let chosen = source.choose(&names).unwrap_or_else(|_| names.iter().map(String::as_str).collect());
    Some(chosen.iter().filter_map(|name| path.join(name).metadata().ok()).map(|there| there.len()).sum())
}

/// Bytes of all files in a folder and in those that lie in it.
fn bytes_within(folder: &Path, apart: &[&Path], depth: usize) -> u64 {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let others = entries.filter(|path| !apart.contains(&path.as_path()));
    let bytes = |path: PathBuf| match path.metadata() {
        Ok(there) if there.is_dir() && depth > 0 => bytes_within(&path, apart, depth - 1),
        Ok(there) if there.is_file() => there.len(),
        _ => 0,
    };
    others.map(bytes).sum()
}
