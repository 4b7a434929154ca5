//! What shapes say is what the files state: the tiny model's, the small one's, and the published 22B's by its list of keys.
//!
//! Must not know how shapes are read.

use super::*;
use crate::{
    architecture::Architecture, diffusers::official, transformer::TransformerConfig, video_vae::VideoVaeConfig,
};
use ltx_testkit::open;
use serde_json::json;
use std::collections::BTreeMap;

struct Listed(BTreeMap<String, Vec<usize>>);

impl Keys for Listed {
    fn shape_of(&self, key: &str) -> Option<&[usize]> {
        self.0.get(key).map(Vec::as_slice)
    }

    fn has_prefix(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    fn all(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.keys().map(String::as_str))
    }
}

fn of_file(name: &str) -> (Listed, Value) {
    let set = open(name);
    let shape = |key: &str| (key.to_owned(), set.shape_of(key).unwrap().to_vec());
    (Listed(set.keys().map(shape).collect()), set.config().unwrap())
}

fn published_keys(model: &str) -> (Listed, Value) {
    let root = ltx_testkit::tiny("../facts");
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(root.join(name)).unwrap()).unwrap() };
    let manifest = read(&format!("{model}.manifest.json"));
    let shape = |entry: &Value| -> Vec<usize> { serde_json::from_value(entry[1].clone()).unwrap() };
    let mut keys = BTreeMap::new();
    for (key, entry) in manifest.as_object().unwrap() {
        // One key with `{48}` in it stands for each number below 48.
        let folded = key.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
        let numbers = folded.map_or(1, |(_, (count, _))| count.parse().unwrap());
        keys.extend((0..numbers).map(|number: usize| {
            let key = folded.map_or_else(|| key.clone(), |(head, (_, tail))| format!("{head}{number}{tail}"));
            (key, shape(entry))
        }));
    }
    (Listed(keys), read(&format!("{model}.config.json")))
}

