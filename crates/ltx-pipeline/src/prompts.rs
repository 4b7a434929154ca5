//! A model's tokenizer, shared: one in memory, however many engines of the model are open.
//!
//! Must not know weights or requests.

use crate::{PipelineError, Result, contexts::digest_of, opened::TextFiles};
use ltx_engine::PromptTokens;
use ltx_model::{
    t5::{T5_TOKENS, T5Tokenizer},
    text_encoder::{MAX_TOKENS, PromptError, PromptTokenizer, TokenIds},
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

/// Prompts whose tokens were counted last and are remembered: a request is looked at for its fields, for its memory, and a few
/// dozen times where it does not fit.
const REMEMBERED: usize = 64;

/// Turns prompts into tokens. Clones are the same tokenizer; one of 262,144 words takes tens of megabytes.
#[derive(Clone)]
pub struct Prompts(Arc<Shared>);

struct Shared {
    tokenizer: Tokenizer,
    counted: Counted<Known>,
}

/// What is known of a prompt's tokens.
#[derive(Debug, Clone, Copy)]
struct Known {
    count: usize,
    /// SHA-256 of them; nothing where they are too many, or the prompt cannot be encoded.
    digest: Option<[u8; 32]>,
}

/// The SHA-256 of prompts and what is known of them, those asked about last first. No text stays.
#[derive(Default)]
struct Counted<T>(Mutex<VecDeque<([u8; 32], Count<T>)>>);

/// What is known, or the place where it will stand: whoever asks meanwhile waits for the one that counts.
type Count<T> = Arc<OnceLock<T>>;

impl<T: Copy> Counted<T> {
    fn get(&self, prompt: &str, count: impl FnOnce() -> T) -> T {
        let digest: [u8; 32] = Sha256::digest(prompt).into();
        let place = {
            let mut all = self.0.lock();
            let known = all.iter().position(|(known, _)| *known == digest).and_then(|at| all.remove(at));
            let entry = known.unwrap_or_else(|| (digest, Arc::new(OnceLock::new())));
            all.push_front(entry.clone());
            all.truncate(REMEMBERED);
            entry.1
        };
        *place.get_or_init(count)
    }
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
        Ok(Self(Arc::new(Shared { tokenizer, counted: Counted(Mutex::default()) })))
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

    /// How many tokens a prompt has; one that was asked about a moment ago, or is being counted, is not counted again. Text that
    /// no tokenizer takes counts as none; running it says why.
    pub fn tokens(&self, prompt: &str) -> PromptTokens {
        PromptTokens { count: self.known(prompt).count, most: self.most() }
    }

    /// SHA-256 of a prompt's tokens; nothing where it has too many, or cannot be encoded.
    pub(crate) fn digest(&self, prompt: &str) -> Option<[u8; 32]> {
        self.known(prompt).digest
    }

    fn known(&self, prompt: &str) -> Known {
        self.0.counted.get(prompt, || match self.ids(prompt) {
            Ok(tokens) => Known { count: tokens.ids().len(), digest: Some(digest_of(&tokens)) },
            Err(PromptError::TooLong { count, .. }) => Known { count, digest: None },
            Err(_) => Known { count: 0, digest: None },
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn a_prompt_is_counted_once_however_many_ask() {
        let (counted, times, together) = (Counted::<usize>::default(), AtomicUsize::new(0), Barrier::new(8));
        let ask = |prompt: &str| counted.get(prompt, || times.fetch_add(1, Ordering::Relaxed) + 7);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    assert_eq!(ask("a lake"), 7);
                });
            }
        });
        assert_eq!(times.load(Ordering::Relaxed), 1);
        // What is asked about again stays, whatever was asked about since.
        for i in 0..3 * REMEMBERED {
            ask(&format!("another prompt, {i}"));
            assert_eq!(ask("a lake"), 7);
        }
        assert_eq!(times.load(Ordering::Relaxed), 1 + 3 * REMEMBERED);
        assert_eq!(counted.0.lock().len(), REMEMBERED);
    }
}
