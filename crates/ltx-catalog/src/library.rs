//! The manifests of a folder, and where the files that they name lie.
//!
//! Must not know which folder that is, or whether the files are there.

use crate::{CatalogError, Manifest, ManifestFile, ManifestLora, Result};
use ltx_policy::{KnownModel, ModelNames};
use ltx_types::{LoraChoice, ModelFiles};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The manifests of a models folder.
#[derive(Debug, Clone)]
pub struct ModelLibrary {
    folder: PathBuf,
    manifests: Vec<Manifest>,
}

impl ModelLibrary {
    /// Reads every `*.toml` in `folder`, sorted by file name.
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
        let manifests = files.iter().map(|file| read_manifest(file)).collect::<Result<_>>()?;
        Ok(Self { folder: folder.to_owned(), manifests })
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
        let known = |manifest: &Manifest| KnownModel { name: manifest.name.clone(), aliases: manifest.aliases.clone() };
        ModelNames::new(self.manifests.iter().map(known).collect(), [])
    }

    /// Where a file of a manifest lies.
    pub fn path_of(&self, file: &ManifestFile) -> PathBuf {
        self.folder.join(&file.path)
    }

    /// Where all files of a manifest lie.
    pub fn files_of(&self, manifest: &Manifest) -> ModelFiles {
        let files = &manifest.files;
        let lora = |lora: &ManifestLora| LoraChoice { path: self.folder.join(&lora.path), strengths: lora.strengths() };
        ModelFiles {
            checkpoint: self.path_of(&files.checkpoint),
            components: files.components.iter().map(|file| self.path_of(file)).collect(),
            text_encoder: self.path_of(&files.text_encoder),
            upscaler: files.upscaler.as_ref().map(|file| self.path_of(file)),
            loras: files.loras.iter().map(lora).collect(),
        }
    }
}

fn read_manifest(file: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(file).map_err(|source| CatalogError::Read { file: file.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| CatalogError::BadManifest { file: file.to_owned(), source: Box::new(source) })
}
