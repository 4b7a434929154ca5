//! What a file of weights is when it is none that runs here: another generation of LTX, another layout of one, or a model of
//! somebody else. Told by keys, shapes, version and configuration, before any key is complained about.
//!
//! Must not know files.

mod generations;
mod vendors;

use crate::architecture::{Family, Keys};
use serde_json::Value;

/// What there is to tell a file by.
pub struct Signs<'a> {
    /// Its tensors, by official keys as far as they have any.
    pub keys: &'a dyn Keys,
    /// Its configuration, if it states one.
    pub config: Option<&'a Value>,
    /// Its version ([`ltx_types::MODEL_VERSION`]), if it states one.
    pub version: Option<&'a str>,
    /// The architecture that a GGUF file names.
    pub architecture: Option<&'a str>,
}

/// A file that this engine does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, such as `LTX-2.5 transformer`.
    pub title: String,
    /// How that was seen.
    pub sign: String,
    /// What to take in its place, a sentence's end.
    pub instead: &'static str,
}

/// What to take instead of another generation.
const TAKE_LTX_23: &str =
    "this version runs LTX-Video 0.9.8, LTX-2, LTX-2.3 and LTX-2.5: take Lightricks/LTX-2.3 (docs/models.md)";
/// What to take instead of a diffusers layout.
const TAKE_ONE_FILE: &str = "it is not read here: take the single file of Lightricks/LTX-2.3, or its parts as ComfyUI has them (docs/models.md)";
/// What to take instead of a component, or of a pipeline that is not read.
const TAKE_THE_FOLDER: &str =
    "take the folder of LTXConditionPipeline that holds transformer and vae, or the single file (docs/models.md)";
const TAKE_THE_VAE: &str = "take the official video VAE of LTX-2.3";

/// Beginnings of keys that only LTX's files have, once they are official: others' autoencoders and encoders begin with `encoder.`
/// as well.
const OF_LTX: [&str; 5] = [
    "model.diffusion_model.video_embeddings_connector.",
    "text_embedding_projection.",
    "vae.per_channel_statistics.",
    "vae.encoder.conv_in.conv.",
    "vae.decoder.conv_in.conv.",
];

/// Where the official keys of the transformer's first block begin.
const BLOCK: &str = "model.diffusion_model.transformer_blocks.0.";

impl Foreign {
    fn new(title: impl Into<String>, sign: impl Into<String>, instead: &'static str) -> Self {
        Self { title: title.into(), sign: sign.into(), instead }
    }

    /// What a file is, if it is not one for this engine.
    pub fn of(signs: &Signs<'_>) -> Option<Self> {
        let Signs { keys, architecture, .. } = signs;
        if let Some(named) = architecture.and_then(vendors::of_gguf) {
            return Some(named);
        }
        if let Some(key) = keys.all().find(|key| is_tiny_autoencoder(key)) {
            return Some(Self::new(
                "tiny autoencoder, which draws previews,",
                format!("it has the key {key}"),
                TAKE_THE_VAE,
            ));
        }
        if is_ltx_transformer(*keys) {
            return generation_of_transformer(signs);
        }
        generation_of_component(signs).or_else(|| {
            if OF_LTX.iter().any(|prefix| keys.has_prefix(prefix)) { None } else { vendors::of_keys(*keys) }
        })
    }

    /// What files are together whose version or keys are of another generation than their configuration. `of` says the same of
    /// each alone, where it states all of that itself.
    pub fn of_contradiction(signs: &Signs<'_>) -> Option<Self> {
        generations::contradicted(signs)
    }

    /// Whether a version that is stated is one of a family's; one that cannot be read is any's.
    pub fn is_version_of(stated: &str, family: Family) -> bool {
        generations::is_version_of(stated, family)
    }

    /// What the class of a diffusers component or pipeline says it is.
    pub fn of_diffusers_class(class: &str) -> Self {
        let sign = format!("its _class_name is {class}");
        match class {
            _ if class.starts_with("LTX2") => Self::new("diffusers layout of an LTX-2 model", sign, TAKE_ONE_FILE),
            _ if class.starts_with("AutoencoderKLLTX2") => {
                Self::new("diffusers layout of an LTX-2 autoencoder", sign, TAKE_ONE_FILE)
            }
            _ if class.starts_with("LTX") || class.starts_with("AutoencoderKLLTX") => {
                Self::new("diffusers layout of LTX-Video 0.9.x, or a component of it,", sign, TAKE_THE_FOLDER)
            }
            _ => Self::new(format!("diffusers layout of {}", vendors::of_class(class)), sign, TAKE_LTX_23),
        }
    }
}

