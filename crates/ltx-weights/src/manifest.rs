//! Model manifests: what a model is called, where its files lie, and how it wants to be sampled.
//!
//! Must not know the files' contents.

use crate::{LORA_STRENGTHS, LoraChoice, Result, WeightsError};
use ltx_types::Defaults;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One model, as its TOML file describes it. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name it is asked for by.
    pub name: String,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The architecture family, such as `ltx-2.3`.
    pub family: String,
    /// The model's version.
    pub version: String,
    /// The licence of the weights.
    pub licence: String,
    /// One sentence.
    pub description: String,
    /// Where the files lie.
    pub files: ManifestFiles,
    /// How it wants to be sampled when the request is silent.
    pub defaults: Defaults,
}

/// The files of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFiles {
    /// Transformer, connector, text projection and VAE in one file; or the first of several component files.
    pub checkpoint: ManifestFile,
    /// The other component files; a `*.json` among them states the configuration.
    #[serde(default)]
    pub components: Vec<ManifestFile>,
    /// The Gemma-3 folder or file.
    pub text_encoder: ManifestFile,
    /// The ×2 latent upscaler, needed for two stages.
    pub upscaler: Option<ManifestFile>,
    /// LoRA files that belong to the model, each with its strength.
    #[serde(default)]
    pub loras: Vec<ManifestLora>,
}

/// One file or folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Relative to the manifest's folder.
    pub path: PathBuf,
    /// The public repository it is published in.
    pub repository: Option<String>,
    /// Its size, where known.
    pub bytes: Option<u64>,
}

/// A LoRA file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestLora {
    /// Relative to the manifest's folder.
    pub path: PathBuf,
    /// The public repository it is published in.
    pub repository: Option<String>,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// How strongly it counts: from -100 to 100.
    #[serde(default = "full_strength", deserialize_with = "strength")]
    pub strength: f32,
}

fn full_strength() -> f32 {
    1.0
}

fn strength<'de, D: Deserializer<'de>>(source: D) -> Result<f32, D::Error> {
    let found = f32::deserialize(source)?;
    if LORA_STRENGTHS.contains(&found) {
        return Ok(found);
    }
    let (least, most) = (LORA_STRENGTHS.start(), LORA_STRENGTHS.end());
    Err(D::Error::custom(format!("strength {found} is not between {least} and {most}")))
}

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
        let read_error = |source| WeightsError::Read { file: folder.to_owned(), source };
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

    /// A manifest's LoRA files, relative to the library's folder.
    pub fn loras_of(&self, manifest: &Manifest) -> Vec<LoraChoice> {
        let choice = |lora: &ManifestLora| LoraChoice { path: self.folder.join(&lora.path), strength: lora.strength };
        manifest.files.loras.iter().map(choice).collect()
    }

    /// A manifest's file, relative to the library's folder.
    pub fn path_of(&self, file: &ManifestFile) -> PathBuf {
        self.folder.join(&file.path)
    }
}

fn read_manifest(file: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(file).map_err(|source| WeightsError::Read { file: file.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| WeightsError::BadManifest { file: file.to_owned(), source: Box::new(source) })
}
