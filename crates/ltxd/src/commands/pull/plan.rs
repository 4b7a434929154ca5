//! What a pull has to fetch: every file that is missing, as the hub or the lock has it.
//!
//! Must not know how it is fetched.

use super::{Pull, elsewhere::Elsewhere, is_here};
use crate::exit::BadInput;
use anyhow::Result;
use ltx_catalog::{Item, Manifest, PinnedFile, Source, Wanted, Whereabouts};
use ltx_hub::{Digest, HubError, Remote, RepoFile, Revision};
use std::collections::BTreeSet;

/// Everything that a pull is about.
pub(super) struct Plan<'a> {
    pub(super) models: Vec<ModelPlan<'a>>,
    /// What people should know beside it.
    pub(super) notes: Vec<String>,
}

pub(super) struct ModelPlan<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) items: Vec<(Item<'a>, Step)>,
}

/// What is to be done about one file or folder.
#[derive(Default)]
pub(super) struct Step {
    /// Published files to fetch; none where it is here.
    pub(super) files: Vec<Planned>,
}

/// How much there is to fetch, as far as that is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) bytes: u64,
    /// Whether some of them are about known.
    pub(super) is_about: bool,
    /// Whether there is more, of no known size.
    pub(super) unknown: bool,
}

impl About {
    /// All of it, where some is about known and none is not.
    pub(super) fn whole(&self) -> Option<u64> {
        (self.is_about && !self.unknown).then_some(self.bytes)
    }
}

/// One published file.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) path: String,
    pub(super) bytes: Option<u64>,
    /// Bytes that are still to come.
    pub(super) missing: Option<u64>,
    /// As the hub has it, where it was asked.
    pub(super) remote: Option<Remote>,
    /// As the lock has it.
    pub(super) pinned: Option<Digest>,
    /// Whether another step fetches the same bytes.
    pub(super) again: bool,
}

impl Plan<'_> {
    /// Steps that fetch something, with where from.
    pub(super) fn steps_to_fetch(&self) -> impl Iterator<Item = (&Step, &Source)> {
        let all = self.models.iter().flat_map(|model| &model.items);
        all.filter_map(|(item, step)| item.file.source.as_ref().map(|source| (step, source)))
            .filter(|(step, _)| !step.files.is_empty())
    }

    /// Bytes to fetch; unknown where one file's are.
    pub(super) fn missing_bytes(&self) -> Option<u64> {
        self.steps_to_fetch()
            .flat_map(|(step, _)| &step.files)
            .filter(|file| !file.again)
            .map(|file| file.missing)
            .sum()
    }

    /// What is to be fetched as far as it is known: bytes, whether some of them are about known, whether some are not.
    pub(super) fn about(&self) -> About {
        let mut about = About::default();
        for (item, step) in self.models.iter().flat_map(|model| &model.items) {
            let files: Vec<_> = step.files.iter().filter(|file| !file.again).collect();
            let known: Option<u64> = files.iter().map(|file| file.missing).sum();
            match (known, item.about_bytes()) {
                (Some(known), _) => about.bytes += known,
                (None, Some(bytes)) => {
                    about.bytes += bytes;
                    about.is_about = true;
                }
                (None, None) => {
                    about.bytes += files.iter().filter_map(|file| file.missing).sum::<u64>();
                    about.unknown = true;
                }
            }
        }
        about
    }

    /// # Errors
    /// A file is missing and its manifest does not say where it is published.
    pub(super) fn check_sources(&self) -> Result<()> {
        for ModelPlan { manifest, items } in &self.models {
            let lost = items.iter().find(|(item, _)| !is_here(&item.here) && item.file.source.is_none());
            if let Some((item, _)) = lost {
                let place = item.file.path.clone().unwrap_or_default();
                let line =
                    "is missing, and the manifest does not say which file of which repository it is (repository, file)";
                return Err(BadInput(format!("{}: {} {line}", manifest.name, place.display())).into());
            }
        }
        Ok(())
    }
}

