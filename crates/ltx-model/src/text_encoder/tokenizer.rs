//! Prompt text to token ids.
//!
//! Must not know files: the tokenizer arrives as bytes.

use super::{
    MAX_TOKENS,
    tokenizer_file::{self, guarded},
};
use tokenizers::Tokenizer;

/// A prompt that cannot be tokenised.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// `tokenizer.json` does not parse.
    #[error("tokenizer.json cannot be read")]
    BadTokenizer {
        /// The tokenizer library's reason.
        #[source]
        source: tokenizers::Error,
    },
    /// Pieces of a vocabulary that are no tokenizer, or not one like Gemma's.
    #[error("tokenizer: {reason}")]
    BadPieces {
        /// What is wrong with which.
        reason: String,
    },
    /// The text cannot be encoded.
    #[error("prompt: cannot be tokenised")]
    Unencodable {
        /// The tokenizer library's reason.
        #[source]
        source: tokenizers::Error,
    },
    /// More tokens than the text sequence has slots.
    #[error("prompt: {count} tokens are more than {most}; shorten it")]
    TooLong {
        /// Tokens of the prompt, `<bos>` or `</s>` included.
        count: usize,
        /// The slots.
        most: usize,
    },
}

/// Token ids of a prompt, `<bos>` first (Gemma) or `</s>` last (T5), not padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIds(pub(crate) Vec<u32>);

impl TokenIds {
    /// The ids, not padded.
    pub fn ids(&self) -> &[u32] {
        &self.0
    }

    /// Ids and mask with the padding behind, in so many slots.
    pub fn right_padded(&self, pad: u32, slots: usize) -> (Vec<i64>, Vec<i64>) {
        let padding = slots.saturating_sub(self.0.len());
        let behind = |value: i64| std::iter::repeat_n(value, padding);
        let ids = self.0.iter().map(|id| i64::from(*id)).chain(behind(i64::from(pad))).collect();
        let mask = self.0.iter().map(|_| 1).chain(behind(0)).collect();
        (ids, mask)
    }

    /// Ids and mask with the padding in front, as the reference lays them out.
    pub fn left_padded(&self, pad: u32) -> (Vec<i64>, Vec<i64>) {
        let padding = MAX_TOKENS - self.0.len();
        let front = |value: i64| std::iter::repeat_n(value, padding);
        let ids = front(i64::from(pad)).chain(self.0.iter().map(|id| i64::from(*id))).collect();
        let mask = front(0).chain(self.0.iter().map(|_| 1)).collect();
        (ids, mask)
    }
}

/// A Gemma tokenizer.
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    bos: u32,
    words: usize,
}

impl PromptTokenizer {
    /// From the bytes of `tokenizer.json` and the id of `<bos>`.
    ///
    /// # Errors
    /// The bytes are not a tokenizer.
    pub fn from_bytes(bytes: &[u8], bos: u32) -> Result<Self, PromptError> {
        let mut tokenizer = tokenizer_file::read(bytes)?;
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        // Counting them makes a copy of every word.
        let words = tokenizer.get_vocab_size(true);
        Ok(Self { tokenizer, bos, words })
    }

    /// Words of the vocabulary.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Tokenises a prompt, surrounding white space removed; around it stands what the tokenizer's file puts there, and `<bos>` leads in any
    /// case, as in the reference.
    ///
    /// # Errors
    /// The prompt cannot be encoded, or has more than [`MAX_TOKENS`] tokens; nothing is cut.
    pub fn encode(&self, prompt: &str) -> Result<TokenIds, PromptError> {
        let encoding = guarded(|| self.tokenizer.encode(prompt.trim(), true));
        let encoding = encoding.map_err(|source| PromptError::Unencodable { source })?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.first() != Some(&self.bos) {
            ids.insert(0, self.bos);
        }
        if ids.len() > MAX_TOKENS {
            return Err(PromptError::TooLong { count: ids.len(), most: MAX_TOKENS });
        }
        Ok(TokenIds(ids))
    }
}
