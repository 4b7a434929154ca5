//! What a `tokenizer.json` puts around a prompt, held against what the text encoder was trained with: `<bos>` before it (Gemma) or
//! `</s>` behind it (T5). One that the file leaves out is put there all the same, as the reference does, which is said; others around a
//! prompt are refused by the entry. A tokenizer that is packed into the encoder's own file counts as its publisher meant it, which is said.
//!
//! Must not know how text is cut.

use crate::{PipelineError, Result};
use ltx_model::text_encoder::{PromptError, Template};
use std::path::Path;

/// What stands around every prompt of an encoder.
#[derive(Debug, Clone, Copy)]
pub(super) enum Around {
    /// `<bos>`, with its id, before it.
    Gemma(u32),
    /// `</s>`, with its id, behind it.
    T5(u32),
}

impl Around {
    /// Looks at the bytes of a `tokenizer.json`; `packed` says that the encoder's file holds it. One that is none is whoever's who reads
    /// it.
    ///
    /// # Errors
    /// It puts others around a prompt.
    pub(super) fn check(self, bytes: &[u8], file: &Path, packed: bool) -> Result<Option<String>> {
        let template = match Template::of_file(bytes) {
            Ok(template) => template,
            Err(PromptError::BadTokenizer { .. }) => return Ok(None),
            Err(source) => return Err(PipelineError::Tokenizer { file: file.to_owned(), source }),
        };
        let Template { before, behind, said } = &template;
        let (own, other, id, usual) = match self {
            Self::Gemma(bos) => (before, behind, bos, "<bos> the text"),
            Self::T5(eos) => (behind, before, eos, "the text </s>"),
        };
        if !other.is_empty() || !(own.is_empty() || *own == [id]) {
            let reason = format!("post_processor makes {said}, supported: {usual}");
            return match self {
                Self::Gemma(_) if packed => {
                    let first = if before.first() == Some(&id) { "" } else { ", with <bos> before it" };
                    Ok(Some(format!("{}: its post_processor makes {said}, and counts{first}", file.display())))
                }
                _ => {
                    let source = PromptError::BadPieces { reason };
                    Err(PipelineError::Tokenizer { file: file.to_owned(), source })
                }
            };
        }
        Ok(own.is_empty().then(|| format!("{}: its post_processor makes {said}; a prompt is {usual}", file.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(around: Around, single: &[&str], packed: bool) -> Result<Option<String>> {
        let piece = |word: &&str| match *word {
            "A" => json!({"Sequence": {"id": "A", "type_id": 0}}),
            word => json!({"SpecialToken": {"id": word, "type_id": 0}}),
        };
        let pieces: Vec<Value> = single.iter().map(piece).collect();
        let ids = |id: u32| json!({"ids": [id]});
        let file = json!({"post_processor": {"type": "TemplateProcessing", "single": pieces,
            "special_tokens": {"<bos>": ids(2), "</s>": ids(1), "<eos>": ids(1)}}});
        around.check(file.to_string().as_bytes(), Path::new("t.json"), packed)
    }

    #[test]
    fn what_the_encoder_was_trained_with_is_put_there_and_nothing_else() {
        let (gemma, t5) = (Around::Gemma(2), Around::T5(1));
        for packed in [false, true] {
            assert_eq!(check(gemma, &["<bos>", "A"], packed).unwrap(), None);
            assert_eq!(check(t5, &["A", "</s>"], packed).unwrap(), None);
            let said = |around| check(around, &["A"], packed).unwrap().unwrap();
            assert_eq!(said(gemma), "t.json: its post_processor makes the text; a prompt is <bos> the text");
            assert_eq!(said(t5), "t.json: its post_processor makes the text; a prompt is the text </s>");
            for single in [&["<bos>", "A", "</s>"][..], &["A", "</s>", "</s>"]] {
                let refused = ltx_types::sentence(&check(t5, single, packed).unwrap_err());
                assert!(refused.contains("t.json") && refused.contains("supported: the text </s>"), "{refused}");
            }
        }
        for single in [&["<bos>", "A", "<eos>"][..], &["A", "<eos>"], &["<bos>", "<bos>", "A"], &["</s>", "A"]] {
            let refused = ltx_types::sentence(&check(gemma, single, false).unwrap_err());
            assert!(refused.contains("t.json") && refused.contains("supported: <bos> the text"), "{refused}");
            let said = check(gemma, single, true).unwrap().unwrap();
            assert_eq!(said.contains("counts, with <bos> before it"), single[0] != "<bos>", "{said}");
        }
        let none = |bytes: &[u8]| gemma.check(bytes, Path::new("t.json"), false);
        assert_eq!(none(b"{").unwrap(), None);
        assert!(none(br#"{"post_processor": null}"#).unwrap().is_some());
        assert!(none(br#"{"post_processor": {"type": "Moody"}}"#).is_err());
    }
}
