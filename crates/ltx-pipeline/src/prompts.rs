//! A model's tokenizer, shared: one in memory, however many engines of the model are open.
//!
//! Must not know weights or requests.

use crate::{PipelineError, Result, opened::TextFolder};
use ltx_engine::PromptTokens;
use ltx_model::text_encoder::{MAX_TOKENS, PromptError, PromptTokenizer, TokenIds};
use std::sync::Arc;

/// Turns prompts into tokens. Clones are the same tokenizer; one of 262,144 words takes tens of megabytes.
#[derive(Clone)]
pub struct Prompts(Arc<PromptTokenizer>);

impl Prompts {
    /// The tokenizer of a text encoder's files.
    pub(crate) fn open(text: &TextFolder) -> Result<Self> {
        Ok(Self(Arc::new(text.tokenizer()?)))
    }

    /// How many tokens a prompt has. Text that no tokenizer takes counts as none; running it says why.
    pub fn tokens(&self, prompt: &str) -> PromptTokens {
        let count = match self.0.encode(prompt) {
            Ok(tokens) => tokens.ids().len(),
            Err(PromptError::TooLong { count }) => count,
            Err(_) => 0,
        };
        PromptTokens { count, most: MAX_TOKENS }
    }

    /// Words of the vocabulary.
    pub(crate) fn words(&self) -> usize {
        self.0.words()
    }

    /// The tokens of a prompt; `field` is its name in a request.
    ///
    /// # Errors
    /// `Field` where it has too many; `Prompt` where it cannot be encoded.
    pub(crate) fn encode(&self, field: &'static str, prompt: &str) -> Result<TokenIds> {
        match self.0.encode(prompt) {
            Err(PromptError::TooLong { count }) => match (PromptTokens { count, most: MAX_TOKENS }).check(field) {
                Err(fault) => Err(fault.into()),
                Ok(()) => Err(PromptError::TooLong { count }.into()),
            },
            encoded => encoded.map_err(PipelineError::from),
        }
    }
}

impl std::fmt::Debug for Prompts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prompts")
    }
}
