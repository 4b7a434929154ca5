//! T5 as llama.cpp writes it: one file with its vocabulary, of which everything that is stated is obeyed or refused by key.
//!
//! Must not know how text is cut.

use super::{assert_says, generated, refused};
use crate::support::{
    files::{repository, scratch, text},
    gguf::{self, Entry},
    published::{save, write_as},
    safetensors::{File, Tensor},
};
use serde_json::Value;
use std::{fs, path::Path};
use test_case::test_case;

const NAMES: [(&str, &str); 10] = [
    ("layer.0.layer_norm", "attn_norm"),
    ("layer.0.SelfAttention.q", "attn_q"),
    ("layer.0.SelfAttention.k", "attn_k"),
    ("layer.0.SelfAttention.v", "attn_v"),
    ("layer.0.SelfAttention.o", "attn_o"),
    ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"),
    ("layer.1.layer_norm", "ffn_norm"),
    ("layer.1.DenseReluDense.wi_0", "ffn_gate"),
    ("layer.1.DenseReluDense.wi_1", "ffn_up"),
    ("layer.1.DenseReluDense.wo", "ffn_down"),
];

fn model() -> String {
    text(&repository("models/ltxv-tiny"))
}

fn with(text_encoder: &str) -> String {
    generated(&[("model", &model()), ("text-encoder", text_encoder)]).1
}

fn tensors() -> Vec<Tensor> {
    let name = |key: &str| -> String {
        match key {
            "shared.weight" => return "token_embd.weight".to_owned(),
            "encoder.final_layer_norm.weight" => return "enc.output_norm.weight".to_owned(),
            _ => {}
        }
        let (layer, rest) =
            key.strip_prefix("encoder.block.").and_then(|rest| rest.split_once('.')).expect("a layer's");
        let rest = rest.strip_suffix(".weight").expect("a weight");
        let (_, theirs) = NAMES.iter().find(|(official, _)| *official == rest).expect("a known name");
        format!("enc.blk.{layer}.{theirs}.weight")
    };
    let tensors = File::read(repository("models/ltxv-tiny/text_encoder/model.safetensors")).tensors;
    tensors.into_iter().map(|tensor| Tensor { key: name(&tensor.key), ..tensor }).collect()
}

fn metadata() -> Vec<(&'static str, Entry)> {
    let file = repository("models/ltxv-tiny/tokenizer/tokenizer.json");
    let json: Value = serde_json::from_slice(&fs::read(file).expect("a tokenizer")).expect("JSON");
    let pieces = json["model"]["vocab"].as_array().expect("a list");
    let word = |piece: &Value| piece[0].as_str().expect("a text").to_owned();
    let score = |piece: &Value| piece[1].as_f64().expect("a number") as f32;
    let kind = |id: usize| [3, 3, 2].get(id).copied().unwrap_or(1);
    vec![
        ("general.architecture", Entry::Text("t5encoder".into())),
        ("t5encoder.context_length", Entry::Whole(512)),
        ("t5encoder.embedding_length", Entry::Whole(32)),
        ("t5encoder.feed_forward_length", Entry::Whole(64)),
        ("t5encoder.block_count", Entry::Whole(2)),
        ("t5encoder.attention.head_count", Entry::Whole(4)),
        ("t5encoder.attention.key_length", Entry::Whole(8)),
        ("t5encoder.attention.value_length", Entry::Whole(8)),
        ("t5encoder.attention.layer_norm_epsilon", Entry::Real(1e-6)),
        ("t5encoder.attention.relative_buckets_count", Entry::Whole(32)),
        ("tokenizer.ggml.model", Entry::Text("t5".into())),
        ("tokenizer.ggml.pre", Entry::Text("default".into())),
        ("tokenizer.ggml.tokens", Entry::Texts(pieces.iter().map(word).collect())),
        ("tokenizer.ggml.scores", Entry::Reals(pieces.iter().map(score).collect())),
        ("tokenizer.ggml.token_type", Entry::Numbers((0..pieces.len()).map(kind).collect())),
        ("tokenizer.ggml.add_space_prefix", Entry::Truth(true)),
        ("tokenizer.ggml.remove_extra_whitespaces", Entry::Truth(true)),
        ("tokenizer.ggml.eos_token_id", Entry::Whole(1)),
        ("tokenizer.ggml.unknown_token_id", Entry::Whole(2)),
        ("tokenizer.ggml.padding_token_id", Entry::Whole(0)),
        ("tokenizer.ggml.add_bos_token", Entry::Truth(false)),
        ("tokenizer.ggml.add_eos_token", Entry::Truth(true)),
    ]
}

