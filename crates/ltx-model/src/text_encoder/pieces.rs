//! Sentencepieces: the tokenizer as GGUF files of llama.cpp's and single files with a packed sentencepiece model hold it, turned
//! into the `tokenizer.json` of the same vocabulary. Gemma's is BPE with byte fallback: a merge's rank is the score of the piece
//! that it makes.
//!
//! Must not know files: pieces arrive as text, scores and kinds, or as the bytes of a sentencepiece model.

mod protobuf;

pub use protobuf::UnigramModel;
pub(crate) use protobuf::unigram_model;
#[cfg(test)]
pub(crate) use protobuf::unigram_proto;

use super::PromptError;
use serde_json::{Value, json};
use std::{cmp::Reverse, collections::HashMap};

/// The longest piece that others are merged to; Gemma's longest has 93 bytes.
const LONGEST: usize = 256;
/// The most merges for each piece; Gemma has two.
const MERGES: usize = 16;
/// What stands for a space within pieces.
const SPACE: char = '\u{2581}';

/// What a piece is for, by the numbers of sentencepiece and of GGUF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// Made by merging.
    Normal,
    /// Stands for what no piece covers.
    Unknown,
    /// Such as `<bos>`.
    Control,
    /// Found in the text before anything is merged.
    UserDefined,
    /// A place that is kept free.
    Unused,
    /// A byte, `<0x41>`.
    Byte,
}

impl PieceKind {
    /// All of them; the first one's number is 1.
    const ALL: [Self; 6] = [Self::Normal, Self::Unknown, Self::Control, Self::UserDefined, Self::Unused, Self::Byte];

    /// # Errors
    /// No kind has this number.
    pub fn from_number(number: f64) -> Result<Self, PromptError> {
        let place = Self::ALL.iter().zip(1u8..).find(|(_, known)| f64::from(*known) == number);
        place.map(|(kind, _)| *kind).ok_or_else(|| bad(format!("a token of type {number}, expected 1 to 6")))
    }
}

/// A piece of the vocabulary; its place is its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// With `▁` for a space.
    pub text: String,
    /// Higher ones are merged first.
    pub score: f32,
    /// What it is for.
    pub kind: PieceKind,
}

/// A whole vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct SentencePieces {
    pieces: Vec<Piece>,
    bos: usize,
}

fn bad(reason: impl Into<String>) -> PromptError {
    PromptError::BadPieces { reason: reason.into() }
}

