//! Other generations of LTX in each layout, and models of others: named as what they are by `inspect` and by a generation.
//!
//! Must not know how that is seen.

use super::{assert_says, generated, inspected, plain, refused};
use crate::support::{
    command::{BAD_INPUT, DONE},
    files::{checkpoint, gemma, repository, scratch, text},
    gguf::{self, Entry},
    published::{Parts, ROOT, data, parts, save, tiny, under, write, write_as},
    safetensors::{File, Tensor},
};
use serde_json::{Map, Value, json};
use std::path::Path;
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

/// The tiny checkpoint with this version and these entries of its configuration's section `transformer`.
fn stating(folder: &Path, version: &str, entries: &[(&str, Value)]) -> String {
    let mut file = tiny();
    file.metadata.insert("model_version".into(), version.into());
    let mut config = parts().config;
    for (entry, value) in entries {
        config["transformer"][*entry] = value.clone();
    }
    file.metadata.insert("config".into(), config.to_string().into());
    save(folder, "stating.safetensors", &file.to_bytes())
}

#[test]
fn a_file_of_2_5_with_an_older_configuration_is_named_in_each_layout() {
    let (folder, title) = (scratch(), "LTX-2.5");
    let whole = text(&data("generation-2.5.safetensors"));
    assert_named(&whole, "LTX-2.5 checkpoint");
    let file = File::read(&whole);
    let alone = under(&file, ROOT);
    assert_named(&write_as(folder.path(), "transformer.safetensors", alone.clone(), file.metadata.clone()), title);
    let config = file.metadata["config"].as_str().expect("a configuration").to_owned();
    let metadata = [("general.architecture", Entry::Text("ltxv".into())), ("config", Entry::Text(config.clone()))];
    assert_named(&save(folder.path(), "transformer.gguf", &gguf::file(&metadata, &alone)), title);
    // The configuration beside it.
    let bare = write_as(folder.path(), "bare.safetensors", file.tensors, Map::new());
    let beside = save(folder.path(), "config.json", config.as_bytes());
    let said = refused(&[("model", &bare), ("component", &beside), ("text-encoder", &gemma())]);
    assert_says(&said, &["LTX-2.5 checkpoint", "bare.safetensors", "keyframes_abs_pos_embedding", "that of LTX-2.3"]);
}

#[test]
fn a_transformer_is_named_by_its_gates_whatever_its_configuration_states() {
    let folder = scratch();
    let older = File::read(repository("models/tiny-2/ltx-2.0-tiny-dev.safetensors"));
    let newer = tiny();
    let alone = |name: &str, keys: &File, stated: &File| {
        write_as(folder.path(), name, under(keys, ROOT), stated.metadata.clone())
    };
    assert_named(&alone("older.safetensors", &older, &newer), "LTX-2 transformer");
    assert_named(&alone("newer.safetensors", &newer, &older), "LTX-2.3 transformer");
}

#[test]
fn a_text_encoder_of_another_generation_is_named_before_its_projection() {
    let encoder = text(&repository("models/tiny-2.5/gemma4-tiny-with-proj.safetensors"));
    for model in ["models/tiny/ltx-2.3-tiny-dev.safetensors", "models/tiny-2/ltx-2.0-tiny-dev.safetensors"] {
        let said = refused(&[("model", &text(&repository(model))), ("text-encoder", &encoder)]);
        assert_says(&said, &["Gemma-4 text encoder", &encoder, "needs Gemma 3"]);
        assert!(!said.contains("key text"), "{said}");
    }
}

#[test]
fn a_part_of_a_model_that_was_cut_into_files_is_named() {
    let folder = scratch();
    let blocks = tiny().tensors.into_iter().filter(|tensor| tensor.key.contains("transformer_blocks.2.")).collect();
    let name = "diffusion_pytorch_model-00003-of-00003.safetensors";
    assert_named(&write_as(folder.path(), name, blocks, Map::new()), "part 3 of 3 of a model that was cut into files");
}

#[test]
fn a_file_without_a_configuration_is_named_by_its_version_and_keys() {
    let folder = scratch();
    let newer = under(&File::read(data("generation-2.5.safetensors")), ROOT);
    let bare = write_as(folder.path(), "bare.safetensors", newer, Map::new());
    assert_named(&bare, "LTX-2.5 transformer without a configuration");
    let older = write_as(folder.path(), "older.safetensors", tiny().tensors, Map::new());
    assert_named(&older, "LTX-2.3 checkpoint without a configuration");
    let mut metadata = Map::new();
    metadata.insert("model_version".into(), "2.5.0".into());
    let stated = write_as(folder.path(), "stated.safetensors", tiny().tensors, metadata);
    assert_named(&stated, "LTX-2.5 checkpoint without a configuration");
}

