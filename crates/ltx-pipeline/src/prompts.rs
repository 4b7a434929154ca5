//! A model's tokenizer, shared: one in memory, however many engines of the model are open.
//!
//! Must not know weights or requests.

use crate::{PipelineError, Result, opened::TextFiles};
use ltx_engine::PromptTokens;
use ltx_model::{
    t5::{T5_TOKENS, T5Tokenizer},
    text_encoder::{MAX_TOKENS, PromptError, PromptTokenizer, TokenIds},
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{collections::VecDeque, sync::Arc};

/// Prompts whose tokens were counted last and are remembered: a request is looked at for its fields, for its memory, and a few
/// dozen times where it does not fit.
const REMEMBERED: usize = 64;

/// Turns prompts into tokens. Clones are the same tokenizer; one of 262,144 words takes tens of megabytes.
#[derive(Clone)]
pub struct Prompts(Arc<Shared>);

struct Shared {
    tokenizer: Tokenizer,
    /// The SHA-256 of prompts and their numbers of tokens, the newest first. No text stays.
    counted: Mutex<VecDeque<([u8; 32], usize)>>,
}

/// A tokenizer of either kind of text encoder.
enum Tokenizer {
    Gemma(PromptTokenizer),
    T5(T5Tokenizer),
}

impl Prompts {
    /// The tokenizer of a text encoder's files.
    pub(crate) fn open(text: &TextFiles) -> Result<Self> {
        let tokenizer = match text {
            TextFiles::Gemma(text) => Tokenizer::Gemma(text.tokenizer()?),
            TextFiles::T5(text) => Tokenizer::T5(text.tokenizer()?),
        };
        Ok(Self(Arc::new(Shared { tokenizer, counted: Mutex::default() })))
    }

    /// The most tokens that a prompt may have.
    fn most(&self) -> usize {
        match &self.0.tokenizer {
            Tokenizer::Gemma(_) => MAX_TOKENS,
            Tokenizer::T5(_) => T5_TOKENS,
        }
    }

    fn ids(&self, prompt: &str) -> Result<TokenIds, PromptError> {
        match &self.0.tokenizer {
            Tokenizer::Gemma(tokenizer) => tokenizer.encode(prompt),
            Tokenizer::T5(tokenizer) => tokenizer.encode(prompt),
        }
    }

    /// How many tokens a prompt has; one that was asked about a moment ago is not counted again. Text that no tokenizer takes
    /// counts as none; running it says why.
    pub fn tokens(&self, prompt: &str) -> PromptTokens {
        let digest: [u8; 32] = Sha256::digest(prompt).into();
        let known = self.0.counted.lock().iter().find(|(counted, _)| *counted == digest).map(|(_, count)| *count);
        let count = known.unwrap_or_else(|| {
            let count = match self.ids(prompt) {
                Ok(tokens) => tokens.ids().len(),
                Err(PromptError::TooLong { count, .. }) => count,
                Err(_) => 0,
            };
            let mut counted = self.0.counted.lock();
            counted.push_front((digest, count));
            counted.truncate(REMEMBERED);
            count
        });
        PromptTokens { count, most: self.most() }
    }

    /// Words of the vocabulary.
    pub(crate) fn words(&self) -> usize {
        match &self.0.tokenizer {
            Tokenizer::Gemma(tokenizer) => tokenizer.words(),
            Tokenizer::T5(tokenizer) => tokenizer.words(),
        }
    }

    /// The tokens of a prompt; `field` is its name in a request.
    ///
    /// # Errors
    /// `Field` where it has too many; `Prompt` where it cannot be encoded.
    pub(crate) fn encode(&self, field: &'static str, prompt: &str) -> Result<TokenIds> {
        match self.ids(prompt) {
            Err(PromptError::TooLong { count, most }) => match (PromptTokens { count, most }).check(field) {
                Err(fault) => Err(fault.into()),
                Ok(()) => Err(PromptError::TooLong { count, most }.into()),
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