impl SentencePieces {
    /// # Errors
    /// A piece comes twice, is too long to be merged, or has no finite score; there is no `<bos>` at `bos`.
    pub fn new(mut pieces: Vec<Piece>, bos: usize) -> Result<Self, PromptError> {
        let is_tab = |piece: &Piece| piece.text == "\t";
        if !pieces.iter().any(is_tab)
            && let Some(tab) = pieces.iter_mut().find(|piece| piece.kind == PieceKind::Byte && piece.text == "<0x09>")
        {
            // As in Gemma's own tokenizer.json: the tab is a piece, with the byte's id.
            tab.text = "\t".to_owned();
        }
        for piece in pieces.iter_mut().filter(|piece| piece.kind == PieceKind::UserDefined) {
            // llama.cpp's converter writes spaces here alone.
            piece.text = piece.text.replace(' ', &SPACE.to_string());
        }
        let mut seen = HashMap::with_capacity(pieces.len());
        for (id, piece) in pieces.iter().enumerate() {
            if let Some(first) = seen.insert(piece.text.as_str(), id) {
                return Err(bad(format!("tokens {first} and {id} are both {:?}", piece.text)));
            }
            let merged = matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined);
            if merged && piece.text.len() > LONGEST {
                return Err(bad(format!("token {id} has {} bytes, at most {LONGEST}", piece.text.len())));
            }
            if !piece.score.is_finite() {
                return Err(bad(format!("the score of token {id} is {}, expected a finite number", piece.score)));
            }
        }
        if pieces.get(bos).is_none_or(|piece| piece.kind != PieceKind::Control) {
            return Err(bad(format!("token {bos} is not <bos>, as is stated")));
        }
        Ok(Self { pieces, bos })
    }

    /// From the bytes of a sentencepiece model.
    ///
    /// # Errors
    /// They are none, or one of another kind than Gemma's; or as [`Self::new`].
    pub fn from_protobuf(bytes: &[u8], bos: usize) -> Result<Self, PromptError> {
        Self::new(protobuf::pieces(bytes)?, bos)
    }

    /// The first piece that another vocabulary, of a `tokenizer.json`, has otherwise: its id, and both texts. Only pieces made by
    /// merging are compared: of others the two forms keep different things.
    ///
    /// # Errors
    /// The bytes are no `tokenizer.json`.
    pub fn differs_from(&self, tokenizer_json: &[u8]) -> Result<Option<(usize, String, String)>, PromptError> {
        #[derive(serde::Deserialize)]
        struct File {
            model: Model,
        }
        #[derive(serde::Deserialize)]
        struct Model {
            vocab: HashMap<String, usize>,
        }
        let file: File = serde_json::from_slice(tokenizer_json)
            .map_err(|source| PromptError::BadTokenizer { source: source.into() })?;
        let mut by_id: HashMap<usize, &str> = HashMap::with_capacity(file.model.vocab.len());
        for (text, id) in &file.model.vocab {
            by_id.insert(*id, text);
        }
        let normal = self.pieces.iter().enumerate().filter(|(_, piece)| piece.kind == PieceKind::Normal);
        let mut differing = normal.filter(|(id, piece)| by_id.get(id).is_some_and(|other| *other != piece.text));
        Ok(differing.next().map(|(id, piece)| (id, piece.text.clone(), by_id.get(&id).unwrap_or(&"").to_string())))
    }

    /// As `tokenizer.json`.
    ///
    /// # Errors
    /// More merges than a vocabulary of this size has.
    pub fn to_tokenizer_json(&self) -> Result<Vec<u8>, PromptError> {
        let vocabulary: serde_json::Map<String, Value> =
            self.pieces.iter().enumerate().map(|(id, piece)| (piece.text.clone(), json!(id))).collect();
        let unknown = self.pieces.iter().find(|piece| piece.kind == PieceKind::Unknown).map(|piece| &piece.text);
        let is_added = |kind| matches!(kind, PieceKind::Unknown | PieceKind::Control | PieceKind::UserDefined);
        let added = self.pieces.iter().enumerate().filter(|(_, piece)| is_added(piece.kind)).map(|(id, piece)| {
            json!({
                "id": id, "content": piece.text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": piece.kind != PieceKind::UserDefined,
            })
        });
        let bos = &self.pieces[self.bos].text;
        let json = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()},
            "pre_tokenizer":
                {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {bos: {"id": bos, "ids": [self.bos], "tokens": [bos]}},
            },
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE.to_string()}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
            ]},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": vocabulary, "merges": self.merges()?,
            },
        });
        Ok(json.to_string().into_bytes())
    }

    /// Every way in which two pieces make a third, the highest score first; of one score, the longest first piece.
    fn merges(&self) -> Result<Vec<[&str; 2]>, PromptError> {
        let ids: HashMap<&str, usize> =
            self.pieces.iter().enumerate().map(|(id, piece)| (piece.text.as_str(), id)).collect();
        let most = MERGES * (self.pieces.len() + 64);
        let mut merges = Vec::new();
        for piece in &self.pieces {
            let rank = match piece.kind {
                PieceKind::Normal => (1, piece.score),
                // What is found before merging is merged first, whatever score a converter gave it.
                PieceKind::UserDefined => (0, 0.0),
                _ => continue,
            };
            let mut ways: Vec<[&str; 2]> = Vec::new();
            for (at, _) in piece.text.char_indices().skip(1) {
                let (first, second) = piece.text.split_at(at);
                if ids.contains_key(first) && ids.contains_key(second) {
                    ways.push([first, second]);
                }
            }
            ways.sort_by_key(|way| way.map(|part| ids.get(part).copied()));
            merges.extend(ways.into_iter().map(|way| (rank, way)));
            if merges.len() > most {
                return Err(bad(format!("more than {most} ways to merge its {} tokens", self.pieces.len())));
            }
        }
        let length = |text: &str| text.chars().count();
        merges.sort_by(|(a, x), (b, y)| {
            let by_rank = a.0.cmp(&b.0).then_with(|| b.1.total_cmp(&a.1));
            by_rank.then_with(|| Reverse(x.map(length)).cmp(&Reverse(y.map(length))))
        });
        Ok(merges.into_iter().map(|(_, way)| way).collect())
    }
}

#[cfg(test)]
mod tests;
