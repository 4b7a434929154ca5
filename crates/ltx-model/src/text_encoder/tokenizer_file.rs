//! A `tokenizer.json` before the library takes it: parts that are known here, none of which it fails on later; tokens that have one id.
//!
//! Must not know how text is cut.

use super::{PromptError, charsmap, template::Template};
use serde::Deserialize;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::Tokenizer;

/// What it does to a text, by the entries of the file; `Sequence` holds others.
const NORMALIZERS: [&str; 12] = [
    "Sequence",
    "Replace",
    "Prepend",
    "Strip",
    "StripAccents",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
];
const PRE_TOKENIZERS: [&str; 6] = ["Sequence", "Split", "Metaspace", "WhitespaceSplit", "Whitespace", "ByteLevel"];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

/// Entries of the model that have one value here; its vocabulary is the library's.
#[derive(Deserialize, Default)]
struct Model {
    #[serde(default)]
    continuing_subword_prefix: Value,
    #[serde(default)]
    end_of_word_suffix: Value,
    #[serde(default)]
    dropout: Value,
}

/// The tokenizer of a file.
///
/// # Errors
/// The library does not take it, or an entry is not known here or leads nowhere.
pub(crate) fn read(bytes: &[u8]) -> Result<Tokenizer, PromptError> {
    let file: File =
        serde_json::from_slice(bytes).map_err(|source| PromptError::BadTokenizer { source: source.into() })?;
    file.check().map_err(|reason| PromptError::BadPieces { reason })?;
    let tokenizer = guarded(|| Tokenizer::from_bytes(bytes)).map_err(|source| PromptError::BadTokenizer { source })?;
    for Added { id, content } in &file.added_tokens {
        let found = tokenizer.token_to_id(content);
        if found.is_some_and(|found| found != *id) {
            let reason = format!(
                "added_tokens: {content:?} is token {id}, and token {} of the vocabulary",
                found.unwrap_or(*id)
            );
            return Err(PromptError::BadPieces { reason });
        }
    }
    Ok(tokenizer)
}

/// Asks the library; a panic in it is an error of the file.
pub(crate) fn guarded<T>(ask: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, tokenizers::Error> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| Err("the tokenizer library fails on it".into()))
}

impl File {
    fn check(&self) -> Result<(), String> {
        let model = &self.model;
        for (entry, found) in [
            ("model.continuing_subword_prefix", &model.continuing_subword_prefix),
            ("model.end_of_word_suffix", &model.end_of_word_suffix),
            ("model.dropout", &model.dropout),
        ] {
            if !found.is_null() && *found != "" && found.as_f64() != Some(0.0) {
                return Err(format!("{entry} is {found}, supported: null"));
            }
        }
        check_parts("normalizer", "normalizers", &self.normalizer, &NORMALIZERS)?;
        check_parts("pre_tokenizer", "pretokenizers", &self.pre_tokenizer, &PRE_TOKENIZERS)?;
        Template::of(&self.post_processor).map(drop)
    }
}

/// Looks at a part, and at those that it holds.
fn check_parts(entry: &str, within: &str, part: &Value, known: &[&str]) -> Result<(), String> {
    if part.is_null() {
        return Ok(());
    }
    let kind = part["type"].as_str().unwrap_or_default();
    if !known.contains(&kind) {
        return Err(format!("{entry} is of type {kind:?}, supported: {}", known.join(", ")));
    }
    if kind == "Precompiled" {
        let map = part["precompiled_charsmap"].as_str().and_then(charsmap::unpacked);
        let map = map.ok_or_else(|| format!("{entry}: precompiled_charsmap is no base64"))?;
        charsmap::check(&map).map_err(|fault| format!("{entry}: precompiled_charsmap: {fault}"))?;
    }
    let parts = part[within].as_array().map_or(&[][..], Vec::as_slice);
    parts.iter().try_for_each(|part| check_parts(entry, within, part, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tiny() -> Value {
        let bytes = std::fs::read(ltx_testkit::tiny("gemma/tokenizer.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn said(change: impl FnOnce(&mut Value)) -> String {
        let mut file = tiny();
        change(&mut file);
        let Err(error) = read(file.to_string().as_bytes()) else { panic!("it is taken: {file}") };
        ltx_types::sentence(&error)
    }

    #[test]
    fn what_the_library_would_fail_on_is_refused_by_entry() {
        read(tiny().to_string().as_bytes()).unwrap();
        let bos = json!([{"SpecialToken": {"id": "<bos>", "type_id": 0}}]);
        let b = json!([{"Sequence": {"id": "B", "type_id": 0}}]);
        let unlisted = json!([{"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
        for (pointer, value, says) in [
            ("/model/continuing_subword_prefix", json!("##"), "continuing_subword_prefix"),
            ("/model/dropout", json!(0.5), "dropout"),
            ("/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "FixedLength"),
            ("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "Moody"}]}), "Moody"),
            ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AQID"}), "precompiled_charsmap"),
            ("/post_processor/single", bos, "no text A"),
            ("/post_processor/single", b, "no text A"),
            ("/post_processor/single", unlisted, "\"<x>\""),
            ("/post_processor", json!({"type": "RobertaProcessing"}), "RobertaProcessing"),
            ("/added_tokens/0/id", json!(1), "token 1, and token 0"),
        ] {
            let said = said(|file| *file.pointer_mut(pointer).expect("it is there") = value);
            assert!(said.contains(says), "{pointer}: {said}");
        }
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        assert!(guarded::<()>(|| panic!("as the library does")).is_err());
        assert!(guarded(|| Ok(1)).is_ok());
    }
}
