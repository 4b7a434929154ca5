//! Which generation of LTX a file is of, by the version that it states, by keys that one generation alone has and by its
//! configuration: one that does not run here, or one that its configuration contradicts. A file is named by what it states itself
//! to be before its configuration is obeyed.
//!
//! Must not know files.

use super::{Foreign, Signs, TAKE_LTX_23};
use crate::{
    architecture::{Family, KEYFRAMES, VIDEO_ALONE},
    transformer::TransformerConfig,
};
use ltx_types::{MODEL_VERSION, version_numbers};
use serde_json::Value;

/// The generations whose autoencoder has other blocks.
const OLDER: &str = "LTX-Video 0.9.0–0.9.4";
/// What to do about a file that contradicts itself.
const AS_PUBLISHED: &str = "version, keys and configuration of a file are one generation's: take it with the header that it was \
    published with, or mend the one that is wrong";
const MODEL: &str = "model.diffusion_model.";

/// What a version stands for.
enum Stated {
    Runs(Family),
    Other(String),
}

impl Stated {
    fn of(version: Option<&str>) -> Option<Self> {
        Some(match version_numbers(version?)? {
            (0, 0..=8, _) | (0, 9, Some(0..=4)) => Self::Other(OLDER.to_owned()),
            (0, ..) => Self::Runs(Family::Ltxv098),
            (1, ..) => Self::Other("LTX-2".to_owned()),
            (2, minor @ 0..=5, _) => Self::Runs(Family::of_version(Some((2, minor)))),
            (major, minor, _) => Self::Other(format!("LTX-{major}.{minor}")),
        })
    }
}

/// A generation that does not run here, by a version that a file states.
pub(super) fn later(version: Option<&str>) -> Option<String> {
    match Stated::of(version)? {
        Stated::Other(title) => Some(title),
        Stated::Runs(_) => None,
    }
}

/// Whether a version that can be read is one of a family's.
pub(super) fn is_version_of(stated: &str, family: Family) -> bool {
    match Stated::of(Some(stated)) {
        Some(Stated::Runs(found)) => found == family,
        Some(Stated::Other(_)) => false,
        None => true,
    }
}

/// What a file of LTX is that is of a generation which does not run here, or of another than it states.
pub(super) fn other(signs: &Signs<'_>) -> Option<Foreign> {
    let part = part(signs)?;
    let named = |title: &str, sign: String| Some(Foreign::new(format!("{title} {part}"), sign, TAKE_LTX_23));
    if let Some(title) = later(signs.version) {
        return named(&title, stated_version(signs));
    }
    if let Some(sign) = older(signs) {
        return named(OLDER, sign);
    }
    contradicted(signs)
}

/// Whether a section `transformer` is a whole one: of the file of a transformer, with its class, or one by which a transformer could be
/// built. One of the text connectors alone may leave out what is the transformer's.
fn is_whole(signs: &Signs<'_>, section: &Value) -> bool {
    let of_a_transformer = || signs.keys.has_prefix(&format!("{MODEL}transformer_blocks."));
    section.get("_class_name").is_some() && (of_a_transformer() || TransformerConfig::from_json(section).is_ok())
}

