//! A packed sentencepiece model: its protobuf messages, as far as they decide how text is cut. Source: the public
//! `sentencepiece_model.proto`.
//!
//! Must not know how pieces are merged.

use super::{Piece, PieceKind, bad};
use crate::text_encoder::PromptError;
use prost::Message;

/// BPE, among the kinds of models.
const BPE: i32 = 2;
/// The kind of T5's model, and of a model that states none.
const UNIGRAM: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) pieces: Vec<PieceProto>,
    #[prost(message, optional, tag = "2")]
    pub(super) trainer: Option<TrainerProto>,
    #[prost(message, optional, tag = "3")]
    pub(super) normalizer: Option<NormalizerProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PieceProto {
    #[prost(string, optional, tag = "1")]
    pub(super) piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(super) score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    pub(super) kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrainerProto {
    #[prost(int32, optional, tag = "3")]
    pub(super) model_type: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    pub(super) treat_whitespace_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "35")]
    pub(super) byte_fallback: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NormalizerProto {
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    pub(super) add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub(super) remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub(super) escape_whitespaces: Option<bool>,
}

/// The pieces of a model that cuts text as Gemma's does.
///
/// # Errors
/// The bytes are no such model, or one that is not BPE or changes the text before it cuts it, as an absent field may mean.
pub(super) fn pieces(bytes: &[u8]) -> Result<Vec<Piece>, PromptError> {
    let model = ModelProto::decode(bytes).map_err(|error| bad(format!("no sentencepiece model: {error}")))?;
    if model.pieces.is_empty() {
        return Err(bad("a sentencepiece model without pieces"));
    }
    let trainer = model.trainer.unwrap_or_default();
    match trainer.model_type.unwrap_or(UNIGRAM) {
        BPE => {}
        other => return Err(bad(format!("trainer_spec.model_type is {other}, supported: {BPE} (BPE)"))),
    }
    let normalizer = model.normalizer.unwrap_or_default();
    // What an absent field means, and what is supported.
    let fixed = [
        ("trainer_spec.treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix, false, false),
        ("normalizer_spec.add_dummy_prefix", normalizer.add_dummy_prefix, true, false),
        ("normalizer_spec.remove_extra_whitespaces", normalizer.remove_extra_whitespaces, true, false),
        ("normalizer_spec.escape_whitespaces", normalizer.escape_whitespaces, true, true),
    ];
    for (field, stated, absent, supported) in fixed {
        if stated.unwrap_or(absent) != supported {
            return Err(bad(format!("{field} is {}, supported: {supported}", !supported)));
        }
    }
    // Files of ours may leave it out; Gemma's own state it.
    if trainer.byte_fallback == Some(false) {
        return Err(bad("trainer_spec.byte_fallback is false, supported: true"));
    }
    if normalizer.precompiled_charsmap.is_some_and(|map| !map.is_empty()) {
        return Err(bad("normalizer_spec.precompiled_charsmap is there, supported: none"));
    }
    let piece = |PieceProto { piece, score, kind }| {
        let kind = PieceKind::from_number(f64::from(kind.unwrap_or(1)))?;
        Ok(Piece { text: piece.unwrap_or_default(), score: score.unwrap_or(0.0), kind })
    };
    model.pieces.into_iter().map(piece).collect()
}

/// A vocabulary of which the likeliest cut is taken.
#[derive(Debug, Clone)]
pub struct UnigramModel {
    /// The pieces; a piece's place is its id.
    pub pieces: Vec<Piece>,
    /// The normaliser's map of characters.
    pub charsmap: Option<Vec<u8>>,
}

/// The pieces of a model that cuts text as T5's does.
///
/// # Errors
/// The bytes are no such model, or one that is not Unigram or treats spaces otherwise.
pub(crate) fn unigram_model(bytes: &[u8]) -> Result<UnigramModel, PromptError> {
    let model = ModelProto::decode(bytes).map_err(|error| bad(format!("no sentencepiece model: {error}")))?;
    if model.pieces.is_empty() {
        return Err(bad("a sentencepiece model without pieces"));
    }
    let trainer = model.trainer.unwrap_or_default();
    if let Some(other) = trainer.model_type.filter(|kind| *kind != UNIGRAM) {
        return Err(bad(format!("trainer_spec.model_type is {other}, supported: {UNIGRAM} (Unigram)")));
    }
    let normalizer = model.normalizer.unwrap_or_default();
    let fixed = [
        ("trainer_spec.treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix, false),
        ("trainer_spec.byte_fallback", trainer.byte_fallback, false),
        ("normalizer_spec.add_dummy_prefix", normalizer.add_dummy_prefix, true),
        ("normalizer_spec.remove_extra_whitespaces", normalizer.remove_extra_whitespaces, true),
        ("normalizer_spec.escape_whitespaces", normalizer.escape_whitespaces, true),
    ];
    for (field, stated, supported) in fixed {
        if stated.is_some_and(|stated| stated != supported) {
            return Err(bad(format!("{field} is {}, supported: {supported}", !supported)));
        }
    }
    let piece = |PieceProto { piece, score, kind }| {
        let kind = PieceKind::from_number(f64::from(kind.unwrap_or(1)))?;
        Ok(Piece { text: piece.unwrap_or_default(), score: score.unwrap_or(0.0), kind })
    };
    let charsmap = normalizer.precompiled_charsmap.filter(|map| !map.is_empty());
    Ok(UnigramModel { pieces: model.pieces.into_iter().map(piece).collect::<Result<_, _>>()?, charsmap })
}

/// A Unigram model of such pieces: text, score and kind.
#[cfg(test)]
pub(crate) fn unigram_proto(pieces: Vec<(String, f32, i32)>) -> impl Message {
    let piece = |(text, score, kind)| PieceProto { piece: Some(text), score: Some(score), kind: Some(kind) };
    let trainer = Some(TrainerProto { model_type: Some(UNIGRAM), ..TrainerProto::default() });
    ModelProto { pieces: pieces.into_iter().map(piece).collect(), trainer, normalizer: None }
}