impl Pull<'_> {
    /// Looks at every file of the models; the hub is asked about those that are missing.
    pub(super) async fn plan<'m>(&self, manifests: &[&'m Manifest], found: &Elsewhere) -> Result<Plan<'m>> {
        let mut plan = Plan { models: Vec::new(), notes: found.notes.clone() };
        let (mut seen, mut reachable) = (BTreeSet::new(), true);
        let mut asked: Vec<(Source, Vec<Planned>)> = Vec::new();
        for manifest in manifests {
            let mut items = Vec::new();
            for mut item in self.library.items(manifest) {
                if let Some(path) = item.file.source.as_ref().and_then(|source| found.place(source))
                    && !is_here(&item.here)
                {
                    item.here = Whereabouts::Found(path);
                    item.bytes = self.library.places().bytes(item.file, &item.here, &[]);
                }
                let fetches =
                    !is_here(&item.here) || (self.arguments.update && matches!(item.here, Whereabouts::Cached(_)));
                let mut step = Step::default();
                if let Some(source) = item.file.source.as_ref().filter(|_| fetches) {
                    step.files = match asked.iter().find(|(known, _)| known == source) {
                        Some((_, files)) => files.clone(),
                        None => {
                            let files = self.files(source, &item, &mut reachable, &mut plan.notes).await?;
                            asked.push((source.clone(), files.clone()));
                            files
                        }
                    };
                    for file in &mut step.files {
                        file.again = !seen.insert((source.repository.clone(), file.path.clone()));
                    }
                    item.bytes = step.files.iter().map(|file| file.bytes).sum::<Option<u64>>().or(item.bytes);
                }
                items.push((item, step));
            }
            plan.models.push(ModelPlan { manifest, items });
        }
        Ok(plan)
    }

    async fn files(
        &self,
        source: &Source,
        item: &Item<'_>,
        reachable: &mut bool,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Planned>> {
        let pins = &self.library.places().pins;
        let pinned = pins.files(source).filter(|_| !self.arguments.update);
        if self.arguments.dry_run {
            if let Some(pinned) = pinned {
                return Ok(pinned.into_iter().map(|file| self.of_lock(source, file)).collect());
            }
            if *reachable && !self.hub.is_offline() {
                match self.ask(source).await {
                    Ok(files) => return Ok(files),
                    Err(error) => {
                        notes.push(format!("{source}: its size is unknown: {error:#}"));
                        *reachable = !matches!(error.downcast_ref(), Some(HubError::Unreachable { .. }));
                    }
                }
            }
            if let (Wanted::File(path), Some(bytes)) = (&source.wanted, item.file.bytes) {
                return Ok(vec![Planned { bytes: Some(bytes), missing: Some(bytes), ..unknown(path) }]);
            }
            let names = match &source.wanted {
                Wanted::File(path) => std::slice::from_ref(path),
                Wanted::Files(patterns) => patterns.as_slice(),
            };
            return Ok(names.iter().map(|name| unknown(name)).collect());
        }
        let files = self.ask(source).await?;
        let unnamed =
            |file: &&Planned| file.pinned.is_none() && file.remote.as_ref().is_some_and(|file| file.digest().is_none());
        notes.extend(files.iter().filter(unnamed).map(|file| {
            format!("{}/{}: the hub states no digest of it: only its size can be checked", source.repository, file.path)
        }));
        let hub_says = files.iter().map(|file| file.bytes).sum::<Option<u64>>();
        if let (Some(stated), Some(hub_says)) = (item.file.bytes, hub_says)
            && stated != hub_says
        {
            notes.push(format!("{source}: the manifest states {stated} bytes, the hub has {hub_says}"));
        }
        Ok(files)
    }

    /// Asks the hub about a source: at the pinned commit, else at the manifest's revision.
    async fn ask(&self, source: &Source) -> Result<Vec<Planned>> {
        let pins = &self.library.places().pins;
        let pinned = pins.of(source).filter(|_| !self.arguments.update);
        let mut revision = match pinned {
            Some(pinned) => Revision::new(&pinned.commit)?,
            None => source.revision.clone(),
        };
        let asked = async {
            let paths = match &source.wanted {
                Wanted::File(path) => vec![path.clone()],
                Wanted::Files(_) => self.names(source, &revision).await?,
            };
            let mut files = Vec::new();
            for path in paths {
                let file = RepoFile::new(source.repository.clone(), revision.clone(), &path)?;
                let remote = self.hub.describe(&file, &self.bars.asking(&file.to_string())).await?;
                // All files of a folder are of one commit, whatever happens to the branch meanwhile.
                revision = Revision::new(&remote.commit)?;
                let pinned = pinned.and_then(|_| pins.file(source, &path));
                files.push(self.planned(source, remote, pinned)?);
            }
            Ok::<_, HubError>(files)
        };
        let at_commit = pinned.map(|pinned| pinned.commit.clone());
        asked.await.map_err(|error| match (&error, at_commit) {
            (HubError::NotFound { .. }, Some(commit)) => anyhow::Error::from(error)
                .context(format!("{source} is pinned at {commit}; ltxd pull --update takes what is published now")),
            _ => error.into(),
        })
    }

    fn of_lock(&self, source: &Source, file: &PinnedFile) -> Planned {
        let digest = file.digest();
        let rest = |digest: &Digest| self.hub.missing_bytes(&source.repository, digest.hex(), file.bytes);
        let missing = digest.as_ref().map_or(file.bytes, rest);
        Planned { bytes: Some(file.bytes), missing: Some(missing), pinned: digest, ..unknown(&file.path) }
    }

    async fn names(&self, source: &Source, revision: &Revision) -> Result<Vec<String>, HubError> {
        let names = self.hub.list(&source.repository, revision, &self.bars.asking(source.repository.as_str())).await?;
        let chosen = source.choose(&names).map_err(|pattern| HubError::NotFound {
            repository: source.repository.to_string(),
            revision: revision.to_string(),
            path: pattern,
            said: None,
        })?;
        Ok(chosen.into_iter().map(str::to_owned).collect())
    }

    fn planned(&self, source: &Source, remote: Remote, pinned: Option<&PinnedFile>) -> Result<Planned, HubError> {
        if let Some(pinned) = pinned.filter(|pinned| pinned.bytes != remote.bytes) {
            return Err(HubError::WrongBytes {
                file: format!("{}/{}", source.repository, remote.file.path),
                kind: "its size",
                expected: pinned.bytes.to_string(),
                found: remote.bytes.to_string(),
            });
        }
        Ok(Planned {
            path: remote.file.path.clone(),
            bytes: Some(remote.bytes),
            missing: Some(self.hub.missing_bytes(&source.repository, &remote.etag, remote.bytes)),
            pinned: pinned.and_then(PinnedFile::digest),
            remote: Some(remote),
            again: false,
        })
    }
}

fn unknown(path: &str) -> Planned {
    Planned { path: path.to_owned(), bytes: None, missing: None, remote: None, pinned: None, again: false }
}
