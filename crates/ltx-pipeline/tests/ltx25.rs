//! LTX-2.5's own files: what each is, the text encoder that a checkpoint names, quantised Gemma 4, and what does not run here.

use candle_core::{Device, Tensor};
use ltx_engine::Run;
use ltx_nn::relative_l2;
use ltx_pipeline::{
    Engine, EngineOptions,
    golden::{GoldenCase, run_case},
    inspect, quantize,
};
use ltx_testkit::{data, tiny};
use ltx_types::{CancelToken, ModelFiles};
use ltx_weights::{MetaValue, Naming, QuantizeType, Recipe, TensorSet};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const TRANSFORMER: &str = "ltx-2.5-tiny-transformer.safetensors";
const VAE: &str = "ltx-2.5-tiny-video-vae-conv.safetensors";
const TEXT: &str = "gemma4-tiny-with-proj.safetensors";

fn newer(name: &str) -> PathBuf {
    tiny("../tiny-2.5").join(name)
}

fn files() -> ModelFiles {
    ModelFiles {
        checkpoint: newer(TRANSFORMER),
        components: vec![newer(VAE)],
        text_encoder: newer(TEXT),
        upscaler: None,
        loras: vec![],
    }
}

fn refusal(files: &ModelFiles) -> String {
    let error = Engine::open(files, EngineOptions::default()).err().expect("it is refused");
    ltx_types::causes(&error).map(|cause| cause.to_string()).collect::<Vec<_>>().join(": ")
}

/// A copy of a safetensors file with an entry of its metadata changed.
fn altered(from: &Path, to: &Path, (entry, value): (&str, &str)) -> PathBuf {
    changed(from, to, |metadata| metadata[entry] = json!(value))
}

/// The same with any change of its metadata.
fn changed(from: &Path, to: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let bytes = fs::read(from).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (text, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: Value = serde_json::from_slice(text).unwrap();
    change(&mut header["__metadata__"]);
    let header = header.to_string();
    fs::write(to, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()).unwrap();
    to.to_owned()
}

#[test]
fn each_file_is_what_it_is_to_the_last_key() {
    for (file, kind, used) in [
        (TRANSFORMER, "LTX-2.5 component", 135),
        (TEXT, "Gemma-4 text encoder, with the text projection of a checkpoint", 86),
        (VAE, "LTX-2.5 component", 74),
    ] {
        let found = inspect(&newer(file)).unwrap();
        assert!(found.kind.ends_with(kind), "{}", found.kind);
        assert!(found.report.is_complete(), "{file}: {}", found.report);
        assert_eq!(found.report.used_total().tensors, used, "{file}");
    }
    assert_eq!(inspect(&newer(TEXT)).unwrap().version.as_deref(), Some("gemma4-12b-ltx-v1"));
}

#[test]
fn images_are_compressed_as_the_vaes_version_says() {
    let crf = |files| Engine::open(&files, EngineOptions::default()).unwrap().rules().image_crf;
    let older = ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        components: vec![],
        text_encoder: tiny("gemma"),
        ..files()
    };
    let oldest = ModelFiles {
        checkpoint: tiny("../ltxv-tiny"),
        components: vec![],
        text_encoder: tiny("../ltxv-tiny/text_encoder"),
        ..files()
    };
    assert_eq!((crf(files()), crf(older), crf(oldest)), (Some(18), Some(33), Some(0)));
}

