//! How long a prompt is for a model, said before anything is queued.
//!
//! Must not know how text becomes tokens.

use ltx_types::FieldError;

/// Tokens of a prompt, as the model's own tokenizer counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptTokens {
    /// Tokens of the prompt, a leading `<bos>` included.
    pub count: usize,
    /// The most that the model takes.
    pub most: usize,
}

impl PromptTokens {
    /// Refuses a prompt of more tokens than the model takes; nothing is ever cut. `field` is the prompt's name in a request.
    ///
    /// # Errors
    /// The field, its tokens, and the most there may be.
    pub fn check(self, field: &'static str) -> Result<(), FieldError> {
        let Self { count, most } = self;
        if count <= most {
            return Ok(());
        }
        let rule = format!("tokens are more than the {most} that the model takes; shorten it");
        Err(FieldError::new(field, count, rule).nearest(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_told_its_tokens_and_the_limit() {
        assert_eq!(PromptTokens { count: 1024, most: 1024 }.check("prompt"), Ok(()));
        let error = PromptTokens { count: 1025, most: 1024 }.check("negative_prompt").unwrap_err();
        let expected =
            "negative_prompt: 1025 tokens are more than the 1024 that the model takes; shorten it; nearest legal: 1024";
        assert_eq!(error.to_string(), expected);
    }
}
