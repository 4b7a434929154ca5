//! Entries for people by which a file says which model it is of, or of which kind it is. Nothing is made of them; where they name
//! another model or kind, they are said.
//!
//! Must not know tensors.

use super::{is_empty, shown};

/// Entries that name a model.
const MODELS: [&str; 4] = ["modelspec.architecture", "ss_base_model_version", "base_model", "base_model_name"];
/// How a model of diffusion predicts.
const PREDICTION: &str = "modelspec.prediction_type";
/// What a file of llama.cpp's is.
const TYPE: &str = "general.type";
/// What the names of the models here have in them.
const LTX: &str = "ltx";
/// The same of their text encoders.
const OF_TEXT: [&str; 2] = ["gemma", "t5"];

/// What an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file with tensors of a model.
    Model,
    /// Another file of weights, such as a text encoder.
    Any,
    /// A LoRA.
    Lora,
}

/// Whether a text names a model of LTX.
pub(crate) fn names_ltx(text: &str) -> bool {
    text.to_ascii_lowercase().contains(LTX)
}

/// A note on an entry that names another model or kind.
pub(crate) fn note(name: &str, text: &str, kind: Kind) -> Option<String> {
    if is_empty(text) {
        return None;
    }
    let of_text = || kind == Kind::Any && OF_TEXT.iter().any(|known| text.to_ascii_lowercase().contains(known));
    let own_type = if kind == Kind::Lora { "adapter" } else { "model" };
    let why = match name {
        name if MODELS.contains(&name) && !names_ltx(text) && !of_text() => {
            "it names no model of LTX, and is left alone"
        }
        PREDICTION => "how a model predicts is not taken from it, and it is left alone",
        TYPE if !text.trim().eq_ignore_ascii_case(own_type) => "another kind of file, and it is left alone",
        _ => return None,
    };
    Some(format!("header entry {name} is {}: {why}", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_another_model_or_kind_is_said() {
        use Kind::{Any, Lora, Model};
        for (name, text, kind) in [
            ("modelspec.architecture", "wan2.1/lora", Lora),
            ("modelspec.architecture", "wan", Model),
            ("ss_base_model_version", "flux1", Lora),
            ("base_model", "gemma3", Model),
            ("base_model_name", "none", Any),
            ("modelspec.prediction_type", "epsilon", Model),
            ("general.type", "adapter", Model),
            ("general.type", "model", Lora),
        ] {
            let said = note(name, text, kind).unwrap();
            assert!(said.starts_with(&format!("header entry {name} is {text}: ")), "{said}");
        }
        for (name, text, kind) in [
            ("modelspec.architecture", "LTX-2.3/lora", Lora),
            ("modelspec.architecture", "ltxv", Model),
            ("modelspec.architecture", "gemma3", Any),
            ("base_model", "Lightricks/LTX-2.3", Model),
            ("base_model", "", Model),
            ("modelspec.title", "Wan", Lora),
            ("general.type", "Model", Any),
            ("general.type", "adapter", Lora),
        ] {
            assert_eq!(note(name, text, kind), None, "{name}: {text}");
        }
    }
}
