//! A node with the full-size model on the CPU, streamed: SERVING by `grpc.health.v1` before it has read its weights, in little
//! memory, and a small clip fits its budget.
//!
//! Must not know what is loaded when. Files are without their weights, so nothing can be generated.

use crate::support::{
    files::{gemma, scratch, start_picture, text},
    node::Node,
    sparse::Sparse,
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// Bytes that it reads until it serves, at most: a hundredth of the checkpoint. (The thread that computes digests may have begun.)
const LITTLE: u64 = 460 << 20;
/// Resident memory when it serves, at most.
const MOST: u64 = 400 << 20;

const MANIFEST: &str = r#"
name = "full"
family = "ltx-2.3"
version = "2.3.0"
licence = "none: there are no weights in it"
description = "The shapes of the real file."
files = { checkpoint = { path = "ltx.safetensors" }, text_encoder = { path = "gemma" } }
[defaults]
schedule = "distilled"
stages = 1
width = 768
height = 512
frames = 121
fps = 24.0
steps = 8
image_crf = 33
guidance = { cfg_scale = 3.0, stg_scale = 1.0, rescale_scale = 0.7, stg_blocks = [28] }
"#;

/// Sizes of Gemma-3 12B.
const WIDTH: u64 = 3840;
const INNER: u64 = 15360;
const LAYERS: u64 = 48;
const VOCABULARY: u64 = 262_208;
const HEADS: u64 = 16;
const KV_HEADS: u64 = 8;
const HEAD: u64 = 256;

/// Its keys and shapes.
fn gemma_tensors() -> Vec<(String, Vec<u64>)> {
    let root = "language_model.model";
    let mut tensors = vec![
        (format!("{root}.embed_tokens.weight"), vec![VOCABULARY, WIDTH]),
        (format!("{root}.norm.weight"), vec![WIDTH]),
    ];
    for layer in 0..LAYERS {
        let layer = format!("{root}.layers.{layer}");
        for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            tensors.push((format!("{layer}.{norm}_layernorm.weight"), vec![WIDTH]));
        }
        let (q, kv) = (HEADS * HEAD, KV_HEADS * HEAD);
        for (name, shape) in [
            ("self_attn.q_proj", vec![q, WIDTH]),
            ("self_attn.k_proj", vec![kv, WIDTH]),
            ("self_attn.v_proj", vec![kv, WIDTH]),
            ("self_attn.o_proj", vec![WIDTH, q]),
            ("self_attn.q_norm", vec![HEAD]),
            ("self_attn.k_norm", vec![HEAD]),
            ("mlp.gate_proj", vec![INNER, WIDTH]),
            ("mlp.up_proj", vec![INNER, WIDTH]),
            ("mlp.down_proj", vec![WIDTH, INNER]),
        ] {
            tensors.push((format!("{layer}.{name}.weight"), shape));
        }
    }
    tensors
}

/// A Gemma-3 12B folder without its weights, with the small model's tokenizer.
fn write_gemma(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let small = gemma();
    let small = |name: &str| fs::read(Path::new(&small).join(name)).unwrap();
    let mut config: Value = serde_json::from_slice(&small("config.json")).unwrap();
    for (key, value) in [
        ("hidden_size", WIDTH),
        ("intermediate_size", INNER),
        ("num_hidden_layers", LAYERS),
        ("vocab_size", VOCABULARY),
        ("num_attention_heads", HEADS),
        ("num_key_value_heads", KV_HEADS),
        ("head_dim", HEAD),
        ("query_pre_attn_scalar", HEAD),
    ] {
        config["text_config"][key] = json!(value);
    }
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), small("tokenizer.json")).unwrap();
    Sparse::new(&config, gemma_tensors()).write(&folder.join("model.safetensors"), 0);
}

/// Asks as any health checker does, again and again, until the node serves generations.
fn wait_until_it_serves(node: &Node) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let channel = tonic::transport::Endpoint::from_shared(node.address().to_owned()).unwrap();
    let channel = runtime.block_on(channel.connect()).unwrap();
    let service = "ltx.v1.GenerationService";
    node.wait_until("it served generations", || {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = runtime.block_on(HealthClient::new(channel.clone()).check(request));
        answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
    });
}

#[test]
fn the_full_size_model_is_served_before_it_is_read_and_in_little_memory() {
    let models = scratch();
    Sparse::ltx().write(&models.path().join("ltx.safetensors"), 0);
    write_gemma(&models.path().join("gemma"));
    fs::write(models.path().join("full.toml"), MANIFEST).unwrap();

    let folder = format!("--models-dir={}", text(models.path()));
    let node = Node::serve(&[folder, "--model=full".to_owned(), "--memory=12GiB".to_owned()]);
    wait_until_it_serves(&node);
    let (read, resident) = (node.read_bytes("digests"), node.resident());
    assert!((1..LITTLE).contains(&read), "{} MiB read until it served", read >> 20);
    assert!(resident < MOST, "{} MiB resident", resident >> 20);

    let image = start_picture();
    let small = ["--width=256", "--height=256", "--frames=9"];
    let verdict = &node.ask(&[&["check", "--image", &image, "--prompt", "A lake."], &small[..]].concat())[0];
    assert_eq!(verdict["estimate"]["fits"], true, "{verdict}");
}