#[test]
fn a_checkpoint_runs_with_the_text_encoder_that_it_names_alone() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&files(), EngineOptions::default()).unwrap();
    assert_eq!(engine.architecture().family.name(), "ltx-2.5");
    let gemma3 = ModelFiles { text_encoder: tiny("gemma"), ..files() };
    assert!(refusal(&gemma3).contains("text projection missing"), "{}", refusal(&gemma3));
    let source = ("gemma_source_checkpoint", r#"{"gemma_version": "gemma4-12b-ltx-v1"}"#);
    let with_projection = newer("ltx-2.5-tiny-transformer-gemma3.safetensors");
    let named = altered(&with_projection, &folder.path().join("named.safetensors"), source);
    let said = refusal(&ModelFiles { checkpoint: named, ..gemma3.clone() });
    assert!(said.contains("is absent, supported: gemma4-12b-ltx-v1"), "{said}");
    let source = ("gemma_source_checkpoint", r#"{"gemma_version": "gemma4-12b-ltx-v2"}"#);
    let other = altered(&newer(TRANSFORMER), &folder.path().join("other.safetensors"), source);
    let said = refusal(&ModelFiles { checkpoint: other, ..files() });
    assert!(said.contains("is gemma4-12b-ltx-v1, supported: gemma4-12b-ltx-v2"), "{said}");
    let older = ModelFiles { checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"), components: vec![], ..files() };
    assert!(!refusal(&older).is_empty(), "Gemma 4 is no text encoder of LTX-2.3");
}

/// What converters for other programs make: the tensors, and nothing that the header stated.
#[test]
fn a_gguf_that_states_nothing_runs_with_a_json_that_names_its_text_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let set = TensorSet::open_file(&newer(TRANSFORMER)).unwrap();
    let checkpoint = folder.path().join("bare.gguf");
    let architecture = ("general.architecture".to_owned(), MetaValue::Text("ltxv".to_owned()));
    let (keep, metadata) = (vec![".weight".to_owned()], vec![architecture]);
    let recipe = Recipe { kind: QuantizeType::Bf16, keep, naming: Naming::Official, metadata };
    ltx_weights::quantize(&set, &checkpoint, &recipe, &CancelToken::new(), |_, _| {}).unwrap();
    let vae = changed(&newer(VAE), &folder.path().join("vae.safetensors"), |metadata| {
        assert!(metadata.as_object_mut().unwrap().remove("model_version").is_some());
    });
    let bare = ModelFiles { checkpoint, components: vec![vae.clone()], ..files() };
    let said = refusal(&bare);
    assert!(said.contains("gemma4-12b-ltx-v1, which a .json among the components may state"), "{said}");
    let with = |json: Value| {
        let file = folder.path().join("stated.json");
        fs::write(&file, json.to_string()).unwrap();
        ModelFiles { components: vec![vae.clone(), file], ..bare.clone() }
    };
    let source = |name: &str| json!({"gemma_source_checkpoint": {"gemma_version": name}});
    let engine = Engine::open(&with(source("gemma4-12b-ltx-v1")), EngineOptions::default()).unwrap();
    assert_eq!((engine.architecture().family.name(), engine.version_or(None).as_str()), ("ltx-2.5", "unknown"));
    let said = refusal(&with(source("gemma4-12b-ltx-v2")));
    assert!(said.contains("is gemma4-12b-ltx-v1, supported: gemma4-12b-ltx-v2"), "{said}");
    let mut both = source("gemma4-12b-ltx-v1");
    both["model_version"] = json!("2.5.0");
    let engine = Engine::open(&with(both.clone()), EngineOptions::default()).unwrap();
    assert_eq!(engine.version_or(None), "2.5.0");
    // What a header states is not overruled.
    both["model_version"] = json!("2.4.0");
    let with_header = ModelFiles { components: [with(both).components, vec![newer(VAE)]].concat(), ..bare.clone() };
    let said = refusal(&with_header);
    assert!(said.contains("model_version") && said.contains("2.4.0") && said.contains("2.5.0"), "{said}");
    let said = refusal(&with(json!({"gemma_source": {}})));
    assert!(said.contains("gemma_source") && said.contains("no entry of this name"), "{said}");
}

#[test]
fn a_duration_head_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let one = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
    let head = folder.path().join("head.safetensors");
    one.save_safetensors("duration_head.mlp.0.weight", &head).unwrap();
    let found = inspect(&head).unwrap();
    assert_eq!((found.kind.as_str(), found.report.duration.tensors), ("LTX-2.5 duration head", 1));
    assert!(found.report.is_complete());
    assert!(refusal(&ModelFiles { checkpoint: head, components: vec![], ..files() }).contains("duration head"));
}

#[test]
fn a_quantised_text_encoder_stands_for_the_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let computed = |text_encoder: PathBuf| {
        let mut case = GoldenCase::open(&data("ltx25/i2v_gemma4")).unwrap();
        case.files.text_encoder = text_encoder;
        let cancel = CancelToken::new();
        let run = Run::quiet(&cancel);
        run_case(&case, EngineOptions::default(), &run).unwrap().computed
    };
    let whole = computed(newer(TEXT));
    for (kind, most) in [(QuantizeType::Bf16, 1e-5), (QuantizeType::Q8_0, 0.1)] {
        let file = folder.path().join("text.gguf");
        quantize(&[newer(TEXT)], &file, (kind, vec![]), &CancelToken::new(), |_, _| {}).unwrap();
        let inspected = inspect(&file).unwrap();
        assert!(inspected.report.is_complete(), "{}", inspected.report);
        let found = computed(file);
        let error = relative_l2(&found["text.pos.video_context"], &whole["text.pos.video_context"]).unwrap();
        assert!(error < most, "{kind:?}: {error:.2e}");
    }
}
