//! What headers state: two files that state one entry differently, and entries that are known, refused or said.
//!
//! Must not know what an entry means.

use ltx_weights::{TensorSet, WeightsError};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde_json::json;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A safetensors file of one tensor with this header.
fn file(folder: &Path, name: &str, key: &str, metadata: &[(&str, &str)]) -> PathBuf {
    let bytes = [0; 8];
    let view = TensorView::new(Dtype::F32, vec![1, 2], &bytes).unwrap();
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    let path = folder.join(name);
    serialize_to_file([(key, view)], Some(metadata), &path).unwrap();
    path
}

/// A value of a GGUF header.
enum Value<'a> {
    Text(&'a str),
    Whole(u32),
    Texts(&'a [&'a str]),
}

/// A GGUF file without tensors with this header.
fn gguf(folder: &Path, name: &str, entries: &[(&str, Value<'_>)]) -> PathBuf {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes = [b"GGUF".to_vec(), 3u32.to_le_bytes().to_vec(), 0u64.to_le_bytes().to_vec()].concat();
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        bytes.extend(text(key));
        match value {
            Value::Text(words) => bytes.extend([8u32.to_le_bytes().to_vec(), text(words)].concat()),
            Value::Whole(number) => bytes.extend([4u32.to_le_bytes(), number.to_le_bytes()].concat()),
            Value::Texts(words) => {
                bytes.extend([9u32.to_le_bytes(), 8u32.to_le_bytes()].concat());
                bytes.extend((words.len() as u64).to_le_bytes());
                words.iter().for_each(|word| bytes.extend(text(word)));
            }
        }
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// The same file with a tensor of one value: its description stands behind the entries, its value at the end.
fn holding(file: &Path, key: &str) -> PathBuf {
    let mut bytes = fs::read(file).unwrap();
    bytes[8..16].copy_from_slice(&1u64.to_le_bytes());
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    bytes.extend([&(key.len() as u64).to_le_bytes()[..], key.as_bytes()].concat());
    bytes.extend([&1u32.to_le_bytes()[..], &1u64.to_le_bytes(), &0u32.to_le_bytes(), &0u64.to_le_bytes()].concat());
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend(1f32.to_le_bytes());
    fs::write(file, bytes).unwrap();
    file.to_owned()
}

/// Asserts that an error names both files, an entry and both values.
fn differs<T>(found: Result<T, WeightsError>, entry: &str, values: [&str; 2]) {
    let error = found.err().expect("it is refused");
    assert!(matches!(error, WeightsError::ConfigsDiffer { .. }), "{error}");
    let said = error.to_string();
    for part in ["first.", "second.", entry].into_iter().chain(values) {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn two_files_state_an_entry_alike_or_are_refused() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let both = |a: &[(&str, Value<'_>)], b: &[(&str, Value<'_>)]| {
        TensorSet::open_files(&[gguf(at, "first.gguf", a), gguf(at, "second.gguf", b)]).unwrap()
    };
    let set = both(
        &[("a.n", Value::Whole(8)), ("a.m", Value::Whole(1))],
        &[("a.n", Value::Whole(8)), ("a.k", Value::Text("x"))],
    );
    assert_eq!(set.metadata_under("a.").unwrap(), [("k", "x"), ("m", "1"), ("n", "8")]);
    assert_eq!(set.agreed("a.n").unwrap(), Some("8"));
    let set = both(&[("a.n", Value::Whole(8))], &[("a.n", Value::Whole(4))]);
    differs(set.metadata_under("a."), "a.n", ["8", "4"]);
    differs(set.agreed("a.n"), "a.n", ["8", "4"]);
    let (one, other) = (["a", "b"], ["a", "c"]);
    let set = both(&[("a.t", Value::Texts(&one))], &[("a.t", Value::Texts(&one))]);
    assert_eq!(set.texts("a.t").unwrap().unwrap(), one);
    let set = both(&[("a.t", Value::Texts(&one))], &[("a.t", Value::Texts(&other))]);
    differs(set.texts("a.t"), "a.t", ["a list of 2", "a list of 2"]);
    let json = |first: &str, second: &str| {
        let files = [
            file(at, "first.safetensors", "a", &[("gemma_config", first)]),
            file(at, "second.safetensors", "b", &[("gemma_config", second)]),
        ];
        TensorSet::open_files(&files).unwrap().json("gemma_config")
    };
    assert_eq!(json(r#"{"a": {"n": 8}}"#, r#"{"a": {"k": 1}}"#).unwrap(), Some(json!({"a": {"n": 8, "k": 1}})));
    differs(json(r#"{"a": {"n": 8}}"#, r#"{"a": {"n": 4}}"#), "a.n", ["8", "4"]);
}

#[test]
fn a_contradiction_names_the_file_that_states_the_entry() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let said = |files: &[PathBuf], entries: &[&str]| {
        let set = TensorSet::open_files(files).and_then(|set| set.with_entries_of_configs(entries));
        set.and_then(|set| set.config().map(drop)).unwrap_err().to_string()
    };
    let json = |name: &str, config: serde_json::Value| {
        fs::write(at.join(name), config.to_string()).unwrap();
        at.join(name)
    };
    let weights = file(at, "weights.safetensors", "a", &[("config", r#"{"vae": {"n": 1}}"#)]);
    // Two files of configuration, neither of them the first.
    let one = json("one.json", json!({"model_version": "2.3"}));
    let two = json("two.json", json!({"model_version": "2.5"}));
    let told = said(&[weights.clone(), one, two], &["model_version"]);
    assert!(told.contains("one.json") && told.contains("two.json") && !told.contains("weights"), "{told}");
    // A section that the first file says nothing of.
    let three = json("three.json", json!({"transformer": {"n": 1}}));
    let four = json("four.json", json!({"transformer": {"n": 2}}));
    let told = said(&[weights, three, four], &[]);
    assert!(told.contains("three.json") && told.contains("four.json") && !told.contains("weights"), "{told}");
}

#[test]
fn known_entries_say_nothing_new() {
    for (entry, text) in [
        ("format", "pt"),
        ("license", "LTX-2.x Community License"),
        ("encrypted_wandb_properties", "gAAAA"),
        ("modelspec.title", "LTX"),
        ("workflow", r#"{"nodes": [{"strength_model": 0.5}]}"#),
        ("lora_alpha", ""),
        ("causal_decoder", "null"),
        ("modelspec.architecture", "ltxv"),
        ("base_model", "Lightricks/LTX-2.3"),
        ("model_version", "2.3.0"),
        ("vae.model_version", "2.5.0"),
    ] {
        let folder = TempDir::new().unwrap();
        let set = TensorSet::open_file(&file(folder.path(), "a.safetensors", "a", &[(entry, text)])).unwrap();
        assert_eq!(set.check_entries().unwrap(), [] as [String; 0], "{entry}");
    }
}

#[test]
fn entries_that_sound_as_if_they_counted_are_refused() {
    for (entry, text) in [
        ("lora_scale", "0.5"),
        ("latent_scaling", "2"),
        ("quantization_config", r#"{"bits": 4}"#),
        ("transformer_config", r#"{"a": 1}"#),
        ("rope_alpha", "2"),
    ] {
        let folder = TempDir::new().unwrap();
        let set = TensorSet::open_file(&file(folder.path(), "a.safetensors", "a", &[(entry, text)])).unwrap();
        let said = set.check_entries().unwrap_err().to_string();
        assert!(
            said.contains("a.safetensors: header entry") && said.contains(entry) && said.contains("take it out"),
            "{said}"
        );
    }
}

#[test]
fn other_entries_are_said() {
    let folder = TempDir::new().unwrap();
    let entries = [("mood", "calm"), ("quant_format", "int8-convrot")];
    let set = TensorSet::open_file(&file(folder.path(), "a.safetensors", "a", &entries)).unwrap();
    let notes = set.check_entries().unwrap().join("\n");
    assert!(
        notes.contains("a.safetensors: header entry mood is calm: not known here") && notes.contains("quant_format"),
        "{notes}"
    );
}

#[test]
fn what_is_off_or_1_under_an_unknown_name_is_said() {
    let folder = TempDir::new().unwrap();
    for (entry, text) in
        [("scale", "1"), ("causal_decoder", "false"), ("vae_config", "none"), ("rope_alpha", "None"), ("mood", "False")]
    {
        let set = TensorSet::open_file(&file(folder.path(), "a.safetensors", "a", &[(entry, text)])).unwrap();
        let notes = set.check_entries().unwrap();
        let said = format!("a.safetensors: header entry {entry} is {text}: not known here, and left alone");
        assert!(notes.len() == 1 && notes[0].ends_with(&said), "{notes:?}");
    }
    let entries = [("general.architecture", Value::Text("ltxv")), ("ltxv.attention.scale", Value::Text("false"))];
    let notes = TensorSet::open_file(&gguf(folder.path(), "a.gguf", &entries)).unwrap().check_entries().unwrap();
    assert!(notes.len() == 1 && notes[0].contains("header entry ltxv.attention.scale is false: "), "{notes:?}");
}

#[test]
fn a_list_in_the_place_of_one_value_is_refused() {
    let folder = TempDir::new().unwrap();
    for entry in [
        "config",
        "gemma_config",
        "gemma_source_checkpoint",
        "tokenizer.huggingface.json",
        "tokenizer.ggml.model",
        "tokenizer.ggml.add_bos_token",
        "general.architecture",
        "general.quantization_version",
        "model_version",
        "vae.model_version",
    ] {
        let set = TensorSet::open_file(&gguf(folder.path(), "a.gguf", &[(entry, Value::Texts(&["2.5.0"]))])).unwrap();
        let said = set.check_entries().unwrap_err().to_string();
        assert!(said.contains(&format!("a.gguf: header entry {entry} is a list, supported: one value")), "{said}");
    }
    for value in [Value::Texts(&["32"]), Value::Text("64")] {
        let path = gguf(folder.path(), "a.gguf", &[("general.alignment", value)]);
        let said = TensorSet::open_file(&path).err().unwrap().to_string();
        assert!(said.contains("a.gguf") && said.contains("general.alignment: a "), "{said}");
    }
}

#[test]
fn an_entry_that_names_another_model_is_said() {
    let folder = TempDir::new().unwrap();
    let official = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight";
    for (key, entry, text) in [
        (official, "modelspec.architecture", "wan"),
        (official, "modelspec.prediction_type", "epsilon"),
        (official, "base_model", "gemma3"),
        ("model.norm.weight", "base_model_name", "llama"),
        ("model.norm.weight", "general.type", "adapter"),
    ] {
        let set = TensorSet::open_file(&file(folder.path(), "a.safetensors", key, &[(entry, text)])).unwrap();
        let notes = set.check_entries().unwrap();
        let said = format!("a.safetensors: header entry {entry} is {text}: ");
        assert!(notes.len() == 1 && notes[0].contains(&said), "{entry}: {notes:?}");
    }
    let entries = [("modelspec.architecture", "gemma3"), ("general.type", "model")];
    let set = TensorSet::open_file(&file(folder.path(), "a.safetensors", "model.norm.weight", &entries)).unwrap();
    assert_eq!(set.check_entries().unwrap(), [] as [String; 0]);
}

#[test]
fn a_tensor_is_described_by_its_type_its_shape_and_its_place_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.safetensors");
    let open = |more: &str| {
        let of = |place: &str, more: &str| format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":{place}{more}}}"#);
        let mut header = format!(r#"{{"first":{},"second":{}}}"#, of("[0,4]", ""), of("[4,8]", more)).into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], &header, &[0; 8]].concat()).unwrap();
        TensorSet::open_file(&path).map(drop)
    };
    open("").unwrap();
    for field in ["scale", "strides", "Dtype"] {
        let error = open(&format!(r#","{field}":[0.5]"#)).unwrap_err();
        assert!(matches!(&error, WeightsError::TensorField { key, .. } if key == "second"), "{error}");
        assert!(error.to_string().contains(&format!("a.safetensors: key second has a field {field} in")), "{error}");
    }
}

#[test]
fn a_gguf_states_what_is_known_or_is_refused() {
    let folder = TempDir::new().unwrap();
    let check = |entries: &[(&str, Value<'_>)]| {
        let own = [("general.architecture", Value::Text("ltxv"))];
        let entries: Vec<_> = own
            .into_iter()
            .chain(entries.iter().map(|(key, value)| {
                (
                    *key,
                    match value {
                        Value::Text(words) => Value::Text(words),
                        Value::Whole(number) => Value::Whole(*number),
                        Value::Texts(words) => Value::Texts(words),
                    },
                )
            }))
            .collect();
        TensorSet::open_file(&gguf(folder.path(), "a.gguf", &entries)).unwrap().check_entries()
    };
    let published = [
        ("general.quantization_version", Value::Whole(2)),
        ("general.file_type", Value::Whole(15)),
        ("general.quantized_by", Value::Text("Unsloth")),
        ("general.base_model.0.name", Value::Text("LTX 2.3")),
        ("general.tags", Value::Texts(&["video"])),
        ("quantize.imatrix.file", Value::Text("imatrix.dat")),
        ("mradermacher.quantize_version", Value::Whole(2)),
        ("license", Value::Text("LTX-2.x")),
        ("split.count", Value::Whole(1)),
    ];
    assert_eq!(check(&published).unwrap(), [] as [String; 0]);
    for (entry, value) in [
        ("general.quantization_version", Value::Whole(3)),
        ("ltxv.something", Value::Whole(5)),
        ("ltxv.scale", Value::Text("0.5")),
        ("_quantization_metadata", Value::Text("{}")),
        ("comfy.gguf.scale", Value::Text("0.5")),
        ("comfy.gguf.quantization", Value::Text("0.5")),
        ("tokenizer.ggml.scale", Value::Text("0.5")),
        ("general.lora_scale", Value::Text("0.5")),
    ] {
        let said = check(&[(entry, value)]).unwrap_err().to_string();
        assert!(said.contains("a.gguf: header entry") && said.contains(entry), "{said}");
    }
    for entry in ["mood", "comfy.gguf.mood", "version", "comfy.gguf.orig_shape.transformer_blocks.99.scale_shift_table"]
    {
        assert!(check(&[(entry, Value::Text("calm"))]).unwrap()[0].contains(entry));
    }
}

#[test]
fn an_architecture_that_no_model_here_has_is_said_or_refused() {
    let folder = TempDir::new().unwrap();
    let [transformer, vae] = ["transformer_blocks.0.attn1.to_q.weight", "vae.encoder.conv_in.conv.weight"];
    let check = |architecture: &str, tensor: &str| {
        let entries = [("general.architecture", Value::Text(architecture))];
        let path = holding(&gguf(folder.path(), "a.gguf", &entries), tensor);
        TensorSet::open_file(&path).unwrap().check_entries()
    };
    let official = format!("model.diffusion_model.{transformer}");
    for (architecture, tensor) in [
        ("ltxv", transformer),
        ("ltxv", official.as_str()),
        ("LTXV", transformer),
        ("ltx2", vae),
        ("gemma3", "blk.0.attn_q.weight"),
        ("t5encoder", "enc.blk.0.attn_q.weight"),
        ("gemma4_unified", "model.layers.0.mlp.up_proj.weight"),
    ] {
        assert_eq!(check(architecture, tensor).unwrap(), [] as [String; 0], "{architecture}: {tensor}");
    }
    for architecture in ["pig", "foo", "another_model"] {
        let said = check(architecture, transformer).unwrap().join("\n");
        assert!(
            said.contains(&format!("general.architecture is {architecture}: no model that is known here")),
            "{said}"
        );
    }
    for (architecture, tensor) in [("gemma3", official.as_str()), ("t5", vae), ("gemma4_unified", transformer)] {
        let said = check(architecture, tensor).unwrap_err().to_string();
        assert!(said.contains(&format!("general.architecture is {architecture}, supported: ltxv")), "{said}");
    }
}
