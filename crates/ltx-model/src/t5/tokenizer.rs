//! Prompt text to token ids, as T5's tokenizer has them: `</s>` behind, no token in front.
//!
//! Must not know files: the tokenizer arrives as bytes.

use super::T5_TOKENS;
use crate::text_encoder::{PromptError, TokenIds};
use tokenizers::Tokenizer;

/// T5's tokenizer.
pub struct T5Tokenizer {
    tokenizer: Tokenizer,
    eos: u32,
}

impl T5Tokenizer {
    /// From the bytes of `tokenizer.json` and the id of `</s>`.
    ///
    /// # Errors
    /// The bytes are not a tokenizer.
    pub fn from_bytes(bytes: &[u8], eos: u32) -> Result<Self, PromptError> {
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|source| PromptError::BadTokenizer { source })?;
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        Ok(Self { tokenizer, eos })
    }

    /// Words of the vocabulary.
    pub fn words(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Tokenises a prompt.
    ///
    /// # Errors
    /// The prompt cannot be encoded, or has more than [`T5_TOKENS`] tokens; nothing is cut.
    pub fn encode(&self, prompt: &str) -> Result<TokenIds, PromptError> {
        let encoding = self.tokenizer.encode(prompt, true).map_err(|source| PromptError::Unencodable { source })?;
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
