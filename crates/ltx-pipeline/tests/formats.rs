//! The tiny model in every format, end to end: quantised, fp8, cut into component files. What each costs is printed.

use candle_core::{DType, Device, Tensor};
use ltx_engine::Run;
use ltx_nn::relative_l2;
use ltx_pipeline::{
    Engine, EngineOptions, PipelineError,
    golden::{GoldenCase, run_case},
    inspect, inspect_together, quantize,
};
use ltx_testkit::{data, tiny};
use ltx_types::{CancelToken, ModelFiles, Part};
use ltx_weights::{QuantizeType, TensorSet};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

const CHECKPOINT: &str = "ltx-2.3-tiny-dev.safetensors";

/// Everything a golden case computes with other files.
fn computed(change: impl FnOnce(&mut ModelFiles)) -> HashMap<String, Tensor> {
    let mut case = GoldenCase::open(&data("i2v_distilled")).unwrap();
    change(&mut case.files);
    let cancel = CancelToken::new();
    let run = Run::quiet(&cancel);
    run_case(&case, EngineOptions::default(), &run).unwrap().computed
}

/// Relative L2 of the first velocity, and PSNR of the frames in decibels.
fn cost(found: &HashMap<String, Tensor>, expected: &HashMap<String, Tensor>) -> (f64, f64) {
    let velocity = relative_l2(&found["stage1.velocity.step0"], &expected["stage1.velocity.step0"]).unwrap();
    let frames = |from: &HashMap<String, Tensor>| from["decoded_raw"].clamp(-1f32, 1f32).unwrap();
    let difference = (frames(found) - frames(expected)).unwrap().to_dtype(DType::F64).unwrap();
    let mean = difference.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
    (velocity, 10.0 * (4.0 / mean).log10())
}

fn made(from: &Path, out: PathBuf, kind: QuantizeType) -> PathBuf {
    quantize(&[from.to_owned()], &out, (kind, vec![]), &CancelToken::new(), |_, _| {}).unwrap();
    out
}

#[test]
fn quantised_copies_run_and_cost_what_they_cost() {
    let folder = tempfile::tempdir().unwrap();
    let whole = computed(|_| {});
    for (name, kind) in QuantizeType::ALL {
        let checkpoint = made(&tiny(CHECKPOINT), folder.path().join(format!("{name}.gguf")), kind);
        let text_encoder = made(&tiny("gemma"), folder.path().join(format!("gemma-{name}.gguf")), kind);
        assert!(
            inspect(&checkpoint).unwrap().report.is_complete() && inspect(&text_encoder).unwrap().report.is_complete()
        );
        let transformer = cost(&computed(|files| files.checkpoint = checkpoint.clone()), &whole);
        let both = cost(
            &computed(|files| (files.checkpoint, files.text_encoder) = (checkpoint.clone(), text_encoder)),
            &whole,
        );
        println!(
            "{name}: first velocity {:.2e}, frames {:.1} dB; Gemma too: {:.2e}, {:.1} dB",
            transformer.0, transformer.1, both.0, both.1
        );
        let least = match kind {
            QuantizeType::Bf16 => 100.0,
            QuantizeType::Q8_0 => 40.0,
            QuantizeType::Q6K => 30.0,
            _ => 15.0,
        };
        assert!(transformer.1 >= least && both.1 >= least, "{name}");
    }
}

/// The tiny checkpoint's tensors as they are stored.
fn tensors() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(tiny(CHECKPOINT), &Device::Cpu).unwrap()
}

fn save(folder: &Path, name: &str, tensors: &HashMap<String, Tensor>) -> PathBuf {
    let file = folder.join(name);
    candle_core::safetensors::save(tensors, &file).unwrap();
    file
}

/// The configuration as a file of its own.
fn config(folder: &Path) -> PathBuf {
    let file = folder.join("config.json");
    let set = TensorSet::open_file(&tiny(CHECKPOINT)).unwrap();
    fs::write(&file, set.config().unwrap().to_string()).unwrap();
    file
}

