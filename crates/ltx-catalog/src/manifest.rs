//! Model manifests: what a model is called, where its files lie, and how it wants to be sampled.
//!
//! Must not know the files' contents, or where the manifest lies.

use ltx_types::{Defaults, LORA_STRENGTHS, LoraStrengths};
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
    #[serde(default)]
    pub loras: Vec<ManifestLora>,
}

/// One file or folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its path, relative to the manifest's folder.
    pub path: PathBuf,
    /// The public repository it is published in.
    pub repository: Option<String>,
    /// Bytes of the file, where known.
    pub bytes: Option<u64>,
}

/// A LoRA file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestLora {
    /// Its path, relative to the manifest's folder.
    pub path: PathBuf,
    /// The public repository it is published in.
    pub repository: Option<String>,
    /// Bytes of the file, where known.
    pub bytes: Option<u64>,
    /// How strongly it counts: from -100 to 100; where `stage_2_strength` is stated, in the first stage.
    #[serde(default = "full_strength", deserialize_with = "strength")]
    pub strength: f32,
    /// How strongly it counts in the second stage of two; as in the first where it is not stated.
    #[serde(default, deserialize_with = "other_strength")]
    pub stage_2_strength: Option<f32>,
}

impl ManifestLora {
    /// Its strength in each stage.
    pub fn strengths(&self) -> LoraStrengths {
        LoraStrengths { first: self.strength, second: self.stage_2_strength.unwrap_or(self.strength) }
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
