//! Tokens that are named beside a tokenizer. transformers gives them to the tokenizer: how one is found in a text changes, or a
//! text is cut at one that was none before. So it is here.
//!
//! Must not know how text is cut.

use super::beside::Beside;
use crate::{PipelineError, Result};
use ltx_nn::NnError;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

/// How a token is found in a text.
const FLAGS: [&str; 5] = ["single_word", "lstrip", "rstrip", "normalized", "special"];

/// Entries that hold tokens: a list of them, or one under each name or id.
const LISTS: [&str; 4] =
    ["added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"];

/// Tokens, each with the place that names it.
#[derive(Debug, Default)]
pub(super) struct NamedTokens(Vec<Named>);

#[derive(Debug)]
struct Named {
    file: PathBuf,
    entry: String,
    id: Option<u64>,
    content: String,
    flags: Vec<(&'static str, bool)>,
    /// Whether it is named for what it stands for.
    special: bool,
}

impl Named {
    fn refused(&self, found: String, supported: String) -> PipelineError {
        PipelineError::Config { file: self.file.clone(), source: NnError::unsupported(&self.entry, found, supported) }
    }

    /// Whether a token of a `tokenizer.json` is this one already.
    fn is(&self, token: &Added) -> bool {
        let flag = |name| token.flags.get(name).and_then(Value::as_bool).unwrap_or(false);
        self.id.is_none_or(|id| id == token.id) && self.flags.iter().all(|(name, on)| flag(*name) == *on)
    }
}

/// Whether settings name all added tokens: then files of older versions beside them count for nothing, as for transformers.
pub(super) fn states_all(config: &Value) -> bool {
    config.get("added_tokens_decoder").is_some_and(|stated| !stated.is_null())
}

/// A token that a `tokenizer.json` finds before it cuts a text.
#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
    #[serde(flatten)]
    flags: Map<String, Value>,
}

impl NamedTokens {
    /// All that are named there.
    ///
    /// # Errors
    /// A file cannot be read, or names something that is no token.
    pub(super) fn read(mut self, beside: &Beside<'_>) -> Result<Self> {
        if let Some((file, config)) = beside.json("tokenizer_config.json")? {
            self.take(&file, &config)?;
            if states_all(&config) {
                return Ok(self);
            }
        }
        if let Some((file, map)) = beside.json("special_tokens_map.json")? {
            self.take(&file, &map)?;
        }
        if let Some((file, ids)) = beside.json("added_tokens.json")? {
            for (content, id) in ids.as_object().into_iter().flatten() {
                let Some(id) = id.as_u64() else { return Err(bad(&file, content, id)) };
                self.push(&file, content, Some(id), (content, &Value::Null), false)?;
            }
        }
        Ok(self)
    }

    fn take(&mut self, file: &Path, config: &Value) -> Result<()> {
        // Those with ids first: they say the most of a token.
        for list in LISTS {
            match &config[list] {
                Value::Array(tokens) => {
                    for token in tokens {
                        self.token(file, list, None, token)?;
                    }
                }
                Value::Object(tokens) => {
                    for (name, token) in tokens {
                        let entry = format!("{list}.{name}");
                        let id = (list == "added_tokens_decoder")
                            .then(|| name.parse().map_err(|_| bad(file, &entry, token)));
                        self.token(file, &entry, id.transpose()?, token)?;
                    }
                }
                Value::Null => {}
                other => return Err(bad(file, list, other)),
            }
        }
        for (entry, token) in config.as_object().into_iter().flatten() {
            let is_token = entry.ends_with("_token") && !entry.starts_with("add_") && entry != "use_auth_token";
            if is_token && !matches!(token, Value::Null | Value::Bool(_)) {
                self.token(file, entry, None, token)?;
            }
        }
        Ok(())
    }

    fn token(&mut self, file: &Path, entry: &str, id: Option<u64>, token: &Value) -> Result<()> {
        let content = token.as_str().or_else(|| token["content"].as_str()).ok_or_else(|| bad(file, entry, token))?;
        self.push(file, entry, id, (content, token), id.is_none())
    }

    fn push(&mut self, file: &Path, entry: &str, id: Option<u64>, token: (&str, &Value), special: bool) -> Result<()> {
        let (content, stated) = token;
        let mut flags = Vec::new();
        for name in FLAGS {
            match &stated[name] {
                Value::Null => {}
                Value::Bool(on) => flags.push((name, *on)),
                other => return Err(bad(file, &format!("{entry}.{name}"), other)),
            }
        }
        if !content.is_empty() {
            let (file, entry, content) = (file.to_owned(), entry.to_owned(), content.to_owned());
            self.0.push(Named { file, entry, id, content, flags, special });
        }
        Ok(())
    }

