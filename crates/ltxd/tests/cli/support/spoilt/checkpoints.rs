//! Checkpoints and LoRA files with one fault each.
//!
//! Must not know the folders that a text encoder lies in.

use crate::support::{
    files::checkpoint,
    safetensors::{File, Tensor},
};
use serde_json::{Map, Value};
use std::fs;

/// The weight that is spoilt.
const KEY: &str = "model.diffusion_model.transformer_blocks.1.attn1.to_q.weight";
/// Its name where it has another.
const RENAMED: &str = "model.diffusion_model.transformer_blocks.1.attn1.to_queries.weight";
/// The layer that LoRA files are for.
const TARGET: &str = "transformer_blocks.1.attn1.to_q";

/// The bytes of the file called `name`; nothing for other names.
pub(super) fn bytes(name: &str) -> Option<Vec<u8>> {
    let whole = || fs::read(checkpoint()).expect("the tiny checkpoint");
    Some(match name {
        "text.safetensors" => {
            b"this is not a checkpoint, only a text file that is long enough to be read as one\n".to_vec()
        }
        "text.gguf" => b"this is not a checkpoint, only a text file that is named like one\n".to_vec(),
        "empty.safetensors" => Vec::new(),
        "header-only.safetensors" => whole()[..4096].to_vec(),
        "short.safetensors" => {
            let file = whole();
            file[..file.len() - 4096].to_vec()
        }
        "long.safetensors" => [whole(), vec![0; 64]].concat(),
        "renamed.safetensors" => changed(|file| file.tensor(KEY).key = RENAMED.to_owned()),
        "dropped.safetensors" => changed(|file| file.tensors.retain(|tensor| tensor.key != KEY)),
        "fp8.safetensors" => changed(|file| store_as(file, "F8_E8M0", 1)),
        "fp8-scale.safetensors" => changed(scale_all_but_one),
        "int.safetensors" => changed(|file| store_as(file, "I16", 2)),
        "part.safetensors" => changed(|file| file.tensors.retain(|tensor| !tensor.key.starts_with("vae."))),
        "no-config.safetensors" => changed(|file| drop(file.metadata.remove("config").expect("a configuration"))),
        "no-vae.safetensors" => changed(|file| remove_section(file, "vae")),
        "no-transformer.safetensors" => changed(|file| remove_section(file, "transformer")),
        "lora.safetensors" => lora(TARGET, [2, 64]),
        "lora-bent.safetensors" => lora(TARGET, [2, 65]),
        "lora-lost.safetensors" => lora("transformer_blocks.99.attn1.to_q", [2, 64]),
        _ => return None,
    })
}

fn changed(change: impl Fn(&mut File)) -> Vec<u8> {
    let mut file = File::read(checkpoint());
    change(&mut file);
    file.to_bytes()
}

/// One weight in another dtype of its own shape, as an fp8 or quantised checkpoint would hold it.
fn store_as(file: &mut File, dtype: &str, width: usize) {
    let tensor = file.tensor(KEY);
    tensor.dtype = dtype.to_owned();
    tensor.bytes.truncate(tensor.bytes.len() / 2 * width);
}

/// The file says that fp8 weights are scaled, and one is not.
fn scale_all_but_one(file: &mut File) {
    store_as(file, "F8_E4M3", 1);
    let key = "scaled_fp8".to_owned();
    file.tensors.push(Tensor { key, dtype: "F8_E4M3".to_owned(), shape: vec![1], bytes: vec![0] });
}

fn remove_section(file: &mut File, name: &str) {
    let config = file.metadata["config"].as_str().expect("a configuration");
    let mut config: Map<String, Value> = serde_json::from_str(config).expect("a configuration");
    config.remove(name).expect("a section of that name");
    file.metadata.insert("config".to_owned(), Value::Object(config).to_string().into());
}

/// A LoRA file with one pair for `target`, all zeros: `down` is its first matrix, the second gives 64 outputs.
fn lora(target: &str, down: [u64; 2]) -> Vec<u8> {
    let tensor = |role: &str, shape: [u64; 2]| Tensor {
        key: format!("diffusion_model.{target}.lora_{role}.weight"),
        dtype: "BF16".to_owned(),
        shape: shape.to_vec(),
        bytes: vec![0; 2 * (shape[0] * shape[1]) as usize],
    };
    File { metadata: Map::new(), tensors: vec![tensor("A", down), tensor("B", [64, down[0]])] }.to_bytes()
}
