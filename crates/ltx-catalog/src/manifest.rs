//! Model manifests: what a model is called, where its files are published and lie, and how it wants to be sampled.
//!
//! Must not know the files' contents, or where the manifest lies.

use crate::Source;
use ltx_hub::HubError;
use ltx_policy::KnownModel;
use ltx_types::{Defaults, FieldError, LORA_STRENGTHS, LoraRole, LoraStrengths, LoraUse};
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

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
    /// The model in one sentence.
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
    #[serde(default, deserialize_with = "each_name_once")]
    pub loras: Vec<ManifestLora>,
}

/// One file or folder: where it lies, where it is published, or both.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "StatedFile")]
pub struct ManifestFile {
    /// Its path, relative to the manifest's folder.
    pub path: Option<PathBuf>,
    /// The repository it is published in.
    pub repository: Option<String>,
    /// What of the repository it is, where the manifest says that.
    pub source: Option<Source>,
    /// Bytes of the file, where known.
    pub bytes: Option<u64>,
    /// About how many bytes the file or folder has, where that is all that is known; for people, nothing is checked by it.
    pub about_bytes: Option<u64>,
}

/// A file as a manifest writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedFile {
    path: Option<PathBuf>,
    repository: Option<String>,
    revision: Option<String>,
    file: Option<String>,
    files: Option<Vec<String>>,
    bytes: Option<u64>,
    about_bytes: Option<u64>,
}

/// A LoRA file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "StatedLora")]
pub struct ManifestLora {
    /// By what requests name it; one with a name counts only where a request names it.
    pub name: Option<String>,
    /// The file.
    pub file: ManifestFile,
    /// How strongly it counts: from -100 to 100; where `stage_2_strength` is stated, in the first stage.
    pub strength: f32,
    /// How strongly it counts in the second stage of two; as in the first where it is not stated.
    pub stage_2_strength: Option<f32>,
    /// What it is to the model. One that has a role counts always, so it has no name.
    pub role: Option<LoraRole>,
}

impl Manifest {
    /// The model as policy knows it, by its names.
    ///
    /// # Errors
    /// One of them states another generation than the family's.
    pub fn known(&self) -> Result<KnownModel, FieldError> {
        KnownModel::new(&self.name, self.aliases.clone(), &self.family)
    }

    /// LoRAs that a request may name, with their strengths.
    pub fn loras_by_name(&self) -> impl Iterator<Item = (&str, LoraStrengths)> {
        self.files.loras.iter().filter_map(|lora| Some((lora.name.as_deref()?, lora.strengths())))
    }
}

impl ManifestLora {
    /// Its strength in each stage.
    pub fn strengths(&self) -> LoraStrengths {
        LoraStrengths { first: self.strength, second: self.stage_2_strength.unwrap_or(self.strength) }
    }
}

/// A LoRA file as a manifest writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedLora {
    name: Option<String>,
    path: Option<PathBuf>,
    repository: Option<String>,
    revision: Option<String>,
    file: Option<String>,
    bytes: Option<u64>,
    about_bytes: Option<u64>,
    #[serde(default = "full_strength", deserialize_with = "strength")]
    strength: f32,
    #[serde(default, deserialize_with = "other_strength")]
    stage_2_strength: Option<f32>,
    role: Option<LoraRole>,
}

/// What is wrong with what is said of a file.
#[derive(Debug, thiserror::Error)]
enum BadPlace {
    #[error("a file needs a path, or a repository with the file (or files) in it")]
    Nowhere,
    #[error("{0} says nothing without a repository")]
    NoRepository(&'static str),
    #[error("file and files exclude each other: one file, or the files of a folder")]
    Both,
    #[error("bytes and about_bytes exclude each other: a size is known, or about known")]
    TwoSizes,
    #[error("revision says nothing without the file (or files) of the repository")]
    NothingOfRepository,
    #[error("the LoRA {0} has a role, so it counts always, and no request names it; take out its name or its role")]
    RoleAndName(String),
    #[error(transparent)]
    Name(#[from] HubError),
}

impl TryFrom<StatedFile> for ManifestFile {
    type Error = BadPlace;

    fn try_from(stated: StatedFile) -> Result<Self, BadPlace> {
        let StatedFile { path, repository, revision, file, files, bytes, about_bytes } = stated;
        if bytes.is_some() && about_bytes.is_some() {
            return Err(BadPlace::TwoSizes);
        }
        let at = revision.as_deref().unwrap_or("main");
        let source = match (&repository, file, files) {
            (_, Some(_), Some(_)) => return Err(BadPlace::Both),
            (None, Some(_), None) => return Err(BadPlace::NoRepository("file")),
            (None, None, Some(_)) => return Err(BadPlace::NoRepository("files")),
            (None, None, None) if revision.is_some() => return Err(BadPlace::NoRepository("revision")),
            (Some(_), None, None) if revision.is_some() => return Err(BadPlace::NothingOfRepository),
            // Without more it says where the file came from, not how to get it.
            (_, None, None) => None,
            (Some(repository), Some(file), None) => Some(Source::file(repository, at, &file)?),
            (Some(repository), None, Some(files)) => Some(Source::folder(repository, at, files)?),
        };
        if path.is_none() && source.is_none() {
            return Err(BadPlace::Nowhere);
        }
        Ok(Self { path, repository, source, bytes, about_bytes })
    }
}

impl TryFrom<StatedLora> for ManifestLora {
    type Error = BadPlace;

    fn try_from(stated: StatedLora) -> Result<Self, BadPlace> {
        let StatedLora { name, path, repository, revision, file, bytes, about_bytes, strength, stage_2_strength, role } =
            stated;
        if let (Some(_), Some(name)) = (role, &name) {
            return Err(BadPlace::RoleAndName(name.clone()));
        }
        let file = StatedFile { path, repository, revision, file, files: None, bytes, about_bytes };
        Ok(Self { name, file: file.try_into()?, strength, stage_2_strength, role })
    }
}

fn each_name_once<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<ManifestLora>, D::Error> {
    let loras = Vec::<ManifestLora>::deserialize(source)?;
    let names: Vec<_> = loras.iter().filter_map(|lora| lora.name.as_deref()).collect();
    match names.iter().enumerate().find(|(at, name)| !LoraUse::is_name(name) || names[..*at].contains(name)) {
        Some((_, name)) => Err(serde::de::Error::custom(format!("{name:?} is no name of a LoRA, or names two"))),
        None => Ok(loras),
    }
}

fn full_strength() -> f32 {
    1.0
}

fn strength<'de, D: Deserializer<'de>>(source: D) -> Result<f32, D::Error> {
    let found = f32::deserialize(source)?;
    within(found)
}

fn other_strength<'de, D: Deserializer<'de>>(source: D) -> Result<Option<f32>, D::Error> {
    f32::deserialize(source).and_then(within).map(Some)
}

fn within<E: serde::de::Error>(found: f32) -> Result<f32, E> {
    if LORA_STRENGTHS.contains(&found) {
        return Ok(found);
    }
    let (least, most) = (LORA_STRENGTHS.start(), LORA_STRENGTHS.end());
    Err(E::custom(format!("strength {found} is not between {least} and {most}")))
}