    /// A `tokenizer.json` that has the tokens as they are named.
    ///
    /// # Errors
    /// One has another id in it.
    pub(super) fn given_to(self, tokenizer: Vec<u8>) -> Result<Vec<u8>> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            added_tokens: Vec<Added>,
        }
        if self.0.is_empty() {
            return Ok(tokenizer);
        }
        // One that is no tokenizer is refused as such by whoever reads it.
        let Ok(File { added_tokens }) = serde_json::from_slice(&tokenizer) else { return Ok(tokenizer) };
        // Of those that name one token, the first that says how it is found counts; all of them must mean the same id.
        let (mut all, mut told) = (self.0, HashSet::new());
        for named in all.iter_mut().filter(|named| !named.flags.is_empty()) {
            if !told.insert(named.content.clone()) {
                named.flags.clear();
            }
        }
        let known: HashMap<&str, &Added> = added_tokens.iter().map(|token| (token.content.as_str(), token)).collect();
        all.retain(|named| known.get(named.content.as_str()).is_none_or(|token| !named.is(token)));
        let mut whole = if all.is_empty() { None } else { serde_json::from_slice::<Value>(&tokenizer).ok() };
        let Some(file) = whole.as_mut().and_then(Value::as_object_mut) else { return Ok(tokenizer) };
        // By their ids, as transformers gives them; what any place names for what it stands for is special.
        let special: HashSet<String> =
            all.iter().filter(|named| named.special).map(|named| named.content.clone()).collect();
        all.iter_mut().for_each(|named| named.special |= special.contains(&named.content));
        all.sort_by_key(|named| named.id.unwrap_or(u64::MAX));
        let mut tokens = Tokens::of(file);
        all.iter().try_for_each(|named| tokens.give(named))?;
        let added = tokens.added;
        file.insert("added_tokens".to_owned(), added.into());
        Ok(serde_json::to_vec(file).unwrap_or(tokenizer))
    }
}

/// The tokens of a `tokenizer.json`.
struct Tokens {
    /// What is found before a text is cut.
    added: Vec<Value>,
    /// Where each of those stands.
    places: HashMap<String, usize>,
    /// The ids of what a text is cut into.
    vocabulary: HashMap<String, u64>,
    /// The id of a token that is none yet.
    next: u64,
}

impl Tokens {
    fn of(file: &mut Map<String, Value>) -> Self {
        let added = match file.remove("added_tokens") {
            Some(Value::Array(tokens)) => tokens,
            _ => Vec::new(),
        };
        let vocabulary: HashMap<String, u64> = match file.get("model").map(|model| &model["vocab"]) {
            Some(Value::Object(ids)) => {
                ids.iter().filter_map(|(text, id)| Some((text.clone(), id.as_u64()?))).collect()
            }
            Some(Value::Array(pieces)) => {
                let texts = pieces.iter().map(|piece| piece[0].as_str().unwrap_or_default().to_owned());
                texts.zip(0..).collect()
            }
            _ => HashMap::new(),
        };
        let ids = vocabulary.values().copied().chain(added.iter().filter_map(|token| token["id"].as_u64()));
        let next = ids.max().map_or(0, |last| last.saturating_add(1));
        let content = |token: &Value| token["content"].as_str().unwrap_or_default().to_owned();
        let places = added.iter().map(content).zip(0..).collect();
        Self { added, places, vocabulary, next }
    }

    fn give(&mut self, named: &Named) -> Result<()> {
        let Named { id, content, flags, special, .. } = named;
        let place = self.places.get(content).copied().unwrap_or_else(|| {
            let special = flags.iter().find(|(name, _)| *name == "special").map_or(*special, |(_, on)| *on);
            let id = self.vocabulary.get(content).copied().unwrap_or(self.next);
            self.next = self.next.max(id.saturating_add(1));
            let found = json!({"single_word": false, "lstrip": false, "rstrip": false, "normalized": !special});
            let mut token = json!({"id": id, "content": content, "special": special});
            FLAGS[..4].iter().for_each(|name| token[*name] = found[*name].clone());
            self.places.insert(content.clone(), self.added.len());
            self.added.push(token);
            self.added.len() - 1
        });
        let token = &mut self.added[place];
        let known = token["id"].as_u64().unwrap_or(u64::MAX);
        if let Some(id) = id.filter(|id| *id != known) {
            return Err(named.refused(format!("{content:?} as token {id}"), format!("token {known}, which it is")));
        }
        flags.iter().for_each(|(name, on)| token[*name] = json!(on));
        Ok(())
    }
}

