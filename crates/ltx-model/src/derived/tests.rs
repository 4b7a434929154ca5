//! What shapes say is what the files state: the tiny model's, the small one's, and the published 22B's by its list of keys.
//!
//! Must not know how shapes are read.

use super::*;
use crate::architecture::Architecture;
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

fn published_keys() -> (Listed, Value) {
    let root = ltx_testkit::tiny("../facts");
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(root.join(name)).unwrap()).unwrap() };
    let manifest = read("ltx-2.3-22b.manifest.json");
    let shape = |entry: &Value| -> Vec<usize> { serde_json::from_value(entry[1].clone()).unwrap() };
    let keys = manifest.as_object().unwrap().iter().map(|(key, entry)| (key.clone(), shape(entry))).collect();
    (Listed(keys), read("ltx-2.3-22b.config.json"))
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
    same(published_keys(), None);
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
