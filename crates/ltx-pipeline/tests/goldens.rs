//! The repository's golden cases, end to end, and what makes a self-test fail.

use candle_core::{Device, Tensor};
use ltx_engine::Run;
use ltx_nn::Level;
use ltx_pipeline::{
    EngineOptions,
    golden::{GoldenCase, GoldenError, GoldenResult, run_case},
};
use ltx_testkit::data;
use ltx_types::CancelToken;
use std::{collections::HashMap, fs, path::Path};

const CASES: [&str; 13] = [
    "i2v_distilled",
    "combined_distilled",
    "strengths_middle",
    "kf_guided",
    "kf_two_stage",
    "crf33/i2v_distilled",
    "ltx25/i2v_ancestral",
    "ltx25/i2v_gemma4",
    "ltx20/kf_guided",
    "ltxv09/i2v_distilled",
    "ltxv09/first_last_two_pass",
    "ltxv09/first_last_multi_scale",
    "ltxv09/first_last_cfg",
];

fn run(folder: &Path) -> Result<GoldenResult, GoldenError> {
    let cancel = CancelToken::new();
    let run = Run::quiet(&cancel);
    run_case(&GoldenCase::open(folder)?, EngineOptions::default(), &run)
}

#[test]
fn every_case_passes() {
    for name in CASES {
        let result = run(&data(name)).unwrap();
        let failed: Vec<_> = result.comparisons.iter().filter(|comparison| !comparison.passes()).collect();
        assert!(result.passes(), "{name}: {failed:?}");
        for c in &result.comparisons {
            println!("{name} {}: {:.2e}", c.name, c.error);
        }
        let worst = result.comparisons.iter().filter(|c| c.name != "decoded_raw").map(|c| c.error).fold(0.0, f64::max);
        // Decoded pixels are kept in f16 here, which costs 2e-4; everything else reaches what f32 can.
        // AMX multiplies activations of 17 bits with weights in bf16.
        let most = if Level::widest().has_tiles() { 1e-4 } else { 1e-5 };
        assert!(worst < most, "{name}: {worst:.2e}");
    }
}

/// A copy of a case with its tensors or its JSON changed.
fn altered(change: impl FnOnce(&mut HashMap<String, Tensor>, &mut String)) -> tempfile::TempDir {
    let (from, folder) = (data("i2v_distilled"), tempfile::tempdir().unwrap());
    let mut tensors = candle_core::safetensors::load(from.join("tensors.safetensors"), &Device::Cpu).unwrap();
    let mut json = fs::read_to_string(from.join("case.json")).unwrap();
    let models = ltx_testkit::tiny("").canonicalize().unwrap();
    json = json.replace("../../../../models/tiny", models.to_str().unwrap());
    change(&mut tensors, &mut json);
    candle_core::safetensors::save(&tensors, folder.path().join("tensors.safetensors")).unwrap();
    fs::write(folder.path().join("case.json"), json).unwrap();
    fs::copy(from.join("image0.png"), folder.path().join("image0.png")).unwrap();
    folder
}

#[test]
fn an_unaltered_copy_passes() {
    assert!(run(altered(|_, _| {}).path()).unwrap().passes());
}

#[test]
fn a_deviation_fails() {
    let folder = altered(|tensors, _| {
        let latent = tensors["stage1.final_latent"].affine(1.01, 0.0).unwrap();
        tensors.insert("stage1.final_latent".into(), latent);
    });
    let result = run(folder.path()).unwrap();
    let failed: Vec<_> = result.comparisons.iter().filter(|c| !c.passes()).map(|c| c.name.as_str()).collect();
    assert_eq!(failed, ["stage1.final_latent"]);
}

#[test]
fn a_wrong_shape_or_a_value_that_is_not_finite_fails() {
    let shape = altered(|tensors, _| {
        let cut = tensors["decoded_raw"].narrow(2, 0, 9).unwrap().contiguous().unwrap();
        tensors.insert("decoded_raw".into(), cut);
    });
    assert!(!run(shape.path()).unwrap().passes());
    let finite = altered(|tensors, _| {
        let nan = tensors["stage1.denoised.step0"].affine(f64::NAN, 0.0).unwrap();
        tensors.insert("stage1.denoised.step0".into(), nan);
    });
    assert!(!run(finite.path()).unwrap().passes());
}

#[test]
fn a_required_tensor_that_is_absent_fails() {
    for name in [
        "text.pos.input_ids",
        "text.pos.video_context",
        "stage1.image0.pixels",
        "stage1.image0.latent",
        "stage1.noise_tokens",
        "stage1.positions",
        "stage1.denoise_mask",
        "stage1.denoised.step0",
        "stage1.final_latent",
        "decoded_raw",
    ] {
        let folder = altered(|tensors, _| {
            assert!(tensors.remove(name).is_some(), "{name}");
        });
        let result = run(folder.path()).unwrap();
        let absent = result.comparisons.iter().find(|c| c.name == name && !c.passes());
        assert!(absent.is_some_and(|c| c.problem.is_some()), "{name}");
    }
}

#[test]
fn a_case_that_cannot_be_read_is_an_error() {
    assert!(matches!(run(Path::new("/nonexistent")), Err(GoldenError::Read { .. })));
    let format = altered(|_, json| *json = json.replace("ltx-golden/1", "ltx-golden/2"));
    assert!(matches!(run(format.path()), Err(GoldenError::Format { .. })));
    let unknown_field = altered(|_, json| *json = json.replacen('{', "{\"more\": 1,", 1));
    assert!(matches!(run(unknown_field.path()), Err(GoldenError::BadCase { .. })));
    let frames = altered(|_, json| *json = json.replace("\"num_frames\": 17", "\"num_frames\": 18"));
    assert!(matches!(run(frames.path()), Err(GoldenError::Request { .. })));
}
