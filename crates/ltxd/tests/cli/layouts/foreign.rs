//! Other generations of LTX in each layout, and models of others: named as what they are by `inspect` and by a generation.
//!
//! Must not know how that is seen.

use super::{assert_says, inspected, refused};
use crate::support::{
    command::BAD_INPUT,
    files::{gemma, scratch, text},
    gguf::{self, Entry},
    published::{ROOT, save, tiny, under, write, write_as},
    safetensors::{File, Tensor},
};
use serde_json::{Map, json};
use test_case::test_case;

/// The tiny checkpoint as one of another generation: tensors and metadata.
fn as_of(generation: &str) -> File {
    let mut file = tiny();
    match generation {
        "2.6" => drop(file.metadata.insert("model_version".into(), "2.6.0".into())),
        _ => {
            let of_2 = ["to_gate_logits", "audio", "av_ca", "video_to_audio", "a2v", "connector", "projection"];
            file.tensors.retain(|tensor| !of_2.iter().any(|mark| tensor.key.contains(mark)));
            let config = json!({"transformer": {"_class_name": "Transformer3DModel"}, "vae": {"_class_name": "CausalVideoAutoencoder"}});
            file.metadata.insert("config".into(), config.to_string().into());
            file.metadata.remove("model_version");
        }
    }
    file
}

fn assert_named(file: &str, title: &str) {
    let said = refused(&[("model", file), ("text-encoder", &gemma())]);
    assert_says(&said, &[title, file]);
    for complaint in ["missing key", "unknown key", "has shape"] {
        assert!(!said.contains(complaint), "{said}");
    }
    let (said, first) = inspected(file, BAD_INPUT);
    assert!(first.contains(title), "{said}");
    assert!(!said.contains("unknown key"), "{said}");
}

#[test_case("2.6", "LTX-2.6"; "of 2 6")]
#[test_case("0.9.8", "LTX-Video 0.9.x"; "of 0 9")]
fn a_generation_is_named_in_each_layout(generation: &str, title: &str) {
    let folder = scratch();
    let file = as_of(generation);
    let single = save(folder.path(), "single.safetensors", &file.to_bytes());
    assert_named(&single, title);
    let transformer = under(&file, ROOT);
    let metadata = file.metadata.clone();
    assert_named(&write_as(folder.path(), "transformer.safetensors", transformer.clone(), metadata), title);
    if generation == "2.6" {
        // Its version alone tells it.
        return;
    }
    let architecture = [("general.architecture", Entry::Text("ltxv".into()))];
    assert_named(&save(folder.path(), "transformer.gguf", &gguf::file(&architecture, &transformer)), title);
}

#[test]
fn a_diffusers_layout_is_named_with_what_to_take() {
    let folder = scratch();
    let at = |name: &str, class: &str| {
        let file = save(
            folder.path(),
            &format!("{name}/model_index.json"),
            json!({"_class_name": class}).to_string().as_bytes(),
        );
        file.strip_suffix("/model_index.json").unwrap().to_owned()
    };
    for (name, class, title) in [
        ("ltx2", "LTX2Pipeline", "diffusers layout of an LTX-2 model"),
        ("ltx", "LTXConditionPipeline", "diffusers layout of LTX-Video 0.9.x"),
        ("wan", "WanPipeline", "diffusers layout of Wan"),
    ] {
        let layout = at(name, class);
        let said = refused(&[("model", &layout), ("text-encoder", &gemma())]);
        assert_says(&said, &[&layout, title, class, "take"]);
        assert!(!said.contains("os error"), "{said}");
        let (said, _) = inspected(&layout, BAD_INPUT);
        assert_says(&said, &[title]);
    }
    let renamed = |tensor: Tensor| {
        let names =
            [("adaln_single", "time_embed"), ("patchify_proj", "proj_in"), ("q_norm", "norm_q"), ("k_norm", "norm_k")];
        let key = names.iter().fold(tensor.key, |key, (official, theirs)| key.replace(official, theirs));
        Tensor { key, ..tensor }
    };
    let transformer: Vec<Tensor> = under(&tiny(), ROOT).into_iter().map(renamed).collect();
    let class = json!({"_class_name": "LTX2VideoTransformer3DModel"});
    let file = write(folder.path(), "ltx2/transformer/diffusion_pytorch_model.safetensors", transformer, None);
    save(folder.path(), "ltx2/transformer/config.json", class.to_string().as_bytes());
    assert_named(&file, "in the layout of diffusers");
    let component = text(&folder.path().join("ltx2/transformer"));
    assert_says(
        &refused(&[("model", &component), ("text-encoder", &gemma())]),
        &["LTX2VideoTransformer3DModel", "diffusers"],
    );
}

#[test_case(&["double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"], "Flux"; "flux")]
#[test_case(&["blocks.0.self_attn.q.weight", "blocks.0.cross_attn.q.weight"], "Wan"; "wan")]
#[test_case(&["double_blocks.0.img_attn_qkv.weight", "txt_in.individual_token_refiner.blocks.0.norm1.weight"], "HunyuanVideo"; "hunyuan")]
#[test_case(&["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion"; "stable diffusion")]
#[test_case(&["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"], "T5"; "t5")]
fn a_model_of_others_is_named(keys: &[&str], title: &str) {
    let folder = scratch();
    let tensor = |key: &&str| Tensor { key: (*key).into(), dtype: "F16".into(), shape: vec![1], bytes: vec![0; 2] };
    let file = write_as(folder.path(), "other.safetensors", keys.iter().map(tensor).collect(), Map::new());
    assert_named(&file, title);
}

#[test]
fn an_unknown_file_is_shown_by_its_keys() {
    let folder = scratch();
    let tensor = |key: &str| Tensor { key: key.into(), dtype: "F16".into(), shape: vec![1], bytes: vec![0; 2] };
    let keys = ["alpha.weight", "beta.0.weight", "beta.1.weight"];
    let file = write_as(folder.path(), "what.safetensors", keys.map(tensor).to_vec(), Map::new());
    let said = refused(&[("model", &file), ("text-encoder", &gemma())]);
    assert_says(&said, &["no LTX file", "alpha, beta"]);
}
