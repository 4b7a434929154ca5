//! What files state beside weights, in sidecars, folders and headers: obeyed, said or refused by name.
//!
//! Must not know how frames are made.

use ltx_pipeline::{Engine, EngineOptions, inspect, left_alone_in, resolved};
use ltx_testkit::tiny;
use ltx_types::ModelFiles;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A copy of a folder, with the folders in it.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let other = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copied(&path, &other);
        } else {
            fs::copy(&path, &other).unwrap();
        }
    }
}

fn copy_of(folder: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copied(&tiny(folder), copy.path());
    copy
}

/// Changes a file of JSON.
fn change(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut json);
    fs::write(file, json.to_string()).unwrap();
}

fn notes(path: &Path) -> Vec<String> {
    inspect(path).unwrap().notes
}

fn refusal(path: &Path) -> String {
    ltx_types::sentence(&inspect(path).expect_err("it is refused"))
}

fn files(checkpoint: PathBuf, text_encoder: PathBuf) -> ModelFiles {
    ModelFiles { checkpoint, components: vec![], text_encoder, upscaler: None, loras: vec![] }
}

/// What an engine says of files.
fn said_of(files: &ModelFiles) -> Vec<String> {
    Engine::open(files, EngineOptions::default()).unwrap().notes().map(str::to_owned).collect()
}

fn only(notes: &[String], parts: &[&str]) {
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(parts.iter().all(|part| notes[0].contains(part)), "{parts:?}: {notes:?}");
}

#[test]
fn components_that_a_pipeline_names_are_read_said_or_refused() {
    let copy = copy_of("../ltxv-tiny");
    let folder = copy.path();
    assert_eq!(notes(folder), [] as [&str; 0]);
    let index = folder.join("model_index.json");
    change(&index, |index| {
        index["image_encoder"] = json!(["transformers", "CLIPVisionModel"]);
        index["is_distilled"] = json!(true);
        index["feature_extractor"] = json!([null, null]);
    });
    let files = files(folder.to_owned(), folder.to_owned());
    for notes in [notes(folder), said_of(&files)] {
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].contains("model_index.json: image_encoder is") && notes[0].contains("left alone"),
            "{notes:?}"
        );
        assert!(notes[1].contains("is_distilled is true: not known here"), "{notes:?}");
    }
    change(&index, |index| index["tokenizer"] = json!(["transformers", "LlamaTokenizer"]));
    let said = refusal(folder);
    assert!(
        said.contains("model_index.json") && said.contains("tokenizer") && said.contains("LlamaTokenizer"),
        "{said}"
    );
}

#[test]
fn an_index_of_a_pipelines_weights_counts() {
    let copy = copy_of("../ltxv-tiny");
    let part = copy.path().join("transformer");
    let weights = part.join("diffusion_pytorch_model.safetensors");
    let shard = part.join("diffusion_pytorch_model-00001-of-00001.safetensors");
    fs::rename(&weights, &shard).unwrap();
    // Another file in the folder is none of its weights.
    fs::copy(copy.path().join("text_encoder/model.safetensors"), part.join("other.safetensors")).unwrap();
    let index = part.join("diffusion_pytorch_model.safetensors.index.json");
    let write = |metadata: Value| {
        let map = json!({"proj_in.weight": shard.file_name().unwrap().to_str().unwrap()});
        fs::write(&index, json!({"metadata": metadata, "weight_map": map}).to_string()).unwrap();
    };
    write(json!({"total_size": 5, "mood": "calm"}));
    assert!(inspect(copy.path()).unwrap().report.is_complete());
    let notes = notes(copy.path());
    for part in ["metadata.mood is calm", "metadata.total_size is 5", "other.safetensors: no tensor is placed in it"] {
        assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:?}");
    }
    write(json!({"lora_scale": 0.5}));
    assert!(refusal(copy.path()).contains("metadata.lora_scale"));
}

#[test]
fn files_of_a_folder_that_are_no_parts_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(tiny("ltx-2.3-tiny-dev.safetensors"), path("model.safetensors")).unwrap();
    let files = files(folder.path().to_owned(), tiny("gemma"));
    let left = |files: &ModelFiles| left_alone_in(files, &resolved(files).unwrap());
    assert_eq!(left(&files), [] as [&str; 0]);
    fs::copy(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors"), path("upscaler.safetensors")).unwrap();
    for notes in [left(&files), notes(folder.path())] {
        only(&notes, &["upscaler.safetensors: no parts of this checkpoint, and left alone"]);
    }
    let named = ModelFiles { upscaler: Some(path("upscaler.safetensors")), ..files };
    assert_eq!(left(&named), [] as [&str; 0]);
}

