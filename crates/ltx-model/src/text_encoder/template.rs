//! What a `tokenizer.json` puts around a text: its `post_processor`.
//!
//! transformers takes it or not by its version and by the tokenizer's class: version 4 puts Gemma's class in its place, version 5 T5's.
//! Where the file puts what the class does, all agree.
//!
//! Must not know how text is cut, or which tokens a model needs.

use super::PromptError;
use serde::Deserialize;
use serde_json::Value;

/// Tokens around a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// The ids before it.
    pub before: Vec<u32>,
    /// Those behind it.
    pub behind: Vec<u32>,
    /// The same as words with the text between them, for people.
    pub said: String,
}

impl Template {
    /// What the bytes of a `tokenizer.json` say.
    ///
    /// # Errors
    /// They are no JSON, or the entry is of a kind that is not read or leads nowhere.
    pub fn of_file(bytes: &[u8]) -> Result<Self, PromptError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            post_processor: Value,
        }
        let file: File =
            serde_json::from_slice(bytes).map_err(|source| PromptError::BadTokenizer { source: source.into() })?;
        Self::of(&file.post_processor).map_err(|reason| PromptError::BadPieces { reason })
    }

    /// What the entry says.
    ///
    /// # Errors
    /// It is of another kind, names a word that it has no ids of, or has no text, or another beside it.
    pub(crate) fn of(processor: &Value) -> Result<Self, String> {
        let mut template = Self { said: "the text".to_owned(), ..Self::default() };
        template.take(processor)?;
        Ok(template)
    }

    fn take(&mut self, processor: &Value) -> Result<(), String> {
        match processor["type"].as_str() {
            None if processor.is_null() => return Ok(()),
            Some("TemplateProcessing") => {}
            Some("Sequence") => {
                let parts = processor["processors"].as_array().map_or(&[][..], Vec::as_slice);
                return parts.iter().try_for_each(|part| self.take(part));
            }
            Some("ByteLevel") => return Ok(()),
            kind => {
                let kind = kind.unwrap_or_default();
                return Err(format!("post_processor is of type {kind:?}, supported: TemplateProcessing"));
            }
        }
        let [mut before, mut behind] = [Vec::new(), Vec::new()];
        let (mut said, mut texts) = (Vec::new(), 0);
        for piece in processor["single"].as_array().map_or(&[][..], Vec::as_slice) {
            if piece.get("Sequence").is_some_and(|sequence| sequence["id"] == "A") {
                texts += 1;
                said.push(self.said.clone());
            } else if let Some(token) = piece.get("SpecialToken") {
                let word = token["id"].as_str().unwrap_or_default();
                let ids = ids(&processor["special_tokens"][word]["ids"]).ok_or_else(|| {
                    format!("post_processor puts {word:?} beside a text, and special_tokens has none")
                })?;
                if texts == 0 {
                    before.extend(ids)
                } else {
                    behind.extend(ids)
                }
                said.push(word.to_owned());
            } else {
                texts = 0;
                break;
            }
        }
        if texts != 1 {
            return Err("post_processor has no text A, or another beside it".to_owned());
        }
        before.append(&mut self.before);
        self.behind.append(&mut behind);
        (self.before, self.said) = (before, said.join(" "));
        Ok(())
    }
}

/// Ids of tokens: at least one.
fn ids(stated: &Value) -> Option<Vec<u32>> {
    let id = |id: &Value| u32::try_from(id.as_u64()?).ok();
    let ids: Vec<u32> = stated.as_array()?.iter().map(id).collect::<Option<_>>()?;
    (!ids.is_empty()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn word(word: &str) -> Value {
        json!({"SpecialToken": {"id": word, "type_id": 0}})
    }

    fn around(single: &[Value]) -> Value {
        let ids = |word: &str, ids: &[u32]| json!({"id": word, "ids": ids, "tokens": [word]});
        json!({"type": "TemplateProcessing", "single": single, "pair": [],
            "special_tokens": {"<bos>": ids("<bos>", &[2]), "</s>": ids("</s>", &[1]), "<x>": ids("<x>", &[7, 8])}})
    }

    #[test]
    fn tokens_stand_before_and_behind_a_text() {
        let a = || json!({"Sequence": {"id": "A", "type_id": 0}});
        let sequence = |parts: Value| json!({"type": "Sequence", "processors": parts});
        for (processor, before, behind, said) in [
            (Value::Null, &[][..], &[][..], "the text"),
            (json!({"type": "ByteLevel", "trim_offsets": true}), &[], &[], "the text"),
            (around(&[a()]), &[], &[], "the text"),
            (around(&[word("<bos>"), a()]), &[2], &[], "<bos> the text"),
            (around(&[word("<x>"), a(), word("</s>")]), &[7, 8], &[1], "<x> the text </s>"),
            (
                sequence(
                    json!([around(&[word("<bos>"), a()]), {"type": "ByteLevel"}, around(&[word("<x>"), a(), word("</s>")])]),
                ),
                &[7, 8, 2],
                &[1],
                "<x> <bos> the text </s>",
            ),
        ] {
            let template = Template::of(&processor).unwrap();
            assert_eq!((&*template.before, &*template.behind, &*template.said), (before, behind, said), "{processor}");
        }
    }
}
