//! `tokenizer_config.json` beside a tokenizer: entries that have one value here, entries that give no prompt other tokens, and what
//! is said or refused of others.
//!
//! Must not know tokens.

use super::{beside::Beside, named_tokens::states_all};
use crate::{PipelineError, Result};
use ltx_nn::NnError;
use ltx_types::{unknown_entry, words};
use serde_json::{Value, json};
use std::path::Path;

/// Which tokenizer the settings are of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Settings {
    Gemma,
    T5,
}

/// Entries of names, of decoding, of batches and of the library; and tokens, which [`NamedTokens`](super::named_tokens) reads.
const IDLE: [&str; 27] = [
    "additional_special_tokens",
    "added_tokens_decoder",
    "auto_map",
    "backend",
    "chat_template",
    "clean_up_tokenization_spaces",
    "extra_ids",
    "extra_special_tokens",
    "fix_mistral_regex",
    "from_slow",
    "is_local",
    "legacy",
    "local_files_only",
    "max_length",
    "model_input_names",
    "model_max_length",
    "model_specific_special_tokens",
    "name_or_path",
    "padding_side",
    "processor_class",
    "response_schema",
    "spaces_between_special_tokens",
    "special_tokens_map_file",
    "tokenizer_class",
    "tokenizer_file",
    "truncation_side",
    "use_default_system_prompt",
];

/// Words in the names of entries by which a prompt may get other tokens.
const COUNTS: [&str; 28] = [
    "accent",
    "accents",
    "add",
    "alpha",
    "dropout",
    "kwargs",
    "lower",
    "lowercase",
    "lowercased",
    "lstrip",
    "merge",
    "merges",
    "normalise",
    "normaliser",
    "normalization",
    "normalize",
    "normalized",
    "normalizer",
    "prefix",
    "prefixes",
    "rstrip",
    "sampling",
    "split",
    "splits",
    "strip",
    "stripped",
    "trim",
    "trimmed",
];

/// Whether the name of an entry says that a prompt may get other tokens by it. Words count whole: `flower` is no `lower`.
fn counts(entry: &str) -> bool {
    words(entry).iter().any(|word| COUNTS.contains(&word.as_str()))
}

impl Settings {
    /// Entries that are supported with one value.
    fn fixed(self) -> Vec<(&'static str, Value)> {
        let flag = |entry, value: bool| (entry, json!(value));
        let own = match self {
            Self::Gemma => vec![
                flag("add_bos_token", true),
                flag("add_eos_token", false),
                flag("add_prefix_space", false),
                ("bos_token", json!("<bos>")),
            ],
            Self::T5 => vec![
                flag("add_bos_token", false),
                flag("add_eos_token", true),
                flag("add_prefix_space", true),
                ("eos_token", json!("</s>")),
                ("pad_token", json!("<pad>")),
                ("extra_ids", json!(100)),
            ],
        };
        own.into_iter().chain([flag("do_lower_case", false), flag("split_special_tokens", false)]).collect()
    }

    /// Looks at the settings, where there are any; what is not known is said.
    ///
    /// # Errors
    /// The file cannot be read, or a setting gives a prompt other tokens.
    pub(super) fn check(self, beside: &Beside<'_>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let Some((file, settings)) = beside.json(name)? else { continue };
            match (self.check_file(&file, &settings, &mut notes), beside) {
                (Ok(()), _) => {}
                // Whoever packed the file meant its tokenizer so: what it puts around a text is its own.
                (Err(error), Beside::Packed(_)) => notes.push(format!("{}; left alone", ltx_types::sentence(&error))),
                (Err(error), Beside::Folder(_)) => return Err(error),
            }
            if states_all(&settings) {
                break;
            }
        }
        Ok(notes)
    }

    fn check_file(self, file: &Path, settings: &Value, notes: &mut Vec<String>) -> Result<()> {
        let fixed = self.fixed();
        for (entry, stated) in settings.as_object().into_iter().flatten().filter(|(_, stated)| says(stated)) {
            let refused = |supported: String| {
                let source = NnError::unsupported(entry.as_str(), stated, supported);
                Err(PipelineError::Config { file: file.to_owned(), source })
            };
            // A token may be an object that says how it is found in a text.
            let value = stated.get("content").unwrap_or(stated);
            match fixed.iter().find(|(known, _)| known == entry) {
                Some((_, supported)) if value == supported => {}
                Some((_, supported)) => return refused(supported.to_string()),
                None if IDLE.contains(&entry.as_str()) => {}
                None if entry.ends_with("_token") && !entry.starts_with("add_") => {}
                None if counts(entry) && *stated != Value::Bool(false) => {
                    return refused(
                        "no entry of this name: whether it gives a prompt other tokens is not known here".into(),
                    );
                }
                None => notes.push(unknown_entry(format_args!("{}: {entry}", file.display()), stated)),
            }
        }
        Ok(())
    }
}