/// Whether a key is of a small autoencoder for previews: its layers are only numbered.
fn is_tiny_autoencoder(key: &str) -> bool {
    let key = key.strip_prefix("vae.").unwrap_or(key);
    let key = key.strip_prefix("taesd_").unwrap_or(key);
    let rest = key.strip_prefix("encoder.").or_else(|| key.strip_prefix("decoder."));
    let number = rest.and_then(|rest| rest.split('.').next()).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_ltx_transformer(keys: &dyn Keys) -> bool {
    let others = ["pos_embed.", "patch_embed.", "model.diffusion_model.pos_embed."];
    keys.shape_of(&format!("{BLOCK}attn1.to_q.weight")).is_some()
        && !others.iter().any(|prefix| keys.has_prefix(prefix))
}

fn generation_of_transformer(signs: &Signs<'_>) -> Option<Foreign> {
    let keys = signs.keys;
    let first = |prefix: &str| keys.all().find(|key| key.starts_with(prefix));
    if let Some(key) = first(&format!("{BLOCK}attn1.norm_q.")).or_else(|| first("time_embed.")) {
        let shown = Family::shown_by(keys).unwrap_or(Family::Ltx23);
        let generation = generations::later(signs.version).unwrap_or_else(|| shown.title().to_owned());
        let title = format!("{generation} transformer in the layout of diffusers");
        return Some(Foreign::new(title, format!("it has the key {key}"), instead_of_diffusers(shown)));
    }
    generations::other(signs)
}

/// What to take instead of a transformer in the layout of diffusers.
fn instead_of_diffusers(family: Family) -> &'static str {
    match family {
        Family::Ltxv098 => TAKE_THE_FOLDER,
        Family::Ltx2 => "it is not read here: take the single file of Lightricks/LTX-2 (docs/models.md)",
        Family::Ltx23 => TAKE_ONE_FILE,
        Family::Ltx25 => "it is not read here: take the files of Lightricks/LTX-2.5 (docs/models.md)",
    }
}

/// What a VAE in the layout of diffusers is: LTX's have the statistics of their latents beside them; of those before 0.9.5 the
/// downsamplers are plain convolutions, and a decoder that is told a timestep is LTX-Video's.
fn diffusers_vae(keys: &dyn Keys) -> (&'static str, &'static str) {
    let has = |part: &str| keys.all().any(|key| key.contains(part));
    if !has("latents_mean") {
        return ("video or image VAE in the layout of diffusers", TAKE_ONE_FILE);
    }
    if has(".downsamplers.0.conv.weight") {
        return ("LTX-Video 0.9.0–0.9.4 video VAE in the layout of diffusers", TAKE_LTX_23);
    }
    if has(".time_embedder.") {
        return ("LTX-Video 0.9.x video VAE in the layout of diffusers", TAKE_THE_FOLDER);
    }
    ("LTX-2 or LTX-2.3 video VAE in the layout of diffusers", TAKE_ONE_FILE)
}

/// Files without a transformer.
fn generation_of_component(signs: &Signs<'_>) -> Option<Foreign> {
    let keys = signs.keys;
    let found = |mark: &str| keys.all().find(|key| key.contains(mark)).map(|key| format!("it has the key {key}"));
    if let Some(sign) = found(".resnets.").filter(|_| keys.has_prefix("vae.")) {
        let (title, instead) = diffusers_vae(keys);
        return Some(Foreign::new(title, sign, instead));
    }
    let connectors = ["video_connector.", "text_proj_in."];
    if let Some(key) = keys.all().find(|key| connectors.iter().any(|mark| key.starts_with(mark))) {
        let sign = format!("it has the key {key}");
        return Some(Foreign::new("text connectors in the layout of diffusers", sign, TAKE_ONE_FILE));
    }
    generations::other(signs)
}

#[cfg(test)]
mod tests;
