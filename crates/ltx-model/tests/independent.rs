//! Text encoders against implementations that are not ours, those of candle-transformers, on the tiny models' weights: T5's hidden
//! states; of Gemma 3 and Gemma 4, which hand out no states there, the logits at every position of a prompt.
//!
//! Where an implementation there computes a variant (a fixed scale of the scores, no factor of positions, no scalar of a layer),
//! the configuration or the weights are changed so that both mean the same; each change is said where it is made.

use candle_core::{D, DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{gemma3, gemma4, t5};
use ltx_model::{
    part::Module,
    t5::{T5Config, T5Encoder, T5Tokenizer},
    text_encoder::{Gemma, GemmaConfig, PromptTokenizer, TokenIds},
};
use ltx_nn::NnError;
use ltx_testkit::{LAYER, assert_close, open, tiny, vb};
use serde_json::{Value, json};
use std::{collections::HashMap, fs, path::Path};

const PROMPTS: [&str; 3] =
    ["A calm lake at sunrise, a heron takes off while the camera slowly pushes in.", "blurry, low quality", "x"];

fn read(file: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The tensors of a file in f32, whose names begin with `prefix`, without it.
fn weights(name: &str, prefix: &str) -> HashMap<String, Tensor> {
    let all = candle_core::safetensors::load(tiny(name), &Device::Cpu).unwrap();
    let floats = all.into_iter().filter(|(_, tensor)| tensor.dtype() != DType::U8);
    let named = floats.filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor)));
    named.map(|(name, tensor)| (name, tensor.to_dtype(DType::F32).unwrap())).collect()
}

fn builder(weights: HashMap<String, Tensor>) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu)
}

fn ids(prompt: &[u32]) -> Tensor {
    Tensor::new(prompt, &Device::Cpu).unwrap().unsqueeze(0).unwrap()
}

#[test]
fn the_states_of_t5_equal_another_implementations() {
    let folder = "../ltxv-tiny/text_encoder";
    let stated = read(tiny(folder).join("config.json"));
    let config = T5Config::from_json(&stated).unwrap();
    let encoder = T5Encoder::load(&vb(&format!("{folder}/model.safetensors")), &config).unwrap();
    let bytes = fs::read(tiny("../ltxv-tiny/tokenizer/tokenizer.json")).unwrap();
    let tokenizer = T5Tokenizer::from_bytes(&bytes, config.special()).unwrap();
    let prompts: Vec<TokenIds> = PROMPTS.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect();
    let found = encoder.encode::<NnError>(&prompts, |_| Ok(())).unwrap();

    let theirs: t5::Config = serde_json::from_value(stated).unwrap();
    let weights = builder(weights(&format!("{folder}/model.safetensors"), ""));
    let mut theirs = t5::T5EncoderModel::load(weights, &theirs).unwrap();
    for (prompt, found) in prompts.iter().zip(&found) {
        let expected = theirs.forward(&ids(prompt.ids())).unwrap();
        assert_close("states", found, &expected, LAYER);
    }
}

/// The logits at every position of every prompt, `[tokens, vocabulary]`, by our last states and the embedding that is tied to them.
fn logits(gemma: &Gemma, embedding: &Tensor, prompts: &[TokenIds]) -> Vec<Tensor> {
    let mut last = vec![None; prompts.len()];
    let keep = |prompt: usize, _: usize, state: Tensor| {
        last[prompt] = Some(state);
        Ok::<_, NnError>(())
    };
    gemma.hidden_states(prompts, |_| Ok(()), keep).unwrap();
    let project = |state: Option<Tensor>| state.unwrap().i(0).unwrap().matmul(&embedding.t().unwrap()).unwrap();
    last.into_iter().map(project).collect()
}

/// Compares with what an implementation says that yields the logits of the last token alone: it is asked for every beginning of the
/// prompt.
fn compare(found: &Tensor, prompt: &TokenIds, mut theirs: impl FnMut(&Tensor) -> candle_core::Result<Tensor>) {
    let all = prompt.ids();
    let rows = (1..=all.len()).map(|count| theirs(&ids(&all[..count])).unwrap().flatten_all().unwrap());
    let expected = Tensor::stack(&rows.collect::<Vec<_>>(), 0).unwrap();
    assert_eq!(found.dims(), [all.len(), expected.dim(D::Minus1).unwrap()]);
    assert_close("logits", found, &expected, LAYER);
}

