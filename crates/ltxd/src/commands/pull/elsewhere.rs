//! Files that another program's folder has (`--from`): chosen by published name, size and digest, noted, used in place.
//!
//! Must not know what is fetched.

use super::{Pull, is_here};
use crate::{exit::BadInput, hub, human::human};
use anyhow::{Context, Result};
use ltx_catalog::{Found, Manifest, ManifestFile, Places, Search, Source, Wanted};
use ltx_hub::{Digest, News, digest_of};
use std::path::{Path, PathBuf};

/// What was found, and what people should know of it.
#[derive(Default)]
pub(super) struct Elsewhere {
    places: Vec<(Source, PathBuf)>,
    pub(super) notes: Vec<String>,
}

impl Elsewhere {
    pub(super) fn place(&self, source: &Source) -> Option<PathBuf> {
        self.places.iter().find(|(of, _)| of == source).map(|(_, path)| path.clone())
    }
}

impl Pull<'_> {
    /// Looks for the models' missing files in the folder of `--from` and, unless it is a dry run, notes where they are.
    pub(super) async fn look_elsewhere(&self, manifests: &[&Manifest]) -> Result<Elsewhere> {
        let mut found = Elsewhere::default();
        let Some(folder) = &self.arguments.from else { return Ok(found) };
        let search = Search::of(folder).with_context(|| format!("--from {}: cannot be read", folder.display()))?;
        for manifest in manifests {
            for item in self.library.items(manifest) {
                let Some(source) = item.file.source.as_ref().filter(|_| !is_here(&item.here)) else { continue };
                if found.place(source).is_some() {
                    continue;
                }
                if let Some(path) = self.pick(source, item.file, &search, &mut found.notes).await? {
                    found.places.push((source.clone(), path));
                }
            }
        }
        if search.is_cut {
            found.notes.push(format!("{}: has too many files; not all of it was looked at", folder.display()));
        }
        if found.places.is_empty() {
            found
                .notes
                .push(format!("{}: nothing that is missing is there under its published name", folder.display()));
        }
        if !self.arguments.dry_run {
            for (source, path) in &found.places {
                hub::write_record(self.library.folder(), |folder| {
                    Found::note(&Places::record_in(folder), source, path)
                })?;
            }
        }
        Ok(found)
    }

    async fn pick(
        &self,
        source: &Source,
        file: &ManifestFile,
        search: &Search,
        notes: &mut Vec<String>,
    ) -> Result<Option<PathBuf>> {
        let pinned = match &source.wanted {
            Wanted::File(path) => self.library.places().pins.file(source, path),
            Wanted::Files(_) => None,
        };
        let published = pinned.map(|pinned| pinned.bytes).or(file.bytes);
        let mut good = Vec::new();
        for (path, bytes) in search.candidates(source) {
            if let Some(published) = published.filter(|published| path.is_file() && *published != bytes) {
                notes.push(format!(
                    "{}: left alone, it has {bytes} bytes and the published one {published}",
                    path.display()
                ));
                continue;
            }
            match pinned.and_then(|pinned| pinned.digest()) {
                Some(digest) if !self.is_of(&path, bytes, &digest).await? => {
                    notes.push(format!(
                        "{}: left alone, its {} is not the published one's",
                        path.display(),
                        digest.kind()
                    ));
                }
                _ => good.push(path),
            }
        }
        if good.len() > 1 {
            let all: Vec<_> = good.iter().map(|path| path.display().to_string()).collect();
            let line =
                format!("--from: {source} is there more than once: {}; name a folder that has one", all.join(", "));
            return Err(BadInput(line).into());
        }
        Ok(good.pop())
    }

    async fn is_of(&self, path: &Path, bytes: u64, digest: &Digest) -> Result<bool> {
        let bar = self.bars.file(&format!("{} ({})", path.display(), human(bytes)), bytes);
        let (at, like, watch) = (path.to_owned(), digest.clone(), bar.as_watch());
        let read =
            tokio::task::spawn_blocking(move || digest_of(&at, &like, &|bytes| watch.tell(News::Checked(bytes))));
        let found = read.await?.with_context(|| format!("{}: cannot be read", path.display()))?;
        bar.gone();
        Ok(found == *digest)
    }
}
