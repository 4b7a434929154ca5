//! Text encoders, manifests and golden cases with one fault each.
//!
//! Must not know checkpoints.

use crate::support::files::{gemma, models, paths_in, repository};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Makes the folder called `name` at `at`.
///
/// # Panics
/// Nothing is called so.
pub(super) fn make(at: &Path, name: &str) {
    fs::create_dir(at).expect("a new folder");
    match name {
        "gemma-config" => gemma_but(at, || write(at, "config.json", "this is not JSON")),
        "gemma-other" => gemma_but(at, || write(at, "config.json", r#"{"model_type": "llama"}"#)),
        "gemma-no-config" => gemma_but(at, || remove(at, "config.json")),
        "gemma-no-tokenizer" => gemma_but(at, || remove(at, "tokenizer.json")),
        "gemma-tokenizer" => gemma_but(at, || write(at, "tokenizer.json", "{}")),
        "gemma-no-weights" => gemma_but(at, || remove(at, "model.safetensors")),
        "gemma-shard" => gemma_but(at, || {
            let map = json!({"model.embed_tokens.weight": "model-00002-of-00002.safetensors"});
            write(at, "model.safetensors.index.json", &json!({"metadata": {}, "weight_map": map}).to_string());
        }),
        "no-manifests" => {}
        "broken-manifest" => write(at, "broken.toml", "name = 1\n"),
        // Of a model whose files nobody put beside it.
        "manifests" => copy(Path::new(&models()).join("ltx-2.3-dev.toml").as_path(), at),
        "case-text" => write(at, "case.json", "this is not JSON"),
        "case-format" => case(at, |case| case["format"] = json!("ltx-golden/9")),
        "case-index" => case(at, |case| case["images"][0]["frame_index"] = json!(17)),
        _ => panic!("nothing is called {name}"),
    }
}

fn gemma_but(at: &Path, change: impl FnOnce()) {
    paths_in(Path::new(&gemma())).iter().for_each(|file| copy(file, at));
    change();
}

/// A golden case of 17 frames.
fn case(at: &Path, change: impl FnOnce(&mut Value)) {
    let file = repository("crates/ltx-testkit/data/i2v_distilled/case.json");
    let mut case = serde_json::from_slice(&fs::read(file).expect("a golden case")).expect("JSON");
    change(&mut case);
    write(at, "case.json", &case.to_string());
}

fn copy(file: &Path, folder: &Path) {
    fs::copy(file, folder.join(file.file_name().expect("a file"))).expect("room for a file");
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("room for a file");
}

fn remove(folder: &Path, name: &str) {
    fs::remove_file(folder.join(name)).expect("a file that was there");
}