#[test_case("2.5.0", "LTX-2.5 checkpoint"; "newer")]
#[test_case("v2.5.0-rc1", "LTX-2.5 checkpoint"; "a candidate of a newer one")]
#[test_case("ltx-2.5", "LTX-2.5 checkpoint"; "with its name")]
#[test_case("2.0.0", "LTX-2 checkpoint"; "older")]
#[test_case("0.9.8", "LTX-Video 0.9.8 checkpoint"; "the first")]
#[test_case("0.9.1", "LTX-Video 0.9.0–0.9.4 checkpoint"; "one that does not run")]
fn a_version_that_the_configuration_contradicts_names_the_file(version: &str, title: &str) {
    let folder = scratch();
    assert_named(&stating(folder.path(), version, &[]), title);
    // Stated by the file alone, and the configuration by another.
    let mut metadata = Map::new();
    metadata.insert("model_version".into(), version.into());
    let bare = write_as(folder.path(), "bare.safetensors", tiny().tensors, metadata);
    let beside = save(folder.path(), "config.json", parts().config.to_string().as_bytes());
    let said = refused(&[("model", &bare), ("component", &beside), ("text-encoder", &gemma())]);
    assert_says(&said, &["bare.safetensors", title.strip_suffix(" checkpoint").unwrap(), version]);
    // Shown by keys and shapes.
    let Parts { transformer, connectors, .. } = parts();
    let metadata =
        [("general.architecture", Entry::Text("ltxv".into())), ("model_version", Entry::Text(version.into()))];
    let gguf = save(folder.path(), "t.gguf", &gguf::file(&metadata, &[transformer, connectors].concat()));
    assert_named(&gguf, title.strip_suffix(" checkpoint").unwrap());
}

#[test]
fn a_mark_that_is_stated_or_there_names_the_file() {
    let folder = scratch();
    let mark = ("use_keyframes_abs_pos_embedding", json!(true));
    for version in ["2.5.0", "2.3.0"] {
        assert_named(&stating(folder.path(), version, std::slice::from_ref(&mark)), "LTX-2.5 checkpoint");
    }
    let said = refused(&[
        (
            "model",
            &stating(folder.path(), "2.5.0", &[mark, ("ff_bias", json!(false)), ("rope_type", json!("interleaved"))]),
        ),
        ("text-encoder", &gemma()),
    ]);
    assert_says(&said, &["LTX-2.5 checkpoint", "rope_type"]);
}

#[test]
fn a_vae_is_named_by_its_version_where_its_decoder_is_anothers() {
    let folder = scratch();
    let Parts { vae, config, .. } = parts();
    let stating = |version: &str| {
        let mut metadata = Map::new();
        metadata.insert("model_version".into(), version.into());
        metadata.insert("config".into(), json!({ "vae": config["vae"] }).to_string().into());
        write_as(folder.path(), &format!("vae-{version}.safetensors"), vae.clone(), metadata)
    };
    assert_named(&stating("0.9.8"), "LTX-Video 0.9.8 video VAE");
    inspected(&stating("2.5.0"), DONE);
}

/// LTX-Video 0.9.0 and 0.9.1: tensors of 0.9.8, and the configuration that they had.
fn older(folder: &Path, name: &str, version: Option<&str>, change: impl Fn(&mut Value)) -> String {
    let root = repository("models/ltxv-tiny");
    let read = |part: &str| File::read(root.join(part).join("diffusion_pytorch_model.safetensors")).tensors;
    let head = |head: &str, tensors: Vec<Tensor>| {
        tensors.into_iter().map(|tensor| Tensor { key: format!("{head}{}", tensor.key), ..tensor }).collect::<Vec<_>>()
    };
    let names = [
        ("proj_in.", "patchify_proj."),
        ("time_embed.", "adaln_single."),
        (".norm_q.", ".q_norm."),
        (".norm_k.", ".k_norm."),
    ];
    let official = |tensor: Tensor| {
        let key = names.iter().fold(tensor.key, |key, (theirs, official)| key.replace(theirs, official));
        Tensor { key, ..tensor }
    };
    let transformer = head(ROOT, read("transformer")).into_iter().map(official).collect::<Vec<_>>();
    let one = |key: &str| Tensor { key: key.into(), dtype: "BF16".into(), shape: vec![1], bytes: vec![0; 2] };
    let vae = [
        "vae.encoder.conv_in.conv.weight",
        "vae.decoder.conv_in.conv.weight",
        "vae.per_channel_statistics.mean-of-means",
    ];
    let mut config = json!({
        "transformer": {
            "_class_name": "Transformer3DModel", "num_layers": 3, "num_attention_heads": 4, "attention_head_dim": 16,
            "caption_channels": 32, "cross_attention_dim": 64, "in_channels": 8, "out_channels": 8, "norm_eps": 1e-6,
            "qk_norm": "rms_norm", "standardization_norm": "rms_norm", "positional_embedding_type": "rope",
            "activation_fn": "gelu-approximate", "positional_embedding_theta": 10_000.0, "causal_temporal_positioning": true,
            "positional_embedding_max_pos": [20, 2048, 2048], "timestep_scale_multiplier": 1000,
        },
        "vae": {
            "_class_name": "CausalVideoAutoencoder", "dims": 3, "in_channels": 3, "out_channels": 3, "latent_channels": 8,
            "blocks": [["res_x", 4], ["compress_all", 1], ["res_x_y", 1], ["res_x", 3]], "norm_layer": "pixel_norm",
            "patch_size": 4, "latent_log_var": "uniform", "use_quant_conv": false,
        },
    });
    change(&mut config);
    let mut metadata = Map::new();
    metadata.insert("config".into(), config.to_string().into());
    if let Some(version) = version {
        metadata.insert("model_version".into(), version.into());
    }
    write_as(folder, name, transformer.into_iter().chain(vae.map(one)).collect(), metadata)
}