#[test]
fn a_gguf_needs_nothing_beside_it() {
    let folder = scratch();
    let file = save(folder.path(), "t5.gguf", &gguf::file(&metadata(), &tensors()));
    assert_eq!(with(&file), with(&text(&repository("models/ltxv-tiny/text_encoder"))));
}

#[test_case("tokenizer.ggml.eos_token_id", Entry::Whole(2); "another end")]
#[test_case("tokenizer.ggml.eos_token_id", Entry::Text("last".into()); "an end that is no number")]
#[test_case("tokenizer.ggml.padding_token_id", Entry::Whole(1); "another pad")]
#[test_case("tokenizer.ggml.unknown_token_id", Entry::Whole(3); "another unknown")]
#[test_case("tokenizer.ggml.add_eos_token", Entry::Truth(false); "no end")]
#[test_case("tokenizer.ggml.eos_token_id", Entry::Numbers(vec![5]); "ends in a list")]
#[test_case("tokenizer.ggml.add_eos_token", Entry::Numbers(vec![0]); "no end in a list")]
#[test_case("tokenizer.ggml.lower", Entry::Truth(true); "small letters")]
#[test_case("tokenizer.ggml.pre", Entry::Text("qwen2".into()); "another cut")]
#[test_case("tokenizer.ggml.precompiled_charsmap", Entry::Numbers(vec![1, 2, 3]); "a map that is none")]
#[test_case("t5encoder.block_count", Entry::Whole(3); "more layers")]
#[test_case("t5encoder.block_count", Entry::Numbers(vec![9]); "layers in a list")]
#[test_case("t5encoder.something_new", Entry::Whole(1); "an unknown entry")]
fn a_gguf_that_says_otherwise_is_refused_by_key(key: &str, entry: Entry) {
    let folder = scratch();
    let changed = |(name, old)| (name, if name == key { entry.clone() } else { old });
    let mut metadata: Vec<_> = metadata().into_iter().map(changed).collect();
    if metadata.iter().all(|(name, _)| *name != key) {
        metadata.push((Box::leak(key.to_owned().into_boxed_str()), entry.clone()));
    }
    let file = save(folder.path(), "t5.gguf", &gguf::file(&metadata, &tensors()));
    let said = refused(&[("model", &model()), ("text-encoder", &file)]);
    let token = match key.rsplit('.').next() {
        Some("eos_token_id") => "</s>",
        Some("padding_token_id") => "<pad>",
        Some("precompiled_charsmap") => "precompiled_charsmap: it",
        _ => key,
    };
    assert!(said.contains(key) || said.contains(token), "{said}");
    assert_says(&said, &["t5.gguf"]);
}

#[test]
fn a_configuration_beside_it_agrees_or_is_refused() {
    let folder = scratch();
    let file = save(folder.path(), "t5.gguf", &gguf::file(&metadata(), &tensors()));
    let config = fs::read_to_string(repository("models/ltxv-tiny/text_encoder/config.json")).unwrap();
    save(folder.path(), "config.json", config.as_bytes());
    with(&file);
    let other = config.replace("\"eos_token_id\": 1", "\"eos_token_id\": 2");
    assert_ne!(other, config);
    save(folder.path(), "config.json", other.as_bytes());
    let said = refused(&[("model", &model()), ("text-encoder", &file)]);
    assert_says(&said, &["t5.gguf", "eos_token_id"]);
}

/// T5 in safetensors whose header states this configuration, with one beside it.
fn stating(folder: &Path, header: &Value, beside: Option<&Value>) -> String {
    let tensors = File::read(repository("models/ltxv-tiny/text_encoder/model.safetensors")).tensors;
    let mut metadata = serde_json::Map::new();
    metadata.insert("config".into(), header.to_string().into());
    let file = write_as(folder, "t5.safetensors", tensors, metadata);
    let source = repository("models/ltxv-tiny/tokenizer/tokenizer.json");
    fs::copy(source, folder.join("tokenizer.json")).expect("room for a file");
    if let Some(config) = beside {
        save(folder, "config.json", config.to_string().as_bytes());
    }
    file
}

