//! Blocks whose weights have 16 bits: where the memory holds them in f32, they stay so; where it does not, all of them stay in 16
//! bits, and the clip is the same.
//!
//! Must not know how they are multiplied.

use crate::support::{
    command::{DONE, ltxd, run},
    files::{checkpoint, models, scratch, text},
    request::good,
    safetensors::{File, Tensor},
};
use ltx_nn::Level;
use serde_json::Value;
use std::fs;

/// As many that they weigh more than the image encoder's activations.
const BLOCKS: usize = 200;

/// Matrices of zeros: with them a block adds nothing.
const LAST: [&str; 2] = ["to_out.0.", "ff.net.2."];

/// The tiny checkpoint with more blocks, which change nothing.
fn write_deep(to: &str) {
    let mut file = File::read(checkpoint());
    let mut config: Value = serde_json::from_str(file.metadata["config"].as_str().unwrap()).unwrap();
    let here = config["transformer"]["num_layers"].as_u64().unwrap() as usize;
    config["transformer"]["num_layers"] = BLOCKS.into();
    file.metadata.insert("config".into(), config.to_string().into());
    let of_first = |tensor: &&Tensor| tensor.key.contains(".transformer_blocks.0.");
    let first: Vec<Tensor> = file.tensors.iter().filter(of_first).cloned().collect();
    for block in here..BLOCKS {
        file.tensors.extend(first.iter().cloned().map(|mut tensor| {
            if LAST.iter().any(|last| tensor.key.contains(last)) {
                tensor.bytes.fill(0);
            }
            tensor.key = tensor.key.replace(".transformer_blocks.0.", &format!(".transformer_blocks.{block}."));
            tensor
        }));
    }
    fs::write(to, file.to_bytes()).unwrap();
}

/// The widest level on which bf16 is widened where there is room: tiles of AMX have it as it is stored.
fn without_tiles() -> &'static str {
    let levels = Level::available();
    levels.iter().rev().find(|level| !level.has_tiles()).expect("every processor has a level without").name()
}

#[test]
fn where_f32_has_no_room_all_blocks_stay_in_16_bits() {
    let folder = scratch();
    let deep = text(&folder.path().join("deep.safetensors"));
    write_deep(&deep);
    let tiny = good().with("width", 64).with("height", 64).with("out", folder.path().join("clip.mp4").display());
    let tiny = tiny.with("schedule", "distilled").without("models-dir");
    let tiny = tiny.with("text-encoder", format!("{}/tiny/gemma", models()));
    let made = |model: &str, more: &[&str]| {
        let mut words = tiny.clone().with("model", model).words();
        words.extend(["--json", "--cpu-level", without_tiles()].iter().chain(more).map(|word| (*word).to_owned()));
        run(ltxd(&words)).with(DONE).json()
    };
    let shallow = made(&checkpoint(), &[]);
    let roomy = made(&deep, &[]);
    let bytes = |summary: &Value, of: &str| summary["plan"][of].as_u64().unwrap();
    let denoising = roomy["plan"]["stages"].as_array().unwrap().iter().find(|need| need["stage"] == "denoising");
    let need: u64 =
        ["weights", "resident", "activations"].map(|of| denoising.unwrap()[of].as_u64().unwrap()).iter().sum();
    let needed = need + bytes(&roomy, "process");
    assert_eq!(needed, bytes(&roomy, "peak"), "{}", roomy["plan"]);
    let short = made(&deep, &[&format!("--memory={}", needed - 1)]);
    let blocks = |summary: &Value| {
        let blocks = &summary["plan"]["blocks"];
        (blocks["held"].as_u64().unwrap() as usize, blocks["compact"].as_bool().unwrap())
    };
    assert_eq!([blocks(&roomy), blocks(&short)], [(BLOCKS, false), (BLOCKS, true)], "{}", short["plan"]);
    assert!(bytes(&short, "peak") < needed, "{}", short["plan"]);
    assert_eq!([&roomy["frames_sha256"], &short["frames_sha256"]], [&shallow["frames_sha256"]; 2]);
}
