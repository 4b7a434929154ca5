//! Whether a text encoder is the one that a checkpoint was trained with. From 2.4 on checkpoints name it
//! (`gemma_source_checkpoint.gemma_version`), and its configuration says what it is called; older ones were trained with Gemma 3.
//! Source: the public `ltx_core` reference, `text_encoders/gemma/encoders/encoder_configurator.py`.
//!
//! Must not know tensors.

use super::{config_of, stated::GEMMA_SOURCE};
use crate::Result;
use ltx_model::text_encoder::{GemmaConfig, Generation};
use ltx_nn::NnError;
use ltx_weights::TensorSet;

/// The first version whose checkpoints name their text encoder.
const NAMED_SINCE: (u32, u32) = (2, 4);

/// Entries that a checkpoint states of its text encoder and that mean nothing here: the version that it was made for.
const IDLE: [&str; 2] = ["gemma_version", "ltx_version"];

/// A note on what else a checkpoint states of its text encoder.
fn others(checkpoint: &TensorSet, source: &serde_json::Value) -> Option<String> {
    let entries = source.as_object().into_iter().flatten();
    let others = entries.filter(|(name, value)| !IDLE.contains(&name.as_str()) && !value.is_null());
    let others: Vec<String> = others.map(|(name, value)| format!("{name} {value}")).collect();
    let file = checkpoint.path().display();
    (!others.is_empty())
        .then(|| format!("{file}: its {GEMMA_SOURCE} states {}: not known here, and left alone", others.join(", ")))
}

/// A note, where a checkpoint does not name its text encoder although its version, major and minor number, should, or states more of it than
/// is known here.
///
/// # Errors
/// The text encoder is another than the checkpoint names, or than its version has.
pub(super) fn check(checkpoint: &TensorSet, version: (u32, u32), text: &GemmaConfig) -> Result<Option<String>> {
    let refused = |field: &str, found: &str, supported: String| {
        config_of(checkpoint.path())(NnError::unsupported(field, found, supported))
    };
    let named = text.gemma_version.as_deref();
    if let Some(source) = checkpoint.json(GEMMA_SOURCE)? {
        let wanted = match source.get("gemma_version") {
            Some(serde_json::Value::String(version)) => Some(version.as_str()),
            None | Some(serde_json::Value::Null) if source.is_object() => None,
            _ => {
                return Err(refused(
                    GEMMA_SOURCE,
                    &source.to_string(),
                    "an object with the text gemma_version".to_owned(),
                ));
            }
        };
        return match wanted == named {
            true => Ok(others(checkpoint, &source)),
            false => {
                let found = named.unwrap_or("absent");
                let wanted = wanted.unwrap_or("absent");
                let supported = format!("{wanted}, as the checkpoint's {GEMMA_SOURCE} states");
                Err(refused("gemma_version of the text encoder", found, supported))
            }
        };
    }
    if version >= NAMED_SINCE {
        return match named {
            Some(found) => {
                let instead = format!("{found}, which a .json among the components may state where no header does");
                Err(refused(&format!("{GEMMA_SOURCE}.gemma_version"), "absent", instead))
            }
            None => Ok(Some(format!(
                "{}: does not name its text encoder, as its version should; whether this one fits is not known",
                checkpoint.path().display()
            ))),
        };
    }
    match text.generation {
        Generation::Three => Ok(None),
        other => {
            Err(refused("text encoder", other.title(), format!("{}, as it names none", Generation::Three.title())))
        }
    }
}