#[test]
fn fp8_with_and_without_scales_equals_the_same_values_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    for scaled in [false, true] {
        let (mut eight, mut wide) = (tensors(), tensors());
        for (key, tensor) in tensors() {
            if !key.contains("transformer_blocks.") || !key.ends_with(".weight") || tensor.rank() != 2 {
                continue;
            }
            let tensor = tensor.to_dtype(DType::F32).unwrap();
            let largest = tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let scale = if scaled { largest / 448.0 } else { 1.0 };
            let stored = (&tensor / f64::from(scale)).unwrap().to_dtype(DType::F8E4M3).unwrap();
            let read = (stored.to_dtype(DType::F32).unwrap() * f64::from(scale)).unwrap();
            eight.insert(key.clone(), stored);
            wide.insert(key.clone(), read);
            if scaled {
                eight.insert(format!("{key}_scale"), Tensor::new(scale, &Device::Cpu).unwrap());
            }
        }
        let run = |name: &str, tensors: &HashMap<String, Tensor>| {
            let checkpoint = save(folder.path(), name, tensors);
            computed(|files| (files.checkpoint, files.components) = (checkpoint, vec![config.clone()]))
        };
        let (eight, wide) = (run("eight.safetensors", &eight), run("wide.safetensors", &wide));
        let (velocity, psnr) = cost(&eight, &wide);
        let (quantised, _) = cost(&eight, &computed(|_| {}));
        println!(
            "fp8, scaled {scaled}: first velocity {velocity:.1e} from f32, {quantised:.1e} from bf16; {psnr:.0} dB"
        );
        assert!(velocity < 1e-5 && psnr > 90.0, "scaled {scaled}: {velocity:e} {psnr}");
    }
}

#[test]
fn component_files_make_the_same_frames_and_a_missing_part_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let part = |name: &str, prefix: &str, strip: &str, not: &str| {
        let here = |key: &String| key.starts_with(prefix) && (not.is_empty() || !key.contains(not));
        let renamed = |(key, tensor): (String, Tensor)| (key.strip_prefix(strip).unwrap_or(&key).to_owned(), tensor);
        save(folder.path(), name, &tensors().into_iter().filter(|(key, _)| here(key)).map(renamed).collect())
    };
    let connector = "embeddings_connector";
    let transformer = part("transformer.safetensors", "model.", "model.diffusion_model.", connector);
    let vae = part("vae.safetensors", "vae.", "vae.", "");
    let projection = part("projection.safetensors", "text_embedding_projection.", "text_embedding_projection.", "");
    let connectors: HashMap<_, _> = tensors().into_iter().filter(|(key, _)| key.contains(connector)).collect();
    let connectors = save(folder.path(), "connectors.safetensors", &connectors);
    let packed = folder.path().join("transformer.gguf");
    let from = [transformer.clone(), config.clone()];
    quantize(&from, &packed, (QuantizeType::Bf16, vec![]), &CancelToken::new(), |_, _| {}).unwrap();

    let rest = vec![vae.clone(), projection.clone(), connectors.clone()];
    let whole = computed(|_| {});
    for (first, others) in [(&transformer, [rest.clone(), vec![config.clone()]].concat()), (&packed, rest.clone())] {
        let parts = computed(|files| (files.checkpoint, files.components) = (first.clone(), others));
        let frames =
            |from: &HashMap<String, Tensor>| from["decoded_raw"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(frames(&parts) == frames(&whole), "{}", first.display());
    }

    let open = |components: Vec<PathBuf>| {
        let (checkpoint, text_encoder) = (packed.clone(), tiny("gemma"));
        let files = ModelFiles { checkpoint, components, text_encoder, upscaler: None, loras: vec![] };
        Engine::open(&files, EngineOptions::default()).err()
    };
    match open(vec![connectors.clone()]) {
        Some(PipelineError::MissingParts { parts, .. }) => {
            assert_eq!(parts, [Part::TextProjection, Part::VideoEncoder, Part::VideoDecoder]);
        }
        other => panic!("{other:?}"),
    }
    // The same transformer twice is one; what is missing stays missing.
    assert!(
        matches!(open(vec![transformer.clone()]), Some(PipelineError::MissingParts { parts, .. }) if parts.len() == 4)
    );

    let alone = inspect(&packed).unwrap();
    assert_eq!((alone.kind.as_str(), alone.formats.as_slice()), ("LTX-2.3 component", &["GGUF"][..]));
    assert_eq!(alone.absent, [Part::TextConnector, Part::TextProjection, Part::VideoEncoder, Part::VideoDecoder]);
    assert!(alone.report.is_complete());
    assert!(matches!(inspect(&vae), Err(PipelineError::Weights(_))), "it states no configuration");
    let all = inspect_together(&[rest, vec![packed]].concat(), &[]).unwrap();
    assert!(all.absent.is_empty() && all.report.is_complete());
}

#[test]
fn a_manifest_of_another_family_is_refused_by_name() {
    let files = ModelFiles {
        checkpoint: tiny(CHECKPOINT),
        components: vec![],
        text_encoder: tiny("gemma"),
        upscaler: None,
        loras: vec![],
    };
    let engine = Engine::open(&files, EngineOptions::default()).unwrap();
    assert!(engine.expect_family("ltx-2.3").is_ok());
    let error = engine.expect_family("ltx-2.5").unwrap_err();
    assert!(matches!(error, PipelineError::OtherFamily { family: "ltx-2.3", .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(CHECKPOINT) && text.contains("ltx-2.3, and") && text.contains("names ltx-2.5"), "{text}");
}
