//! T5's sentencepiece model (`spiece.model`) as the `tokenizer.json` of the same vocabulary: pieces with log-probabilities, of
//! which the likeliest cut of a text is taken (Kudo, “Subword Regularization”, 2018), behind the normaliser that it holds.
//!
//! Must not know files.

use crate::text_encoder::{PieceKind, PromptError, UnigramModel, charsmap, unigram_model};
use serde::Deserialize;
use serde_json::json;

/// Words that published tokenizers have behind the pieces, `<extra_id_99>` first.
const EXTRA: usize = 100;

/// The tokenizer of a sentencepiece model.
///
/// # Errors
/// The bytes are none, or one of another kind than T5's.
pub fn tokenizer_json(bytes: &[u8]) -> Result<Vec<u8>, PromptError> {
    unigram_model(bytes)?.to_tokenizer_json()
}

impl UnigramModel {
    /// The `tokenizer.json` of the vocabulary.
    ///
    /// # Errors
    /// No piece stands for what none covers, or none is `</s>`.
    pub fn to_tokenizer_json(&self) -> Result<Vec<u8>, PromptError> {
        json_of(self)
    }
}

/// The first piece that two `tokenizer.json` have otherwise: its id, and what each says of it, with its log-probability. What only one
/// of them has is no difference.
///
/// # Errors
/// One of them is no `tokenizer.json` of such pieces.
pub fn differing(first: &[u8], second: &[u8]) -> Result<Option<(usize, String, String)>, PromptError> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: Vec<(String, f64)>,
    }
    let read = |bytes| serde_json::from_slice::<File>(bytes);
    let read = |bytes| read(bytes).map_err(|source| PromptError::BadTokenizer { source: source.into() });
    let (first, second) = (read(first)?.model.vocab, read(second)?.model.vocab);
    // A score is stored in 32 bits in the one, in decimal digits in the other.
    let same = |(text, score): &(String, f64), (other, at): &(String, f64)| {
        // Those that no text is cut into have scores of the converter's own.
        let is_special = text.starts_with('<') && text.ends_with('>');
        text == other && (is_special || (score - at).abs() <= 1e-5 * score.abs().max(1.0))
    };
    let said = |(text, score): &(String, f64)| format!("{text:?} of {score}");
    let pairs = first.iter().zip(&second).enumerate();
    let mut differing = pairs.filter(|(_, (one, other))| !same(one, other));
    Ok(differing.next().map(|(id, (one, other))| (id, said(one), said(other))))
}

fn json_of(model: &UnigramModel) -> Result<Vec<u8>, PromptError> {
    let of_kind = |kind| model.pieces.iter().position(|piece| piece.kind == kind);
    let bad = |reason: &str| PromptError::BadPieces { reason: reason.to_owned() };
    let unknown = of_kind(PieceKind::Unknown).ok_or_else(|| bad("no piece stands for what none covers"))?;
    let end = model.pieces.iter().position(|piece| piece.text == "</s>").ok_or_else(|| bad("there is no </s>"))?;
    let vocabulary: Vec<_> = model.pieces.iter().map(|piece| json!([piece.text, piece.score])).collect();
    let special = |id: usize, text: &str| json!({"id": id, "content": text, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    let control = model.pieces.iter().enumerate();
    let control = control.filter(|(_, piece)| matches!(piece.kind, PieceKind::Control | PieceKind::Unknown));
    let control = control.map(|(id, piece)| special(id, &piece.text));
    // Files of llama.cpp have them among the pieces.
    let has_extra = model.pieces.iter().any(|piece| piece.text == "<extra_id_0>");
    let extra = (0..if has_extra { 0 } else { EXTRA })
        .map(|i| special(model.pieces.len() + i, &format!("<extra_id_{}>", EXTRA - 1 - i)));
    let mut normalizers = Vec::new();
    if let Some(map) = &model.charsmap {
        normalizers.push(json!({"type": "Precompiled", "precompiled_charsmap": charsmap::packed(map)}));
    }
    normalizers.push(json!({"type": "Strip", "strip_left": false, "strip_right": true}));
    normalizers.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u{2581}"}));
    let template =
        |ids: &[&str]| ids.iter().map(|id| json!({"Sequence": {"id": id, "type_id": 0}})).collect::<Vec<_>>();
    let mut single = template(&["A"]);
    let closing = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    single.push(closing.clone());
    let mut pair = single.clone();
    pair.extend(template(&["B"]));
    pair.push(closing);
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": control.chain(extra).collect::<Vec<_>>(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {"</s>": {"id": "</s>", "ids": [end], "tokens": ["</s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": false},
    });
    Ok(json.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::t5::{T5Special, T5Tokenizer};
    use prost::Message;

    #[test]
    fn a_sentencepiece_model_cuts_as_its_tokenizer_json_does() {
        let file = ltx_testkit::tiny("../ltxv-tiny/tokenizer/tokenizer.json");
        let theirs = std::fs::read(file).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&theirs).unwrap();
        let pieces = json["model"]["vocab"].as_array().unwrap().iter().enumerate().map(|(id, piece)| {
            let kind = [3, 3, 2].get(id).copied().unwrap_or(1);
            (piece[0].as_str().unwrap().to_owned(), piece[1].as_f64().unwrap() as f32, kind)
        });
        let model = crate::text_encoder::unigram_proto(pieces.collect()).encode_to_vec();
        let own = tokenizer_json(&model).unwrap();
        let [own, theirs] =
            [own, theirs].map(|bytes| T5Tokenizer::from_bytes(&bytes, T5Special { eos: 1, pad: 0 }).unwrap());
        for prompt in ["A calm lake at sunrise, a heron takes off.", "x", "blurry, low quality"] {
            assert_eq!(own.encode(prompt).unwrap(), theirs.encode(prompt).unwrap(), "{prompt}");
        }
        assert!(tokenizer_json(b"nothing").is_err() && tokenizer_json(&[]).is_err());
    }

    #[test]
    fn a_piece_of_another_text_or_score_is_a_difference() {
        let file = |pieces: serde_json::Value| json!({"model": {"vocab": pieces}}).to_string().into_bytes();
        let differing = |second| differing(&file(json!([["a", -1.5], ["b", -2.25]])), &file(second)).unwrap();
        for same in [
            json!([["a", -1.5], ["b", -2.250001]]),
            json!([["a", -1.5]]),
            json!([["a", -1.5], ["b", -2.25], ["c", -3]]),
        ] {
            assert_eq!(differing(same.clone()), None, "{same}");
        }
        let said = |other: &str| Some((1, "\"b\" of -2.25".to_owned(), other.to_owned()));
        assert_eq!(differing(json!([["a", -1.5], ["c", -2.25]])), said("\"c\" of -2.25"));
        assert_eq!(differing(json!([["a", -1.5], ["b", -2.5]])), said("\"b\" of -2.5"));
        assert!(super::differing(b"{}", b"{}").is_err());
    }
}
