//! The tokenizers of the tiny and the small model, rebuilt from their pieces alone: every text has the same tokens. And pieces that
//! are none.
//!
//! Must not know GGUF: what a converter makes of a vocabulary is done here by hand.

use super::*;
use crate::text_encoder::PromptTokenizer;
use prost::Message;
use protobuf::{ModelProto, NormalizerProto, PieceProto, TrainerProto};
use test_case::test_case;

fn tokenizer_json(model: &str) -> Vec<u8> {
    std::fs::read(ltx_testkit::tiny("../").join(model).join("gemma/tokenizer.json")).unwrap()
}

/// A vocabulary as llama.cpp's converter writes it: `<...>` special, bytes, and scores that fall with the ids.
fn pieces(json: &[u8]) -> Vec<Piece> {
    let json: Value = serde_json::from_slice(json).unwrap();
    let added: Vec<&str> =
        json["added_tokens"].as_array().unwrap().iter().map(|token| token["content"].as_str().unwrap()).collect();
    let mut pieces: Vec<(u64, Piece)> = Vec::new();
    for (text, id) in json["model"]["vocab"].as_object().unwrap() {
        let (id, text) = (id.as_u64().unwrap(), text.clone());
        let kind = match text.as_str() {
            "<unk>" => PieceKind::Unknown,
            special if added.contains(&special) => PieceKind::Control,
            byte if byte.len() == 6 && byte.starts_with("<0x") => PieceKind::Byte,
            _ => PieceKind::Normal,
        };
        let score = if kind == PieceKind::Normal { -(id as f32) } else { -1000.0 };
        pieces.push((id, Piece { text, score, kind }));
    }
    pieces.sort_by_key(|(id, _)| *id);
    pieces.into_iter().map(|(_, piece)| piece).collect()
}

/// Texts of pieces, of letters that are none, of white space and of the names of special tokens.
fn texts(pieces: &[Piece], count: usize) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % most
    };
    let others =
        [" ", "  ", "\t", "\n", "\u{e9}", "\u{4e16}", "\u{1f642}", "A", "Z", "<bos>", "<unk>", "\u{2581}", ".", "'"];
    let one = |at: usize| match pieces.get(at) {
        Some(piece) => piece.text.replace(SPACE, " "),
        None => others[at - pieces.len()].to_owned(),
    };
    (0..count)
        .map(|_| {
            (0..1 + below(30))
                .map(|_| one(below(pieces.len() + 3 * others.len()).min(pieces.len() + others.len() - 1)))
                .collect()
        })
        .collect()
}

/// What Gemma's own model states of how text is cut.
fn gemmas() -> (TrainerProto, NormalizerProto) {
    let trainer = TrainerProto { model_type: Some(2), ..TrainerProto::default() };
    let (add_dummy_prefix, remove_extra_whitespaces) = (Some(false), Some(false));
    (trainer, NormalizerProto { add_dummy_prefix, remove_extra_whitespaces, ..NormalizerProto::default() })
}

#[test_case("tiny")]
#[test_case("small")]
fn pieces_alone_cut_every_text_as_the_tokenizer_does(model: &str) {
    let json = tokenizer_json(model);
    let pieces = pieces(&json);
    let packed = ModelProto {
        pieces: pieces
            .iter()
            .map(|Piece { text, score, kind }| PieceProto {
                piece: Some(text.clone()),
                score: Some(*score),
                kind: Some(PieceKind::ALL.iter().position(|known| known == kind).unwrap() as i32 + 1),
            })
            .collect(),
        trainer: Some(gemmas().0),
        normalizer: Some(gemmas().1),
    };
    let own = SentencePieces::new(pieces.clone(), 2).unwrap();
    assert_eq!(SentencePieces::from_protobuf(&packed.encode_to_vec(), 2).unwrap(), own);
    assert_eq!(own.differs_from(&json).unwrap(), None);
    let expected = PromptTokenizer::from_bytes(&json, 2).unwrap();
    let found = PromptTokenizer::from_bytes(&own.to_tokenizer_json().unwrap(), 2).unwrap();
    for text in texts(&pieces, 5000) {
        assert_eq!(found.encode(&text).unwrap(), expected.encode(&text).unwrap(), "{text:?}");
    }
}

