//! A text encoder as it comes: a folder in either spelling, a GGUF with its tokenizer in it, one file with a packed tokenizer.
//!
//! Must not know how text is cut.

use super::{assert_says, generated, inspected, plain, refused};
use crate::support::{
    command::DONE,
    files::{checkpoint, gemma, repository, scratch, text},
    gguf::{self, Entry},
    published::{data, llama_gguf, llama_metadata, llama_tensors, mmproj, one_file, one_file_pieces, save, write_as},
    safetensors::{File, Tensor},
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use test_case::test_case;

fn with(text_encoder: &str) -> (String, String) {
    generated(&[("model", &checkpoint()), ("text-encoder", text_encoder)])
}

fn refused_with(text_encoder: &str) -> String {
    refused(&[("model", &checkpoint()), ("text-encoder", text_encoder)])
}

/// The tiny Gemma's folder with this `config.json`.
fn folder_with(config: &[u8], folder: &Path) -> String {
    for name in ["model.safetensors", "tokenizer.json"] {
        fs::copy(Path::new(&gemma()).join(name), folder.join(name)).expect("room for a file");
    }
    save(folder, "config.json", config);
    text(folder)
}

#[test]
fn the_spelling_of_transformers_5_means_the_same() {
    let folder = scratch();
    let config = fs::read(data("gemma-transformers5-config.json")).unwrap();
    assert_eq!(with(&folder_with(&config, folder.path())).1, plain());
}

#[test_case(json!({"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 8.0}}}), &["rope_type", "yarn", "config.json"]; "another rope")]
#[test_case(json!({"attn_logit_softcapping": 50.0}), &["attn_logit_softcapping", "config.json"]; "a soft cap")]
#[test_case(json!({"something_new": 1}), &["something_new", "config.json"]; "an unknown entry")]
#[test_case(json!({"rope_theta": 5.0}), &["rope_theta", "1000000"]; "both spellings, not the same")]
fn entries_that_are_not_obeyed_are_refused(changes: Value, says: &[&str]) {
    let folder = scratch();
    let mut config: Value =
        serde_json::from_slice(&fs::read(data("gemma-transformers5-config.json")).unwrap()).unwrap();
    for (entry, value) in changes.as_object().unwrap() {
        config["text_config"][entry] = value.clone();
    }
    assert_says(&refused_with(&folder_with(config.to_string().as_bytes(), folder.path())), says);
}

#[test]
fn a_gguf_needs_nothing_beside_it() {
    let folder = scratch();
    for model in ["tiny", "small"] {
        let source = repository(&format!("models/{model}/gemma"));
        let file = save(folder.path(), &format!("{model}/gemma.gguf"), &llama_gguf(&source));
        let ltx = match model {
            "tiny" => checkpoint(),
            _ => text(&repository("models/small/ltx-2.3-small.safetensors")),
        };
        let made = |text_encoder: &str| generated(&[("model", &ltx), ("text-encoder", text_encoder)]).1;
        assert_eq!(made(&file), made(&text(&source)), "{model}");
    }
}

#[test]
fn what_lies_beside_a_gguf_agrees_or_is_refused() {
    let folder = scratch();
    let source = Path::new(&gemma()).to_owned();
    let file = save(folder.path(), "gemma.gguf", &llama_gguf(&source));
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(with(&file).1, plain());
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    save(folder.path(), "config.json", config.replace("8.0", "4.0").as_bytes());
    assert_says(&refused_with(&file), &["config.json", "gemma.gguf", "factor", "4", "8"]);
    save(folder.path(), "config.json", config.replace("gemma3", "llama").as_bytes());
    assert_eq!(with(&file).1, plain(), "another model's configuration is nobody's concern");
    let tokenizer = fs::read_to_string(source.join("tokenizer.json")).unwrap();
    fs::remove_file(folder.path().join("config.json")).unwrap();
    save(folder.path(), "tokenizer.json", tokenizer.replacen("\"\u{2581}a\": ", "\"\u{2581}QQ\": ", 1).as_bytes());
    assert!(tokenizer.contains("\"\u{2581}a\": "), "the tokenizer is written otherwise");
    assert_says(&refused_with(&file), &["tokenizer.json", "gemma.gguf"]);
}

/// The tiny Gemma's language model in two GGUF files, each with this metadata.
fn in_two(folder: &Path, first: &[(&str, Entry)], second: &[(&str, Entry)]) -> String {
    let mut tensors = llama_tensors(Path::new(&gemma()));
    let rest = tensors.split_off(tensors.len() / 2);
    save(folder, "g-00001-of-00002.gguf", &gguf::file(first, &tensors));
    save(folder, "g-00002-of-00002.gguf", &gguf::file(second, &rest));
    text(folder)
}

#[test]
fn files_that_state_different_configurations_are_refused_by_both_names() {
    let folder = scratch();
    let all = llama_metadata(Path::new(&gemma()));
    let only = [("general.architecture", Entry::Text("gemma3".into()))];
    assert_eq!(with(&in_two(folder.path(), &all, &all)).1, plain());
    assert_eq!(with(&in_two(folder.path(), &all, &only)).1, plain());
    assert_eq!(with(&in_two(folder.path(), &only, &all)).1, plain());
    for (key, value) in [
        ("gemma3.rope.scaling.factor", Entry::Real(4.0)),
        ("gemma3.attention.sliding_window", Entry::Whole(7)),
        ("tokenizer.ggml.bos_token_id", Entry::Whole(3)),
        ("tokenizer.ggml.scores", Entry::Reals(vec![0.0; 560])),
    ] {
        let mut other = all.clone();
        other.retain(|(name, _)| *name != key);
        other.push((key, value));
        for [first, second] in [[&all, &other], [&other, &all]] {
            let said = refused_with(&in_two(folder.path(), first, second));
            assert_says(&said, &["g-00001-of-00002.gguf", "g-00002-of-00002.gguf", key]);
        }
    }
}

/// The tiny Gemma's folder, its weights in files with this metadata, each with a part of the tensors.
fn stating(folder: &Path, files: &[&[(&str, &Value)]], beside: Option<&Value>) -> String {
    let whole = File::read(Path::new(&gemma()).join("model.safetensors"));
    let count = whole.tensors.len().div_ceil(files.len());
    for (number, (stated, tensors)) in files.iter().zip(whole.tensors.chunks(count)).enumerate() {
        let metadata = stated.iter().map(|(entry, config)| ((*entry).to_owned(), config.to_string().into())).collect();
        write_as(folder, &format!("model-{number}.safetensors"), tensors.to_vec(), metadata);
    }
    fs::copy(Path::new(&gemma()).join("tokenizer.json"), folder.join("tokenizer.json")).expect("room for a file");
    if let Some(config) = beside {
        save(folder, "config.json", config.to_string().as_bytes());
    }
    text(folder)
}

#[test]
fn every_place_that_states_a_configuration_states_the_same() {
    let config: Value = serde_json::from_slice(&fs::read(Path::new(&gemma()).join("config.json")).unwrap()).unwrap();
    let mut other = config.clone();
    other["text_config"]["rope_scaling"]["factor"] = json!(4.0);
    let five: Value = serde_json::from_slice(&fs::read(data("gemma-transformers5-config.json")).unwrap()).unwrap();
    let made = |files: &[&[(&str, &Value)]], beside: Option<&Value>| {
        let folder = scratch();
        with(&stating(folder.path(), files, beside)).1
    };
    let plain = plain();
    assert_eq!(made(&[&[("gemma_config", &config)], &[("gemma_config", &config)]], None), plain);
    assert_eq!(made(&[&[("gemma_config", &config), ("config", &five)]], None), plain);
    let refused = |files: &[&[(&str, &Value)]], beside: Option<&Value>| {
        let folder = scratch();
        refused_with(&stating(folder.path(), files, beside))
    };
    let said = refused(&[&[("gemma_config", &config)], &[("gemma_config", &other)]], None);
    assert_says(&said, &["model-0.safetensors", "model-1.safetensors", "rope_scaling.factor", "8", "4"]);
    let said = refused(&[&[("config", &config)], &[("config", &other)]], None);
    assert_says(&said, &["model-0.safetensors", "model-1.safetensors", "rope_scaling.factor"]);
    assert_says(&refused(&[&[("gemma_config", &config), ("config", &other)]], None), &["factor", "8", "4"]);
    assert_says(&refused(&[&[("gemma_config", &config)]], Some(&other)), &["config.json", "factor", "8", "4"]);
}

#[test]
fn a_gguf_that_says_nothing_of_scaling_is_said_to() {
    let folder = scratch();
    let source = Path::new(&gemma()).to_owned();
    let mut metadata = llama_metadata(&source);
    metadata.retain(|(name, _)| !name.starts_with("gemma3.rope.scaling."));
    let file = save(folder.path(), "gemma.gguf", &gguf::file(&metadata, &llama_tensors(&source)));
    let note = ["gemma.gguf", "gemma3.rope.scaling.factor", "taken as 1"];
    assert_says(&with(&file).0, &note);
    assert_says(&inspected(&file, DONE).0, &note);
    assert!(!with(&save(folder.path(), "whole.gguf", &llama_gguf(&source))).0.contains("rope.scaling"));
}

#[test_case(json!({"sp_model_kwargs": {"enable_sampling": true}}), "sp_model_kwargs"; "sampled pieces")]
#[test_case(json!({"add_something": true}), "add_something"; "something added")]
#[test_case(json!({"bos_token": "<pad>"}), "bos_token"; "another beginning")]
#[test_case(json!({"add_bos_token": false}), "add_bos_token"; "no beginning")]
fn settings_that_give_other_tokens_are_refused(settings: Value, entry: &str) {
    let folder = scratch();
    let config = fs::read(Path::new(&gemma()).join("config.json")).unwrap();
    let encoder = folder_with(&config, folder.path());
    save(folder.path(), "tokenizer_config.json", settings.to_string().as_bytes());
    assert_says(&refused_with(&encoder), &["tokenizer_config.json", entry]);
}

/// The tiny Gemma's folder, and what puts JSON beside its tokenizer.
fn tiny_folder(folder: &Path) -> (String, impl Fn(&str, Value) + '_) {
    let config = fs::read(Path::new(&gemma()).join("config.json")).unwrap();
    let put = |name: &str, value: Value| drop(save(folder, name, value.to_string().as_bytes()));
    (folder_with(&config, folder), put)
}

#[test]
fn tokens_that_are_named_beside_a_tokenizer_are_found_as_is_said() {
    let folder = scratch();
    let (encoder, put) = tiny_folder(folder.path());
    let plain = plain();
    put(
        "tokenizer_config.json",
        json!({"added_tokens_decoder": {"5": {"content": "<start_of_image>", "special": true}}}),
    );
    put("special_tokens_map.json", json!({"boi_token": {"content": "<start_of_image>", "lstrip": false}}));
    put("added_tokens.json", json!({"<start_of_image>": 5}));
    assert_eq!(with(&encoder).1, plain);
    // Where settings name all of them, older files count for nothing.
    put("added_tokens.json", json!({"<start_of_image>": 6}));
    assert_eq!(with(&encoder).1, plain);
    put("tokenizer_config.json", json!({}));
    put("added_tokens.json", json!({}));
    // A piece that stands in the prompt's words: they are cut at it now.
    put("special_tokens_map.json", json!({"additional_special_tokens": ["s"]}));
    assert_ne!(with(&encoder).1, plain);
    put("special_tokens_map.json", json!({}));
    put("added_tokens.json", json!({"<start_of_image>": 6}));
    assert_says(&refused_with(&encoder), &["added_tokens.json", "<start_of_image>", "token 6", "token 5"]);
    put("added_tokens.json", json!({}));
    put("tokenizer_config.json", json!({"extra_special_tokens": [{"content": "<new>"}]}));
    assert_eq!(with(&encoder).1, plain, "no prompt has it");
}

/// One safetensors file of the tiny Gemma that holds these files as tensors of bytes.
fn packing(folder: &Path, files: &[(&str, Vec<u8>)]) -> String {
    let mut tensors = File::read(Path::new(&gemma()).join("model.safetensors")).tensors;
    tensors.extend(files.iter().map(|(name, bytes)| Tensor {
        key: (*name).to_owned(),
        dtype: "U8".to_owned(),
        shape: vec![bytes.len() as u64],
        bytes: bytes.clone(),
    }));
    write_as(folder, "gemma.safetensors", tensors, serde_json::Map::new());
    text(&folder.join("gemma.safetensors"))
}

#[test]
fn what_is_packed_in_a_file_counts_as_what_lies_beside_it() {
    let folder = scratch();
    let of_tiny = |name: &str| fs::read(Path::new(&gemma()).join(name)).unwrap();
    let (config, tokenizer) = (of_tiny("config.json"), of_tiny("tokenizer.json"));
    let mut other: Value = serde_json::from_slice(&config).unwrap();
    other["text_config"]["rope_scaling"]["factor"] = json!(4.0);
    let other = other.to_string().into_bytes();
    let pieces = one_file_pieces();
    let whole = [("tokenizer_json", tokenizer.clone()), ("hf_asset__config.json", config.clone())];
    assert_eq!(with(&packing(folder.path(), &whole)).1, plain());
    assert_eq!(with(&packing(folder.path(), &[&whole[..], &[("spiece_model", pieces.clone())]].concat())).1, plain());

    let refused = |files: &[(&str, Vec<u8>)]| refused_with(&packing(folder.path(), &[&whole[..1], files].concat()));
    save(folder.path(), "config.json", &config);
    assert_says(
        &refused(&[("hf_asset__config.json", other)]),
        &["gemma.safetensors", "config.json", "factor", "4", "8"],
    );
    let settings = |settings: Value| [("hf_asset__tokenizer_config.json", settings.to_string().into_bytes())];
    let (said, frames) =
        with(&packing(folder.path(), &[&whole[..1], &settings(json!({"add_bos_token": false}))].concat()));
    assert_says(&said, &["hf_asset__tokenizer_config.json", "add_bos_token", "left alone"]);
    assert_eq!(frames, plain());
    let named = json!({"added_tokens_decoder": {"6": {"content": "<start_of_image>"}}});
    assert_says(&refused(&settings(named)), &["hf_asset__tokenizer_config.json", "token 6", "token 5"]);
    let mut swapped: Value = serde_json::from_slice(&tokenizer).unwrap();
    let vocabulary = swapped["model"]["vocab"].as_object_mut().unwrap();
    let id = vocabulary.remove("\u{2581}a").unwrap();
    vocabulary.insert("another".to_owned(), id);
    let both = [("tokenizer_json", swapped.to_string().into_bytes()), ("spiece_model", pieces)];
    assert_says(&refused_with(&packing(folder.path(), &both)), &["gemma.safetensors", "take one of them away"]);
}

#[test_case("tokenizer.ggml.model", Entry::Text("gpt2".into()); "another tokenizer")]
#[test_case("tokenizer.ggml.add_space_prefix", Entry::Truth(true); "a space in front")]
#[test_case("tokenizer.ggml.add_bos_token", Entry::Truth(false); "no bos")]
#[test_case("tokenizer.ggml.bos_token_id", Entry::Whole(100_000); "bos outside")]
#[test_case("tokenizer.ggml.scores", Entry::Reals(vec![0.0; 7]); "too few scores")]
#[test_case("tokenizer.ggml.token_type", Entry::Numbers(vec![9; 560]); "types that are none")]
#[test_case("tokenizer.ggml.tokens", Entry::Texts(vec!["a".into(); 560]); "tokens twice")]
#[test_case("tokenizer.ggml.tokens", Entry::Reals(vec![1.0]); "tokens that are no text")]
#[test_case("tokenizer.ggml.precompiled_charsmap", Entry::Numbers(vec![1]); "a map of letters")]
#[test_case("gemma3.rope.scaling.type", Entry::Text("yarn".into()); "another rope")]
#[test_case("gemma3.attention.key_length", Entry::Whole(7); "an odd head")]
#[test_case("gemma3.attn_logit_softcapping", Entry::Real(50.0); "a soft cap")]
#[test_case("gemma3.something_new", Entry::Whole(1); "an unknown entry")]
fn a_gguf_that_says_otherwise_is_refused_by_key(key: &str, entry: Entry) {
    let folder = scratch();
    let source = Path::new(&gemma()).to_owned();
    let mut metadata = llama_metadata(&source);
    metadata.retain(|(name, _)| *name != key);
    metadata.push((Box::leak(key.to_owned().into_boxed_str()), entry));
    let file = save(folder.path(), "gemma.gguf", &gguf::file(&metadata, &llama_tensors(&source)));
    let said = refused_with(&file);
    let named = key.rsplit('.').next().unwrap();
    assert!(said.contains(named) || said.contains("token"), "{said}");
    assert_says(&said, &["gemma.gguf"]);
}

#[test]
fn one_file_with_a_packed_tokenizer_is_enough_but_for_its_size() {
    let folder = scratch();
    let file = save(folder.path(), "gemma_3.safetensors", &one_file());
    assert_says(&refused_with(&file), &["gemma_3.safetensors", "7 layers of width 48", "12B", "config.json"]);
    fs::copy(Path::new(&gemma()).join("config.json"), folder.path().join("config.json")).unwrap();
    assert_eq!(with(&file).1, plain());
}

#[test]
fn what_sees_images_is_left_alone() {
    let folder = scratch();
    save(folder.path(), "zemma.gguf", &llama_gguf(Path::new(&gemma())));
    let vision = save(folder.path(), "mmproj-F16.gguf", &mmproj());
    assert_eq!(with(&text(folder.path())), (with(&text(folder.path())).0, plain()));
    assert_says(&with(&text(folder.path())).0, &["mmproj-F16.gguf", "left alone"]);
    let (said, _) = inspected(&text(folder.path()), DONE);
    assert_says(&said, &["mmproj-F16.gguf", "vision, left on disk"]);
    assert_says(&refused_with(&vision), &["mmproj-F16.gguf", "vision"]);
    assert_says(&refused(&[("model", &vision), ("text-encoder", &gemma())]), &["mmproj-F16.gguf", "vision"]);
    let component = [("model", &*checkpoint()), ("component", &*vision), ("text-encoder", &*gemma())];
    assert_eq!(generated(&component).1, plain());
    assert!(inspected(&vision, DONE).1.contains("vision"));
}
