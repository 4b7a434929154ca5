//! The manifests of a folder, and where the files that they name lie.
//!
//! Must not know which folder that is.

use crate::{CatalogError, Manifest, ManifestFile, ManifestLora, MissingFile, Places, Result, Whereabouts};
use ltx_policy::{KnownModel, ModelNames};
use ltx_types::{LoraChoice, LoraRole, LoraStrengths, ModelFiles};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The manifests of a models folder.
#[derive(Debug, Clone)]
pub struct ModelLibrary {
    folder: PathBuf,
    manifests: Vec<Manifest>,
    known: Vec<KnownModel>,
    places: Places,
}

/// One file or folder of a model, and where it is.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// What it is to the model: `checkpoint`, `component`, `text_encoder`, `upscaler` or `lora`.
    pub part: &'static str,
    /// What the manifest says of it.
    pub file: &'a ManifestFile,
    /// By what requests name it, of a LoRA that counts only where they do.
    pub name: Option<&'a str>,
    /// How strongly it counts, of a LoRA.
    pub strengths: Option<LoraStrengths>,
    /// What it is to the model, of a LoRA whose manifest says so.
    pub role: Option<LoraRole>,
    /// Where it is.
    pub here: Whereabouts,
    /// Its bytes, where they are known.
    pub bytes: Option<u64>,
}

impl Item<'_> {
    /// About how many bytes it has, where it is missing and no more is known than what its manifest says.
    pub fn about_bytes(&self) -> Option<u64> {
        self.file.about_bytes.filter(|_| self.bytes.is_none() && self.here == Whereabouts::Missing)
    }
}

impl ModelLibrary {
    /// Reads every `*.toml` in `folder`, sorted by file name. Files are looked for where the manifests put them, and nowhere else.
    ///
    /// # Errors
    /// The folder or a manifest cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let read_error = |source| CatalogError::Read { file: folder.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(read_error)? {
            files.push(entry.map_err(read_error)?.path());
        }
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        let (mut manifests, mut known) = (Vec::new(), Vec::new());
        for file in &files {
            let manifest = read_manifest(file)?;
            let names = manifest.known();
            known.push(names.map_err(|source| CatalogError::OtherGeneration { file: file.clone(), source })?);
            manifests.push(manifest);
        }
        Ok(Self { folder: folder.to_owned(), manifests, known, places: Places::default() })
    }

    /// The same, with further places where files may lie.
    #[must_use]
    pub fn with_places(self, places: Places) -> Self {
        Self { places, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of files apart from the manifests.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The manifests, in file order.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// The manifest of that exact name.
    pub fn manifest(&self, name: &str) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| manifest.name == name)
    }

    /// The names and aliases that policy matches requests against.
    pub fn names(&self) -> ModelNames {
        ModelNames::new(self.known.clone(), [])
    }

    /// Where a manifest puts a file, whether or not it is there.
    pub fn own_place(&self, file: &ManifestFile) -> Option<PathBuf> {
        file.path.as_ref().map(|path| self.folder.join(path))
    }

    /// Every file of a model and where it is: checkpoint, components, text encoder, upscaler, LoRA files.
    pub fn items<'a>(&self, manifest: &'a Manifest) -> Vec<Item<'a>> {
        let items: Vec<_> = self.located(manifest).collect();
        let bytes = |item: &Item<'_>| {
            let own = item.here.path();
            let others = items.iter().filter_map(|other| other.here.path()).filter(|path| Some(*path) != own);
            self.places.bytes(item.file, &item.here, &others.collect::<Vec<_>>())
        };
        let bytes: Vec<_> = items.iter().map(bytes).collect();
        items.into_iter().zip(bytes).map(|(item, bytes)| Item { bytes, ..item }).collect()
    }

    /// The same, no size looked at.
    fn located<'a>(&self, manifest: &'a Manifest) -> impl Iterator<Item = Item<'a>> {
        let files = &manifest.files;
        let one = std::iter::once;
        let all = one(("checkpoint", &files.checkpoint, None))
            .chain(files.components.iter().map(|file| ("component", file, None)))
            .chain(one(("text_encoder", &files.text_encoder, None)))
            .chain(files.upscaler.iter().map(|file| ("upscaler", file, None)))
            .chain(files.loras.iter().map(|lora| ("lora", &lora.file, Some(lora))));
        all.map(|(part, file, lora)| Item {
            part,
            file,
            name: lora.and_then(|lora| lora.name.as_deref()),
            strengths: lora.map(ManifestLora::strengths),
            role: lora.and_then(|lora| lora.role),
            here: self.places.locate(file, &self.folder),
            bytes: None,
        })
    }

    /// Where all files of a manifest lie.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] names those that are not on this machine. A LoRA of the second stage alone may be missing: clips of
    /// one stage do without it.
    pub fn files_of(&self, manifest: &Manifest) -> Result<ModelFiles> {
        let items: Vec<_> = self.located(manifest).collect();
        let missing: Vec<_> =
            items.iter().filter(|item| item.here == Whereabouts::Missing && !may_be_missing(item)).collect();
        if !missing.is_empty() {
            let named = |item: &&Item<'_>| MissingFile {
                place: self.own_place(item.file),
                source: item.file.source.as_ref().map(ToString::to_string),
            };
            let files = missing.iter().map(named).collect();
            return Err(CatalogError::Missing { model: manifest.name.clone(), files });
        }
        let of = |part: &'static str| {
            items.iter().filter(move |item| item.part == part).filter_map(|item| item.here.path()).map(Path::to_owned)
        };
        let lora = |item: &Item<'_>| {
            let published = || Some(self.folder.join(item.file.source.as_ref()?.published_name()));
            let path = item.here.path().map(Path::to_owned).or_else(|| self.own_place(item.file)).or_else(published);
            let (name, role) = (item.name.map(str::to_owned), item.role);
            item.strengths.zip(path).map(|(strengths, path)| LoraChoice {
                name,
                role,
                ..LoraChoice::at(path, strengths)
            })
        };
        Ok(ModelFiles {
            checkpoint: of("checkpoint").next().unwrap_or_default(),
            components: of("component").collect(),
            text_encoder: of("text_encoder").next().unwrap_or_default(),
            upscaler: of("upscaler").next(),
            loras: items.iter().filter_map(lora).collect(),
        })
    }
}

/// Whether a file counts in the second stage only.
fn may_be_missing(item: &Item<'_>) -> bool {
    item.name.is_none() && item.strengths.is_some_and(|strengths| strengths.first == 0.0 && strengths.second != 0.0)
}

fn read_manifest(file: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(file).map_err(|source| CatalogError::Read { file: file.to_owned(), source })?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|source| CatalogError::BadManifest { file: file.to_owned(), source: Box::new(source) })?;
    let checked = manifest.defaults.check();
    checked.map_err(|source| CatalogError::Contradiction { file: file.to_owned(), source })?;
    Ok(manifest)
}