fn few() -> Vec<Piece> {
    let piece = |text: &str, score, kind| Piece { text: text.to_owned(), score, kind };
    vec![
        piece("<unk>", 0.0, PieceKind::Unknown),
        piece("<bos>", 0.0, PieceKind::Control),
        piece("  ", -1000.0, PieceKind::UserDefined),
        piece("\u{2581}", -3.0, PieceKind::Normal),
        piece("a", -4.0, PieceKind::Normal),
        piece("\u{2581}a", -1.0, PieceKind::Normal),
    ]
}

#[test]
fn runs_of_spaces_that_a_converter_wrote_as_spaces_are_merged_first() {
    let own = SentencePieces::new(few(), 1).unwrap();
    let json: Value = serde_json::from_slice(&own.to_tokenizer_json().unwrap()).unwrap();
    assert_eq!(json["model"]["merges"], json!([["\u{2581}", "\u{2581}"], ["\u{2581}", "a"]]));
}

#[test]
fn pieces_that_are_none_are_refused() {
    let refusal = |change: fn(&mut Vec<Piece>), bos| {
        let mut pieces = few();
        change(&mut pieces);
        SentencePieces::new(pieces, bos).unwrap_err().to_string()
    };
    assert!(refusal(|pieces| pieces[4].text = "\u{2581}".into(), 1).contains("tokens 3 and 4"));
    assert!(refusal(|pieces| pieces[4].text = "a".repeat(300), 1).contains("300 bytes"));
    assert!(refusal(|pieces| pieces[4].score = f32::NAN, 1).contains("the score of token 4"));
    assert!(refusal(|_| (), 4).contains("token 4 is not <bos>"));
    assert!(PieceKind::from_number(7.0).is_err() && PieceKind::from_number(1.5).is_err());
    let runs = (1..=200).map(|length| Piece { text: "a".repeat(length), score: 0.0, kind: PieceKind::Normal });
    let pieces = few().into_iter().filter(|piece| piece.text != "a").chain(runs).collect();
    let many = SentencePieces::new(pieces, 1).unwrap().to_tokenizer_json();
    assert!(many.unwrap_err().to_string().contains("ways to merge"));
}

#[test]
fn models_that_are_not_gemmas_are_refused() {
    let refusal = |model: ModelProto| SentencePieces::from_protobuf(&model.encode_to_vec(), 1).unwrap_err().to_string();
    let piece = PieceProto { piece: Some("a".into()), score: None, kind: None };
    let with = |change: fn(&mut TrainerProto, &mut NormalizerProto)| {
        let (mut trainer, mut normalizer) = gemmas();
        change(&mut trainer, &mut normalizer);
        refusal(ModelProto { pieces: vec![piece.clone()], trainer: Some(trainer), normalizer: Some(normalizer) })
    };
    assert!(with(|trainer, _| trainer.model_type = Some(1)).contains("model_type is 1"));
    assert!(with(|_, normalizer| normalizer.add_dummy_prefix = Some(true)).contains("add_dummy_prefix is true"));
    assert!(with(|_, normalizer| normalizer.precompiled_charsmap = Some(vec![1])).contains("precompiled_charsmap"));
    assert!(with(|trainer, _| trainer.byte_fallback = Some(false)).contains("byte_fallback is false"));
    // What is absent means what the format says.
    assert!(with(|trainer, _| trainer.model_type = None).contains("model_type is 1"));
    assert!(with(|_, normalizer| normalizer.add_dummy_prefix = None).contains("add_dummy_prefix is true"));
    assert!(
        with(|_, normalizer| normalizer.remove_extra_whitespaces = None).contains("remove_extra_whitespaces is true")
    );
    assert!(refusal(ModelProto::default()).contains("without pieces"));
    let bytes: Vec<u8> = (0..200).collect();
    assert!(SentencePieces::from_protobuf(&bytes, 1).is_err());
}
