//! Prompt text to token ids, as T5's tokenizer has them: `</s>` behind, no token in front.
//!
//! Must not know files: the tokenizer arrives as bytes.

use super::T5_TOKENS;
use crate::text_encoder::{
    PromptError, TokenIds,
    tokenizer_file::{self, guarded},
};
use tokenizers::Tokenizer;

/// Ids of the tokens that are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct T5Special {
    /// `</s>`, which ends every prompt.
    pub eos: u32,
    /// `<pad>`.
    pub pad: u32,
}

/// T5's tokenizer.
pub struct T5Tokenizer {
    tokenizer: Tokenizer,
    eos: u32,
}

impl T5Tokenizer {
    /// From the bytes of `tokenizer.json`, for an encoder whose special tokens have these ids.
    ///
    /// # Errors
    /// The bytes are not a tokenizer, or one whose `</s>` or `<pad>` has another id.
    pub fn from_bytes(bytes: &[u8], special: T5Special) -> Result<Self, PromptError> {
        let mut tokenizer = tokenizer_file::read(bytes)?;
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        let T5Special { eos, pad } = special;
        for (text, expected) in [("</s>", eos), ("<pad>", pad)] {
            let found = tokenizer.token_to_id(text);
            if found.is_some_and(|found| found != expected) || found.is_none() && text == "</s>" {
                let found = found.map_or_else(|| "absent".to_owned(), |found| format!("token {found}"));
                let reason = format!("{text} is {found}, and token {expected} by the encoder's configuration");
                return Err(PromptError::BadPieces { reason });
            }
        }
        Ok(Self { tokenizer, eos })
    }

    /// Words of the vocabulary.
    pub fn words(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Tokenises a prompt; `</s>` follows, also where the tokenizer's file does not put it there.
    ///
    /// # Errors
    /// The prompt cannot be encoded, or has more than [`T5_TOKENS`] tokens; nothing is cut.
    pub fn encode(&self, prompt: &str) -> Result<TokenIds, PromptError> {
        let encoding = guarded(|| self.tokenizer.encode(prompt, true));
        let encoding = encoding.map_err(|source| PromptError::Unencodable { source })?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.last() != Some(&self.eos) {
            ids.push(self.eos);
        }
        if ids.len() > T5_TOKENS {
            return Err(PromptError::TooLong { count: ids.len(), most: T5_TOKENS });
        }
        Ok(TokenIds(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn special_tokens_have_the_ids_that_the_encoder_expects() {
        let file = ltx_testkit::tiny("../ltxv-tiny/tokenizer/tokenizer.json");
        let bytes = std::fs::read(file).unwrap();
        let opened = |eos, pad| T5Tokenizer::from_bytes(&bytes, T5Special { eos, pad }).map(drop);
        assert!(opened(1, 0).is_ok());
        assert_eq!(
            opened(2, 0).unwrap_err().to_string(),
            "tokenizer: </s> is token 1, and token 2 by the encoder's configuration"
        );
        assert!(opened(1, 3).unwrap_err().to_string().contains("<pad> is token 0, and token 3"));
    }

    #[test]
    fn an_end_stands_behind_a_text_wherever_it_comes_from() {
        let file = ltx_testkit::tiny("../ltxv-tiny/tokenizer/tokenizer.json");
        let usual: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let opened = |single: Option<serde_json::Value>| {
            let mut file = usual.clone();
            match single {
                Some(single) => file["post_processor"]["single"] = single,
                None => file["post_processor"] = serde_json::Value::Null,
            }
            T5Tokenizer::from_bytes(file.to_string().as_bytes(), T5Special { eos: 1, pad: 0 })
        };
        let [text, end] =
            [json!({"Sequence": {"id": "A", "type_id": 0}}), json!({"SpecialToken": {"id": "</s>", "type_id": 0}})];
        let ids = |single| opened(single).unwrap().encode("a lake").unwrap();
        let expected = ids(Some(json!([text, end])));
        assert_eq!(expected.ids().last(), Some(&1));
        assert_eq!([ids(None), ids(Some(json!([text])))], [expected.clone(), expected]);
    }
}