#[test]
fn a_t5_without_a_configuration_says_what_it_is_taken_for() {
    let copy = copy_of("../ltxv-tiny");
    let text = copy.path().join("text_encoder");
    assert_eq!(notes(&text), [] as [&str; 0]);
    fs::remove_file(text.join("config.json")).unwrap();
    let taken = [
        "model.safetensors: states no configuration; that of T5 v1.1",
        "relative_attention_max_distance 128",
        "layer_norm_epsilon 0.000001",
        "eos_token_id 1",
        "pad_token_id 0",
    ];
    only(&notes(&text.join("model.safetensors")), &taken);
    let files = files(copy.path().to_owned(), text.join("model.safetensors"));
    only(&said_of(&files), &taken);
    fs::write(text.join("config.json"), r#"{"model_type": "umt5"}"#).unwrap();
    let notes = notes(&text.join("model.safetensors"));
    assert!(notes.iter().any(|note| note.contains("no configuration of a T5 (umt5), and left alone")), "{notes:?}");
}

#[test]
fn what_a_tokenizer_puts_around_a_text_is_the_encoders_or_is_told() {
    let processor = |single: Value| {
        let ids = |word: &str, id: u32| json!({"id": word, "ids": [id], "tokens": [word]});
        json!({"type": "TemplateProcessing", "single": single, "pair": [],
            "special_tokens": {"<bos>": ids("<bos>", 2), "</s>": ids("</s>", 1)}})
    };
    let [text, bos, end] = [
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"SpecialToken": {"id": "<bos>", "type_id": 0}}),
        json!({"SpecialToken": {"id": "</s>", "type_id": 0}}),
    ];
    let [gemma, pipeline] = [copy_of("gemma"), copy_of("../ltxv-tiny")];
    let t5 = pipeline.path().join("text_encoder");
    for (path, tokenizer, usual) in [
        (gemma.path(), gemma.path().join("tokenizer.json"), "<bos> the text"),
        (&*t5, pipeline.path().join("tokenizer/tokenizer.json"), "the text </s>"),
    ] {
        assert_eq!(notes(path), [] as [&str; 0]);
        for lacking in [Value::Null, processor(json!([text]))] {
            change(&tokenizer, |file| file["post_processor"] = lacking);
            only(&notes(path), &["tokenizer.json: its post_processor makes the text", &format!("a prompt is {usual}")]);
        }
        change(&tokenizer, |file| file["post_processor"] = processor(json!([bos, text, end])));
        let said = refusal(path);
        for part in ["tokenizer.json", "post_processor makes <bos> the text </s>", &format!("supported: {usual}")] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

/// A copy of a file of weights whose header states more entries.
fn stating(from: &Path, to: &Path, entries: &[(&str, &str)]) {
    let bytes = fs::read(from).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: HashMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let metadata = header.entry("__metadata__".to_owned()).or_insert_with(|| json!({}));
    entries.iter().for_each(|(name, text)| metadata[*name] = json!(text));
    let header = serde_json::to_vec(&header).unwrap();
    let whole = [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat();
    fs::write(to, whole).unwrap();
}

#[test]
fn a_schedule_and_versions_that_change_nothing_here_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = tiny("ltx-2.3-tiny-dev.safetensors");
    let set = ltx_weights::TensorSet::open_file(&source).unwrap();
    let mut config = set.config().unwrap();
    config["scheduler"]["shifting"] = json!("SD3");
    stating(&source, &path("model.safetensors"), &[("config", &config.to_string())]);
    only(&notes(&path("model.safetensors")), &["model.safetensors", "scheduler", "shifting \"SD3\""]);

    let upscaler = tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors");
    for (stated, said) in
        [("2.3.1", None), ("0.9.7", Some("0.9.7, and the transformer counts as 2.3")), ("x", Some("no version"))]
    {
        stating(&upscaler, &path("upscaler.safetensors"), &[("model_version", stated)]);
        let named = ModelFiles { upscaler: Some(path("upscaler.safetensors")), ..files(source.clone(), tiny("gemma")) };
        match said {
            Some(said) => only(&said_of(&named), &["upscaler.safetensors", said]),
            None => assert_eq!(said_of(&named), [] as [&str; 0]),
        }
    }
}

#[test]
fn what_else_a_checkpoint_states_of_its_text_encoder_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("transformer.safetensors");
    let newer = |name: &str| tiny("../tiny-2.5").join(name);
    let source = json!({"ltx_version": "2.5.0", "gemma_version": "gemma4-12b-ltx-v1", "hidden_scale": 2});
    stating(&newer("ltx-2.5-tiny-transformer.safetensors"), &file, &[("gemma_source_checkpoint", &source.to_string())]);
    let text = newer("gemma4-tiny-with-proj.safetensors");
    let named = ModelFiles { components: vec![newer("ltx-2.5-tiny-video-vae-conv.safetensors")], ..files(file, text) };
    only(&said_of(&named), &["gemma_source_checkpoint states hidden_scale 2: not known here, and left alone"]);
}