fn same((keys, stated): (Listed, Value), text_width: Option<usize>) {
    let derived =
        json!({"transformer": transformer_section(&keys, text_width).unwrap(), "vae": vae_section(&keys).unwrap()});
    let [found, expected] = [&derived, &stated].map(|config| Architecture::from_config(config, &keys).unwrap());
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn the_tiny_models_configuration_is_what_its_shapes_say() {
    same(of_file("ltx-2.3-tiny-dev.safetensors"), Some(48));
}

#[test]
fn the_small_models_configuration_is_what_its_shapes_say() {
    same(of_file("../small/ltx-2.3-small.safetensors"), Some(64));
}

#[test]
fn the_published_configuration_is_what_its_shapes_say() {
    same(published_keys("ltx-2.3-22b"), None);
    let (keys, mut stated) = published_keys("ltx-2-19b");
    // No noise, which other configurations do not state.
    for block in stated["vae"]["decoder_blocks"].as_array_mut().unwrap() {
        block[1].as_object_mut().unwrap().remove("inject_noise");
    }
    same((keys, stated), None);
}

#[test]
fn heads_of_another_width_than_the_published_ltx_2s_are_not_known() {
    let narrow = of_file("../tiny-2/ltx-2.0-tiny-dev.safetensors").0;
    assert_eq!(Family::shown_by(&narrow), Some(Family::Ltx2));
    let error = transformer_section(&narrow, None).unwrap_err().to_string();
    assert!(error.contains("the width of LTX-2's transformer is 64"), "{error}");
}

#[test]
fn a_refusal_says_whether_a_tensor_or_a_number_is_lacking() {
    let narrow = of_file("../tiny-2/ltx-2.0-tiny-dev.safetensors").0;
    let lack = Lack::of(&transformer_section(&narrow, None).unwrap_err());
    assert_eq!(lack, Some(Lack::Number("the width of LTX-2's transformer is 64".into())));
    let mut keys = of_file("ltx-2.3-tiny-dev.safetensors").0;
    let key = "model.diffusion_model.patchify_proj.weight";
    let of = |keys: &Listed| Lack::of(&transformer_section(keys, None).unwrap_err());
    keys.0.insert(key.into(), vec![3]);
    assert_eq!(of(&keys), Some(Lack::Tensor(format!("the shape of {key} is [3]"))));
    keys.0.remove(key);
    assert_eq!(of(&keys), Some(Lack::Tensor(format!("the key {key} is absent"))));
    assert_eq!(Lack::of(&NnError::unsupported("rope_type", "odd", "split")), None);
}

#[test]
fn keys_show_the_family() {
    for (file, family) in [
        ("ltx-2.3-tiny-dev.safetensors", Family::Ltx23),
        ("../tiny-2.5/ltx-2.5-tiny-transformer.safetensors", Family::Ltx25),
        ("../tiny-2/ltx-2.0-tiny-dev.safetensors", Family::Ltx2),
        ("../ltxv-tiny/transformer/diffusion_pytorch_model.safetensors", Family::Ltxv098),
    ] {
        let set = open(file);
        let keys = Listed(set.keys().map(|key| (key.to_owned(), set.shape_of(key).unwrap().to_vec())).collect());
        assert_eq!(Family::shown_by(&keys), Some(family), "{file}");
    }
}

#[test]
fn what_does_not_show_the_family_has_no_configuration() {
    let without = |key: &str| {
        let (mut keys, _) = of_file("ltx-2.3-tiny-dev.safetensors");
        keys.0.remove(key).unwrap();
        transformer_section(&keys, None).unwrap_err().to_string()
    };
    let root = "model.diffusion_model.";
    for key in [
        "prompt_adaln_single.linear.weight",
        "transformer_blocks.0.attn1.to_gate_logits.weight",
        "patchify_proj.weight",
    ] {
        let key = format!("{root}{key}");
        let found = without(&key);
        assert!(found.contains(&key) && found.contains("add the configuration .json"), "{found}");
    }
    let (mut keys, _) = of_file("ltx-2.3-tiny-dev.safetensors");
    keys.0.insert("vae.decoder.conv_out.conv.weight".into(), vec![47, 4, 3, 3, 3]);
    assert!(vae_section(&keys).unwrap_err().to_string().contains("47"));
    keys.0.insert("vae.decoder.up_blocks.1.conv.conv.weight".into(), vec![0, 0, 0, 0, 0]);
    assert!(vae_section(&keys).is_err());
}

/// Official keys of a file of diffusers' LTX-Video.
fn keys_of(part: &str) -> Listed {
    let set = open(&format!("../ltxv-tiny/{part}/diffusion_pytorch_model.safetensors"));
    Listed(set.keys().map(|key| (key.to_owned(), set.shape_of(key).unwrap().to_vec())).collect())
}

#[test]
fn ltx_video_is_known_by_its_keys_and_its_vae_by_its_shapes() {
    let keys = keys_of("vae");
    let file = ltx_testkit::tiny("../ltxv-tiny/vae/config.json");
    let stated = official(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).unwrap();
    let derived = vae_section(&keys).unwrap();
    let [found, expected] = [&derived, &stated["vae"]].map(|vae| VideoVaeConfig::from_json(vae).unwrap());
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    // Its transformer is narrower than any that is published, so the heads are not known.
    let narrow = transformer_section(&keys_of("transformer"), None).unwrap_err().to_string();
    assert!(narrow.contains("the width of the transformer") && narrow.contains("64"), "{narrow}");
}

/// The tiny transformer's keys with the sides that the published 2B has.
fn of_2b() -> Listed {
    let side = |length: usize| match length {
        64 => 2048,
        32 => 4096,
        8 => 128,
        256 => 256,
        384 => 6 * 2048,
        other => other,
    };
    let keys = keys_of("transformer").0.into_iter();
    Listed(keys.map(|(key, shape)| (key, shape.into_iter().map(side).collect())).collect())
}

#[test]
fn the_published_ltx_video_is_what_its_shapes_say() {
    let section = transformer_section(&of_2b(), None).unwrap();
    let config = TransformerConfig::from_json(&section).unwrap();
    assert_eq!((config.num_layers, config.num_attention_heads, config.attention_head_dim), (3, 32, 64));
    assert_eq!((config.in_channels, config.caption_projection, config.adaln_rows()), (128, Some(4096), 6));
    assert_eq!(config.positional_embedding_max_pos, [20.0, 2048.0, 2048.0]);
}

#[test]
fn a_stripped_ltx_2_is_no_ltx_video() {
    assert!(Family::has_no_text_part(&of_2b()) && Family::has_no_text_part(&keys_of("vae")));
    let with = |key: &str, shape: &[usize]| {
        let mut keys = of_2b();
        keys.0.insert(key.to_owned(), shape.to_vec());
        Family::has_no_text_part(&keys)
    };
    let root = "model.diffusion_model.";
    assert!(!with(&format!("{root}caption_projection.linear_1.weight"), &[4096, 3840]), "as wide as Gemma 3");
    assert!(!with(&format!("{root}av_ca_a2v_gate_adaln_single.linear.bias"), &[2048]));
    assert!(!with(&format!("{root}video_embeddings_connector.learnable_registers"), &[128, 3840]));
    assert!(!with("vae.decoder.conv_in.conv.weight", &[1024, 128, 3, 3, 3]), "its decoder is told no timestep");
    assert!(with("vae.decoder.last_time_embedder.timestep_embedder.linear_1.bias", &[256]));
    // What is stated decides.
    let stated = |class: &str| Family::states_no_text_part(&json!({ "transformer": { "_class_name": class } }));
    assert_eq!((stated("AVTransformer3DModel"), stated("Transformer3DModel")), (Some(false), Some(true)));
    assert_eq!(Family::states_no_text_part(&json!({ "vae": {} })), None);
}