/// Whether a value says anything.
fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn check(settings: Settings, config: &Value) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        settings.check(&Beside::Folder(folder.path()))
    }

    #[test]
    fn published_settings_say_nothing_new() {
        let gemma = json!({
            "add_bos_token": true, "add_eos_token": false, "added_tokens_decoder": {"0": {"content": "<pad>"}},
            "boi_token": "<start_of_image>", "bos_token": "<bos>", "clean_up_tokenization_spaces": false,
            "eos_token": "<eos>", "extra_special_tokens": {"boi_token": "<start_of_image>"}, "model_max_length": 1e30,
            "pad_token": "<pad>", "padding_side": "left", "processor_class": "Gemma3Processor", "sp_model_kwargs": null,
            "spaces_between_special_tokens": false, "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>",
            "use_default_system_prompt": false,
        });
        let t5 = json!({
            "additional_special_tokens": ["<extra_id_0>"], "clean_up_tokenization_spaces": true,
            "eos_token": {"content": "</s>", "lstrip": false}, "extra_ids": 100, "legacy": true, "model_max_length": 512,
            "pad_token": "<pad>", "sp_model_kwargs": {}, "tokenizer_class": "T5Tokenizer", "unk_token": "<unk>",
        });
        for (settings, config) in [(Settings::Gemma, gemma), (Settings::T5, t5)] {
            assert_eq!(check(settings, &config).unwrap(), [] as [String; 0], "{settings:?}");
        }
        assert!(Settings::Gemma.check(&Beside::Folder(Path::new("/nonexistent"))).unwrap().is_empty());
    }

    #[test]
    fn settings_that_give_other_tokens_are_refused_and_others_said() {
        for (settings, entry, value) in [
            (Settings::Gemma, "sp_model_kwargs", json!({"enable_sampling": true})),
            (Settings::Gemma, "add_bos_token", json!(false)),
            (Settings::Gemma, "add_something", json!(true)),
            (Settings::Gemma, "bos_token", json!("<pad>")),
            (Settings::Gemma, "split_special_tokens", json!(true)),
            (Settings::Gemma, "strip_accents", json!(true)),
            (Settings::T5, "add_prefix_space", json!(false)),
            (Settings::T5, "sp_model_kwargs", json!({"alpha": 0.1})),
            (Settings::T5, "do_lower_case", json!(true)),
        ] {
            let error = check(settings, &json!({ entry: value })).unwrap_err();
            let said = ltx_types::sentence(&error);
            assert!(said.contains("tokenizer_config.json") && said.contains(entry), "{said}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("special_tokens_map.json"), r#"{"eos_token": {"content": "<pad>"}}"#).unwrap();
        let said = ltx_types::sentence(&Settings::T5.check(&Beside::Folder(folder.path())).unwrap_err());
        assert!(said.contains("special_tokens_map.json") && said.contains("eos_token"), "{said}");
        let entries = json!({"mood": "calm", "sp_model_kwargs": {}, "flower": 1, "trimester": 2, "address": "x"});
        let notes = check(Settings::Gemma, &entries).unwrap();
        assert!(notes.len() == 4 && notes.iter().any(|note| note.contains("mood")), "{notes:?}");
    }
}
