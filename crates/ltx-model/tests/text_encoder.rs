//! Tokenizer, Gemma's hidden states, features and connector against the reference.

use candle_core::{IndexOp, Tensor};
use ltx_model::{
    config::section,
    part::Module,
    text_encoder::{Gemma, GemmaConfig, MAX_TOKENS, PromptError, PromptTokenizer, TextConfig, TextEncoder},
};
use ltx_nn::{NnError, Taps};
use ltx_testkit::{LAYER, assert_close, checkpoint, goldens, tiny, vb};

const PROMPT: &str = "A calm lake at sunrise, a heron takes off while the camera slowly pushes in.";

fn gemma_config() -> GemmaConfig {
    let json = std::fs::read(tiny("gemma/config.json")).unwrap();
    GemmaConfig::from_json(&serde_json::from_slice(&json).unwrap()).unwrap()
}

fn tokenizer() -> PromptTokenizer {
    let bytes = std::fs::read(tiny("gemma/tokenizer.json")).unwrap();
    PromptTokenizer::from_bytes(&bytes, gemma_config().bos_token_id).unwrap()
}

fn text_config() -> TextConfig {
    let checkpoint = checkpoint().0;
    let width = checkpoint.shape_of("text_embedding_projection.video_aggregate_embed.weight").unwrap()[1];
    TextConfig::from_json(section(&checkpoint.config().unwrap(), "transformer").unwrap(), width).unwrap()
}

fn encoder_that(stays: bool) -> TextEncoder {
    let gemma = Gemma::load(&vb("gemma/model.safetensors").pp("language_model.model"), &gemma_config()).unwrap();
    TextEncoder::open(gemma, &checkpoint().1, &text_config(), stays).unwrap()
}

fn encoder() -> TextEncoder {
    encoder_that(true)
}

#[test]
fn token_ids_equal_the_reference() {
    let goldens = goldens("kf_guided/tensors.safetensors");
    for (prompt, name) in [(PROMPT, "pos"), ("blurry, low quality, static", "neg")] {
        let (ids, mask) = tokenizer().encode(prompt).unwrap().left_padded(gemma_config().pad_token_id);
        let golden = |what: &str| goldens[&format!("text.{name}.{what}")].i(0).unwrap().to_vec1::<i64>().unwrap();
        assert_eq!(ids, golden("input_ids"));
        assert_eq!(mask, golden("attention_mask"));
    }
}

#[test]
fn a_prompt_that_is_too_long_is_refused_with_its_count() {
    let long = "heron ".repeat(3000);
    match tokenizer().encode(&long) {
        Err(PromptError::TooLong { count, .. }) => assert!(count > MAX_TOKENS, "{count}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(tokenizer().encode("  ").unwrap().ids(), [2], "an empty prompt is <bos> alone");
}

#[test]
fn states_features_and_context_equal_the_reference() {
    let goldens = goldens("kf_guided/tensors.safetensors");
    let prompts = [tokenizer().encode(PROMPT).unwrap()];
    let taps = Taps::on();
    let contexts = encoder().encode::<NnError>(&prompts, |_| Ok(()), &[taps.within("")]).unwrap();
    let found = taps.into_tensors().unwrap();
    // Real tokens only: the rows of pads mean nothing.
    let count = prompts[0].ids().len();
    let real = |t: &Tensor| t.narrow(1, MAX_TOKENS - count, count).unwrap();
    for name in ["gemma_hidden_states", "video_features"] {
        assert_close(name, &real(&found[name]), &real(&goldens[&format!("text.pos.{name}")]), LAYER);
    }
    for part in ["connector_rope_cos", "connector_rope_sin"] {
        assert_close(part, &found[part], &goldens[&format!("text.{part}")], LAYER);
    }
    assert_close("context", &contexts[0], &goldens["text.pos.video_context"], LAYER);
}

#[test]
fn connector_blocks_equal_the_reference() {
    let taps = Taps::on();
    let prompts = [tokenizer().encode(PROMPT).unwrap()];
    encoder().encode::<NnError>(&prompts, |_| Ok(()), &[taps.within("")]).unwrap();
    let (found, goldens) = (taps.into_tensors().unwrap(), goldens("vae_taps.safetensors"));
    for block in ["block0", "block1"] {
        assert_close(block, &found[block], &goldens[&format!("connector_pos.{block}")], LAYER);
    }
}

#[test]
fn two_prompts_in_one_pass_equal_two_passes() {
    let prompts = [tokenizer().encode(PROMPT).unwrap(), tokenizer().encode("static").unwrap()];
    let taps = [Taps::off(), Taps::off()];
    let both = encoder().encode::<NnError>(&prompts, |_| Ok(()), &taps).unwrap();
    for (prompt, expected) in prompts.iter().zip(&both) {
        let alone = encoder().encode::<NnError>(std::slice::from_ref(prompt), |_| Ok(()), &taps).unwrap();
        assert_close("context", &alone[0], expected, 0.0);
    }
}

#[test]
fn layers_that_do_not_stay_change_nothing_and_can_be_stopped_at() {
    let prompts = [tokenizer().encode(PROMPT).unwrap()];
    let passing = encoder_that(false);
    let expected = encoder().encode::<NnError>(&prompts, |_| Ok(()), &[Taps::off()]).unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        told.clear();
        let before = |layer| {
            told.push(layer);
            Ok(())
        };
        let found = passing.encode::<NnError>(&prompts, before, &[Taps::off()]).unwrap();
        assert_close("context", &found[0], &expected[0], 0.0);
        assert_eq!(told, (0..passing.layers()).collect::<Vec<_>>());
    }
    for last in 0..passing.layers() {
        let stop = |layer| if layer == last { Err(NnError::unsupported("layer", layer, "less")) } else { Ok(()) };
        assert!(passing.encode::<NnError>(&prompts, stop, &[Taps::off()]).is_err(), "{last}");
    }
}

#[test]
fn a_token_outside_the_vocabulary_is_an_error() {
    let foreign = PromptTokenizer::from_bytes(&std::fs::read(tiny("gemma/tokenizer.json")).unwrap(), 100_000).unwrap();
    let prompts = [foreign.encode("lake").unwrap()];
    let error = encoder().encode::<NnError>(&prompts, |_| Ok(()), &[Taps::off()]).unwrap_err();
    assert!(matches!(error, NnError::NoSuchRow { row: 100_000, .. }), "{error}");
}