#[test]
fn the_logits_of_gemma_3_equal_another_implementations() {
    let mut stated = read(tiny("gemma/config.json"));
    // There scores are divided by the root of a head's width, and no positions are scaled.
    let text = &mut stated["text_config"];
    text["query_pre_attn_scalar"] = text["head_dim"].clone();
    text["rope_scaling"] = Value::Null;
    let mut theirs = text.clone();
    let config = GemmaConfig::from_json(&stated).unwrap();
    let gemma = Gemma::load(&vb("gemma/model.safetensors").pp("language_model.model"), &config).unwrap();
    let bytes = fs::read(tiny("gemma/tokenizer.json")).unwrap();
    let tokenizer = PromptTokenizer::from_bytes(&bytes, config.bos_token_id).unwrap();
    let prompts: Vec<TokenIds> = PROMPTS.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect();

    theirs["attn_logit_softcapping"] = Value::Null;
    theirs["max_position_embeddings"] = json!(256);
    let theirs: gemma3::Config = serde_json::from_value(theirs).unwrap();
    let weights = weights("gemma/model.safetensors", "language_model.");
    let found = logits(&gemma, &weights["model.embed_tokens.weight"], &prompts);
    let mut theirs = gemma3::Model::new(false, &theirs, builder(weights)).unwrap();
    for (prompt, found) in prompts.iter().zip(&found) {
        theirs.clear_kv_cache();
        // Token by token: its cache does not take several at once.
        compare(found, prompt, |ids| {
            let last = ids.dim(1)? - 1;
            theirs.forward(&ids.narrow(1, last, 1)?, last)
        });
    }
}

#[test]
fn the_logits_of_gemma_4_equal_another_implementations() {
    let file = "../tiny-2.5/gemma4-tiny-with-proj.safetensors";
    let set = open(file);
    let stated: Value = serde_json::from_str(set.metadata("gemma_config").unwrap()).unwrap();
    let config = GemmaConfig::from_json(&stated).unwrap();
    let gemma = Gemma::load(&vb(file).pp("model"), &config).unwrap();
    let bytes = set.packed_file("tokenizer_json").unwrap().unwrap();
    let tokenizer = PromptTokenizer::from_bytes(&bytes, config.bos_token_id).unwrap();
    let prompts: Vec<TokenIds> = PROMPTS.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect();

    let mut theirs = stated["text_config"].clone();
    theirs["final_logit_softcapping"] = Value::Null;
    theirs["max_position_embeddings"] = json!(256);
    // There a token sees as many before it as the window says, and itself.
    let window = theirs["sliding_window"].as_u64().unwrap();
    assert!(prompts[0].ids().len() as u64 > window, "the window shows");
    theirs["sliding_window"] = json!(window - 1);
    let theirs: gemma4::Gemma4TextConfig = serde_json::from_value(theirs).unwrap();
    let weights = weights(file, "");
    let found = logits(&gemma, &weights["model.embed_tokens.weight"], &prompts);
    let mut theirs = gemma4::text::TextModel::new(&theirs, builder(as_theirs(weights, &theirs))).unwrap();
    for (prompt, found) in prompts.iter().zip(&found) {
        compare(found, prompt, |ids| {
            theirs.clear_kv_cache();
            theirs.forward(ids, 0)
        });
    }
}

/// Gemma 4's weights as candle-transformers' variant means them: its norms multiply by `1 + w`; it divides scores by the root of a
/// head's width; every layer has a `v_proj`; no layer scales its output, so what a layer adds is divided by the scalars before it,
/// which norms do not notice.
fn as_theirs(mut weights: HashMap<String, Tensor>, config: &gemma4::Gemma4TextConfig) -> HashMap<String, Tensor> {
    let norm = |weight: &Tensor, factor: f64| ((weight * factor).unwrap() - 1.0).unwrap();
    let mut scale = 1.0;
    for layer in 0..config.num_hidden_layers {
        let key = |rest: &str| format!("model.layers.{layer}.{rest}");
        let width = if config.is_sliding(layer) { config.head_dim } else { config.global_head_dim };
        for (rest, factor) in [
            ("input_layernorm.weight", 1.0),
            ("pre_feedforward_layernorm.weight", 1.0),
            ("post_attention_layernorm.weight", 1.0 / scale),
            ("post_feedforward_layernorm.weight", 1.0 / scale),
            ("self_attn.q_norm.weight", (width as f64).sqrt()),
            ("self_attn.k_norm.weight", 1.0),
        ] {
            let weight = norm(&weights[&key(rest)], factor);
            weights.insert(key(rest), weight);
        }
        if !weights.contains_key(&key("self_attn.v_proj.weight")) {
            let keys = weights[&key("self_attn.k_proj.weight")].clone();
            weights.insert(key("self_attn.v_proj.weight"), keys);
        }
        scale *= f64::from(weights[&key("layer_scalar")].i(0).unwrap().to_scalar::<f32>().unwrap());
    }
    let last = norm(&weights["model.norm.weight"], 1.0);
    weights.insert("model.norm.weight".to_owned(), last);
    weights
}