/// What the keys are of, where they are of LTX.
fn part(signs: &Signs<'_>) -> Option<&'static str> {
    let has = |prefix: &str| signs.keys.has_prefix(prefix);
    Some(match has(&format!("{MODEL}transformer_blocks.")) {
        true if has("vae.") => "checkpoint",
        true => "transformer",
        false if has("vae.") => "video VAE",
        false if has(&format!("{MODEL}video_embeddings_connector.")) => "text connectors",
        false if has("text_embedding_projection.") => "text projection",
        false => return None,
    })
}

fn stated_version(signs: &Signs<'_>) -> String {
    format!("its {MODEL_VERSION} is {}", signs.version.unwrap_or_default())
}

/// By what a file is of LTX-Video before 0.9.5: one list of blocks for both halves of the autoencoder, the modules of that list,
/// or a transformer that does not say how time is positioned.
fn older(signs: &Signs<'_>) -> Option<String> {
    let section = |name: &str| signs.config.and_then(|config| config.get(name)).filter(|section| section.is_object());
    if section("vae").is_some_and(|vae| vae.get("blocks").is_some() && vae.get("encoder_blocks").is_none()) {
        return Some("its vae states blocks for both halves".to_owned());
    }
    let (down, up) = ("vae.encoder.down_blocks.", "vae.decoder.up_blocks.");
    let is_older = |key: &&str| {
        let rest = key.strip_prefix(down).or_else(|| key.strip_prefix(up)).and_then(|rest| rest.split_once('.'));
        rest.is_some_and(|(_, rest)| {
            ["conv.weight", "conv1.", "conv_shortcut.", "norm3."].iter().any(|module| rest.starts_with(module))
        })
    };
    if let Some(key) = signs.keys.all().find(is_older) {
        return Some(format!("it has the key {key}"));
    }
    let transformer = section("transformer")?;
    let alone = transformer.get("_class_name").and_then(Value::as_str) == Some(VIDEO_ALONE);
    let silent = transformer.get("causal_temporal_positioning").is_none_or(Value::is_null);
    (alone && silent).then(|| "its transformer states no causal_temporal_positioning".to_owned())
}

/// Gates of attentions, which tell LTX-2.3 and 2.5 from what was before.
const GATES: &str = ".to_gate_logits.";

/// The family that a transformer's keys show by having gates or none, where its configuration is one of the others.
fn by_gates(signs: &Signs<'_>, configured: Family) -> Option<(Family, String)> {
    let blocks = format!("{MODEL}transformer_blocks.");
    if !signs.keys.has_prefix(&blocks) {
        return None;
    }
    let gate = signs.keys.all().find(|key| key.starts_with(&blocks) && key.contains(GATES));
    let sign = match (gate, configured) {
        (None, Family::Ltx23 | Family::Ltx25) => "none of its blocks has a to_gate_logits".to_owned(),
        (Some(key), Family::Ltx2 | Family::Ltxv098) => format!("it has the key {key}"),
        _ => return None,
    };
    Some((Family::shown_by(signs.keys)?, sign)).filter(|(shown, _)| *shown != configured)
}

/// What a file is whose version or keys are of another generation than its configuration.
pub(super) fn contradicted(signs: &Signs<'_>) -> Option<Foreign> {
    let part = part(signs)?;
    let stated = match Stated::of(signs.version) {
        Some(Stated::Runs(family)) => Some(family),
        _ => None,
    };
    let named = |family: Family, sign: &str, but: &str| {
        Some(Foreign::new(format!("{} {part}", family.title()), format!("{sign}, and {but}"), AS_PUBLISHED))
    };
    let transformer = signs.config.and_then(|config| config.get("transformer")).filter(|section| section.is_object());
    let Some(section) = transformer else {
        let family = stated?;
        let told = signs.keys.has_prefix("vae.decoder.last_time_embedder.");
        let sign = stated_version(signs);
        return match (signs.keys.has_prefix("vae.decoder."), told, family) {
            (true, false, Family::Ltxv098) => named(family, &sign, "its decoder is told no timestep, as that one is"),
            (true, true, other) if other != Family::Ltxv098 => {
                named(other, &sign, "its decoder is told a timestep, as LTX-Video's is")
            }
            _ => None,
        };
    };
    let marked = signs.keys.all().find(|key| key.strip_prefix(MODEL).is_some_and(|key| key.starts_with(KEYFRAMES)));
    let marked = marked.map(|key| format!("it has the key {key}"));
    let states_mark = section.get("use_keyframes_abs_pos_embedding") == Some(&Value::Bool(true));
    let marked =
        marked.or_else(|| states_mark.then(|| "its configuration states use_keyframes_abs_pos_embedding".into()));
    let configured = Family::of(section).ok();
    let shown = marked.map(|sign| (Family::Ltx25, sign)).or_else(|| by_gates(signs, configured?));
    let own = shown.or_else(|| stated.map(|family| (family, stated_version(signs))));
    let (family, sign) = own?;
    if !is_whole(signs, section) {
        let difference = family.contradiction(section)?;
        return match configured.filter(|configured| *configured != family) {
            Some(configured) => {
                named(family, &sign, &format!("its configuration is that of {}: {difference}", configured.title()))
            }
            None if family == Family::Ltx23 => None,
            None => named(family, &sign, &format!("its configuration is not that: {difference}")),
        };
    }
    match configured {
        // What is marked as LTX-2.5 may still state another version.
        Some(configured) if configured == family => match stated {
            Some(stated) if stated != family => {
                named(family, &sign, &format!("{}, which is {}", stated_version(signs), stated.title()))
            }
            _ => None,
        },
        Some(configured) => named(family, &sign, &format!("its configuration is that of {}", configured.title())),
        // A configuration that is no family's is refused by its field, unless it would be complained about as another one's.
        None => {
            let difference = family.difference(section).filter(|_| family != Family::Ltx23)?;
            named(family, &sign, &format!("its configuration is not that: {difference}"))
        }
    }
}