#[test]
fn a_header_and_the_configuration_beside_it_agree_or_are_refused() {
    let bytes = fs::read(repository("models/ltxv-tiny/text_encoder/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&bytes).unwrap();
    let mut other = config.clone();
    other["layer_norm_epsilon"] = 0.5.into();
    let folder = scratch();
    let plain = with(&text(&repository("models/ltxv-tiny/text_encoder")));
    assert_eq!(with(&stating(folder.path(), &config, Some(&config))), plain);
    let folder = scratch();
    assert_eq!(with(&stating(folder.path(), &config, None)), plain);
    for (header, beside) in [(&other, &config), (&config, &other)] {
        let folder = scratch();
        let file = stating(folder.path(), header, Some(beside));
        let said = refused(&[("model", &model()), ("text-encoder", &file)]);
        assert_says(&said, &["t5.safetensors", "config.json", "layer_norm_epsilon", "0.5"]);
    }
}

/// The folder of a whole pipeline, as diffusers has it.
fn pipeline(folder: &Path) -> String {
    for (name, files) in [
        (".", &["model_index.json"][..]),
        ("scheduler", &["scheduler_config.json"]),
        ("text_encoder", &["config.json", "model.safetensors"]),
        ("tokenizer", &["tokenizer.json", "tokenizer_config.json"]),
        ("transformer", &["config.json", "diffusion_pytorch_model.safetensors"]),
        ("vae", &["config.json", "diffusion_pytorch_model.safetensors"]),
    ] {
        for file in files {
            let bytes = fs::read(repository("models/ltxv-tiny").join(name).join(file)).expect("it is there");
            save(folder, &format!("{name}/{file}"), &bytes);
        }
    }
    text(folder)
}

#[test]
fn what_a_pipelines_folder_states_counts_or_is_said() {
    let folder = scratch();
    let whole = pipeline(folder.path());
    let flags = [("model", &*whole), ("text-encoder", &*whole)];
    let (said, plain) = generated(&flags);
    assert!(!said.contains("scheduler"), "{said}");
    assert_eq!(plain, with(&text(&repository("models/ltxv-tiny/text_encoder"))));

    save(folder.path(), "scheduler/scheduler_config.json", br#"{"prediction_type": "epsilon", "shift": 1}"#);
    let (said, frames) = generated(&flags);
    assert_says(&said, &["scheduler_config.json", "prediction_type"]);
    assert_eq!(frames, plain);
    save(folder.path(), "scheduler/scheduler_config.json", b"{");
    assert_says(&generated(&flags).0, &["scheduler_config.json", "no JSON"]);

    // Two tokenizers of one encoder are one vocabulary.
    let bytes = fs::read(repository("models/ltxv-tiny/tokenizer/tokenizer.json")).expect("a tokenizer");
    save(folder.path(), "text_encoder/tokenizer.json", &bytes);
    assert_eq!(generated(&flags).1, plain);
    let mut other: Value = serde_json::from_slice(&bytes).expect("JSON");
    let pieces = other["model"]["vocab"].as_array_mut().expect("a list");
    pieces.swap(10, 11);
    save(folder.path(), "text_encoder/tokenizer.json", other.to_string().as_bytes());
    assert_says(&refused(&flags), &["tokenizer.json", "token 10", "take one of them away"]);
    fs::remove_file(folder.path().join("text_encoder/tokenizer.json")).expect("it is there");

    let config = fs::read_to_string(folder.path().join("text_encoder/config.json")).expect("a configuration");
    let twice = config.replacen('{', r#"{"d_model": 7, "#, 1);
    save(folder.path(), "text_encoder/config.json", twice.as_bytes());
    assert_says(&refused(&flags), &["config.json", "d_model is stated twice"]);
    save(folder.path(), "text_encoder/config.json", config.as_bytes());
    let index = fs::read_to_string(folder.path().join("model_index.json")).expect("an index");
    save(folder.path(), "model_index.json", index.replace("AutoencoderKLLTXVideo", "AutoencoderTiny").as_bytes());
    assert_says(&refused(&flags), &["model_index.json", "vae", "AutoencoderTiny"]);
}

#[test]
fn settings_beside_a_tokenizer_are_obeyed_or_refused() {
    let bytes = fs::read(repository("models/ltxv-tiny/text_encoder/config.json")).unwrap();
    let folder = scratch();
    let file = stating(folder.path(), &serde_json::from_slice(&bytes).unwrap(), None);
    save(folder.path(), "tokenizer_config.json", br#"{"sp_model_kwargs": {"alpha": 0.1, "enable_sampling": true}}"#);
    let said = refused(&[("model", &model()), ("text-encoder", &file)]);
    assert_says(&said, &["tokenizer_config.json", "sp_model_kwargs"]);
}
