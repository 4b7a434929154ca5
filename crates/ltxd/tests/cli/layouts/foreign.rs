//! Other generations of LTX in each layout, and models of others: named as what they are by `inspect` and by a generation.
//!
//! Must not know how that is seen.

use super::{assert_says, inspected, refused};
use crate::support::{
    command::BAD_INPUT,
    files::{gemma, scratch, text},
    published::{ROOT, save, tiny, under, write, write_as},
    safetensors::Tensor,
};
use serde_json::{Map, json};
use test_case::test_case;

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

#[test]
fn a_later_generation_is_named_by_its_version_in_each_layout() {
    let (folder, title) = (scratch(), "LTX-2.6");
    let mut file = tiny();
    file.metadata.insert("model_version".into(), "2.6.0".into());
    let single = save(folder.path(), "single.safetensors", &file.to_bytes());
    assert_named(&single, title);
    let metadata = file.metadata.clone();
    assert_named(&write_as(folder.path(), "transformer.safetensors", under(&file, ROOT), metadata), title);
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
        ("ltx", "LTXLatentUpsamplePipeline", "diffusers layout of LTX-Video 0.9.x"),
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