#[test]
fn ltx_video_before_0_9_5_is_named_by_its_version_its_autoencoder_or_its_silence() {
    let (folder, title) = (scratch(), "LTX-Video 0.9.0–0.9.4 checkpoint");
    assert_named(&older(folder.path(), "v091.safetensors", Some("0.9.1"), |_| {}), title);
    assert_named(&older(folder.path(), "v090.safetensors", None, |_| {}), title);
    let silent = |config: &mut Value| {
        config["transformer"].as_object_mut().unwrap().remove("causal_temporal_positioning");
        config.as_object_mut().unwrap().remove("vae");
    };
    assert_named(&older(folder.path(), "silent.safetensors", None, silent), title);
    let one = |key: &str| Tensor { key: key.into(), dtype: "BF16".into(), shape: vec![1], bytes: vec![0; 2] };
    for key in ["encoder.down_blocks.1.conv.weight", "decoder.up_blocks.2.conv_shortcut.weight"] {
        let keys = [key, "encoder.conv_in.conv.weight", "per_channel_statistics.mean-of-means"];
        let vae = write_as(folder.path(), "vae.safetensors", keys.map(one).to_vec(), Map::new());
        assert_named(&vae, "LTX-Video 0.9.0–0.9.4 video VAE");
    }
}

#[test]
fn a_gguf_without_a_configuration_is_named_by_its_keys() {
    let folder = scratch();
    let gguf_of = |file: &str, name: &str| {
        let tensors = under(&File::read(repository(file)), ROOT);
        let tensors: Vec<_> = tensors.into_iter().filter(|tensor| tensor.shape.len() <= 4).collect();
        save(folder.path(), name, &gguf::file(&[("general.architecture", Entry::Text("ltxv".into()))], &tensors))
    };
    // Its heads are narrower than the published ones, so nothing tells their number.
    assert_named(
        &gguf_of("models/tiny-2/ltx-2.0-tiny-dev.safetensors", "two.gguf"),
        "LTX-2 transformer without a configuration",
    );
    let newer = gguf_of("models/tiny-2.5/ltx-2.5-tiny-transformer.safetensors", "newer.gguf");
    let (said, first) = inspected(&newer, DONE);
    assert!(first.contains("LTX-2.5 component"), "{said}");
    assert_says(&said, &["that of LTX-2.5, with the sizes of its tensors"]);
    assert!(!said.contains("that of LTX-2.3"), "{said}");
}

#[test]
fn versions_of_the_same_family_are_no_contradiction() {
    let folder = scratch();
    for version in ["2.3.1", "2.4.0", "v2.3"] {
        let file = stating(folder.path(), version, &[]);
        let image_crf = ("image-crf", "33");
        let made = generated(&[("model", &file), ("text-encoder", &gemma()), image_crf]).1;
        assert_eq!(made, generated(&[("model", &checkpoint()), ("text-encoder", &gemma()), image_crf]).1, "{version}");
    }
    let unread = stating(folder.path(), "final", &[]);
    let (said, frames) = generated(&[("model", &unread), ("text-encoder", &gemma())]);
    assert_eq!(frames, plain());
    assert_says(&said, &["stating.safetensors", "model_version", "final", "no version; taken for 2.3"]);
    assert_eq!(said.matches("final").count(), 1, "{said}");
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
