//! How long a prompt is for a model, said before anything is queued.
//!
//! Must not know how text becomes tokens.

use ltx_types::{FieldError, GenerationDraft};

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

/// Prompts of a draft that have more tokens than the model takes, each as its field's fault. Text that no pass would read, and
/// that of a field which the draft has a fault of already, is not counted. `count` is nothing where nobody can count.
pub fn long_prompts(draft: &GenerationDraft, count: impl Fn(&str) -> Option<PromptTokens>) -> Vec<FieldError> {
    let prompts = [("prompt", &draft.prompt, true), ("negative_prompt", &draft.negative_prompt, draft.uses_cfg())];
    let fault = |(field, text, read): (&'static str, &String, bool)| {
        let counted = read && draft.faults.iter().all(|fault| fault.field != field);
        let tokens = counted.then(|| count(text)).flatten()?;
        tokens.check(field).err()
    };
    prompts.into_iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::{Defaults, Overrides, Schedule};

    #[test]
    fn what_nobody_reads_or_is_wrong_already_is_not_counted() {
        let words = |text: &str| Some(PromptTokens { count: text.split_whitespace().count(), most: 2 });
        let long = |schedule, cfg_scale, faults| {
            let said = Overrides { negative_prompt: Some("d e f".into()), cfg_scale, ..Overrides::default() };
            let draft = Defaults::official(schedule).fill(said, "a b c".into(), vec![]);
            let found = long_prompts(&GenerationDraft { faults, ..draft }, words);
            found.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        assert_eq!(long(Schedule::Guided, Some(3.0), vec![]), ["prompt", "negative_prompt"]);
        assert_eq!(long(Schedule::Guided, Some(1.0), vec![]), ["prompt"]);
        assert_eq!(long(Schedule::Distilled, None, vec![]), ["prompt"]);
        let known = vec![FieldError::new("prompt", "x", "is wrong")];
        assert_eq!(long(Schedule::Guided, Some(3.0), known), ["negative_prompt"]);
        let draft = Defaults::official(Schedule::Guided).fill(Overrides::default(), "a b c".into(), vec![]);
        assert_eq!(long_prompts(&draft, |_| None), [], "nobody can count");
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_its_tokens_and_the_limit() {
        assert_eq!(PromptTokens { count: 1024, most: 1024 }.check("prompt"), Ok(()));
        let error = PromptTokens { count: 1025, most: 1024 }.check("negative_prompt").unwrap_err();
        let expected =
            "negative_prompt: 1025 tokens are more than the 1024 that the model takes; shorten it; nearest legal: 1024";
        assert_eq!(error.to_string(), expected);
    }
}