fn bad(file: &Path, entry: &str, found: &Value) -> PipelineError {
    PipelineError::Config {
        file: file.to_owned(),
        source: NnError::unsupported(entry, found.to_string(), "a token: its text, or an object with content"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tokenizer() -> Value {
        json!({
            "added_tokens": [{"id": 0, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "model": {"vocab": {"<pad>": 0, "heron": 1, "lake": 2}},
        })
    }

    fn given(beside: &[(&str, Value)]) -> Result<Value> {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in beside {
            fs::write(folder.path().join(name), value.to_string()).unwrap();
        }
        let named = NamedTokens::default().read(&Beside::Folder(folder.path()))?;
        Ok(serde_json::from_slice(&named.given_to(tokenizer().to_string().into_bytes())?).unwrap())
    }

    fn settings(config: Value) -> [(&'static str, Value); 1] {
        [("tokenizer_config.json", config)]
    }

    #[test]
    fn what_the_tokenizer_has_changes_nothing() {
        let same = json!({"pad_token": "<pad>", "extra_special_tokens": {"pad_token": "<pad>"}, "unk_token": null,
            "added_tokens_decoder": {"0": {"content": "<pad>", "lstrip": false, "special": true}}});
        assert_eq!(given(&settings(same)).unwrap(), tokenizer());
        let map = json!({"pad_token": {"content": "<pad>", "normalized": false}});
        assert_eq!(
            given(&[("special_tokens_map.json", map), ("added_tokens.json", json!({"<pad>": 0}))]).unwrap(),
            tokenizer()
        );
        assert_eq!(given(&[]).unwrap(), tokenizer());
    }

    #[test]
    fn what_is_named_is_found_as_it_says() {
        let added = |beside: &[(&str, Value)]| given(beside).unwrap()["added_tokens"].clone();
        let found = added(&settings(json!({"added_tokens_decoder": {"0": {"content": "<pad>", "lstrip": true}}})));
        assert_eq!((&found[0]["lstrip"], &found[0]["special"]), (&json!(true), &json!(true)));
        for named in [
            settings(json!({"additional_special_tokens": ["heron", "<new>"]})),
            settings(json!({"extra_special_tokens": {"a": "heron", "b": {"content": "<new>"}}})),
            settings(json!({"bird_token": "heron", "new_token": {"content": "<new>", "special": true}})),
            [("special_tokens_map.json", json!({"additional_special_tokens": [{"content": "heron"}, "<new>"]}))],
        ] {
            let found = added(&named);
            assert_eq!((&found[1]["content"], &found[1]["id"]), (&json!("heron"), &json!(1)), "{named:?}");
            assert_eq!((&found[2]["content"], &found[2]["id"]), (&json!("<new>"), &json!(3)), "{named:?}");
            assert_eq!((&found[2]["special"], &found[2]["normalized"]), (&json!(true), &json!(false)), "{named:?}");
        }
        let several = added(&[("added_tokens.json", json!({"<a>": 4, "<b>": 3}))]);
        assert_eq!((&several[1]["content"], &several[2]["content"]), (&json!("<b>"), &json!("<a>")), "by their ids");
        assert_eq!(added(&settings(json!({"use_auth_token": true}))).as_array().map(Vec::len), Some(1));
        let found = added(&[("added_tokens.json", json!({"<new>": 3}))]);
        assert_eq!((&found[1]["special"], &found[1]["normalized"]), (&json!(false), &json!(true)));
    }

    #[test]
    fn another_id_and_what_is_no_token_are_refused() {
        for (config, says) in [
            (json!({"added_tokens_decoder": {"1": {"content": "<pad>"}}}), ["added_tokens_decoder.1", "token 0"]),
            (json!({"added_tokens_decoder": {"9": {"content": "<new>"}}}), ["added_tokens_decoder.9", "token 3"]),
            (json!({"added_tokens_decoder": {"x": {"content": "<new>"}}}), ["added_tokens_decoder.x", "a token"]),
            (json!({"additional_special_tokens": [7]}), ["additional_special_tokens", "a token"]),
            (json!({"extra_special_tokens": "<new>"}), ["extra_special_tokens", "a token"]),
            (json!({"pad_token": {"content": "<pad>", "lstrip": "yes"}}), ["pad_token.lstrip", "yes"]),
        ] {
            let said = ltx_types::sentence(&given(&settings(config)).unwrap_err());
            assert!(said.contains("tokenizer_config.json") && says.iter().all(|part| said.contains(part)), "{said}");
        }
    }
}
