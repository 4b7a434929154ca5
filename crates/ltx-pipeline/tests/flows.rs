//! The authors' flows beyond one sampler: `hq` by `res_2s` with a LoRA in both stages, and upscalers alone, equal to the
//! reference; gone on with after any step, the same bytes.

mod common;

use candle_core::{Device, Tensor};
use common::Recording;
use ltx_engine::{LatentStore, NotSaved, Run};
use ltx_nn::{Level, relative_l2};
use ltx_pipeline::{
    Engine, EngineOptions, PipelineError,
    golden::{Golden, GoldenCase, GoldenError, run_case},
};
use ltx_types::{CancelToken, NoProgress, Progress, ProgressSink, Stage};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// A file among these tests' data.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// On AMX activations have 17 bits.
fn near() -> f64 {
    if Level::widest().has_tiles() { 3e-4 } else { 3e-5 }
}

#[derive(Default)]
struct Reports(Mutex<Vec<Progress>>);

impl ProgressSink for Reports {
    fn report(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

fn made(name: &str, store: &dyn LatentStore, progress: &dyn ProgressSink) -> HashMap<String, Tensor> {
    let cancel = CancelToken::new();
    let run = Run { progress, store, ..Run::quiet(&cancel) };
    run_case(&GoldenCase::open(&file(name)).unwrap(), EngineOptions::default(), &run).unwrap().computed
}

#[test]
fn hq_equals_the_reference_and_its_noise_is_torchs() {
    for name in ["i2v_hq", "kf_hq"] {
        let expected = candle_core::safetensors::load(file(name).join("tensors.safetensors"), &Device::Cpu).unwrap();
        let found = made(name, &NotSaved, &NoProgress);
        assert!(expected.keys().filter(|tensor| tensor.contains("sde_noise")).count() == 18);
        for (tensor, expected) in &expected {
            let error = relative_l2(&found[tensor], expected).unwrap();
            println!("{name}: {tensor}: {error:.1e}");
            let most = if tensor.contains("sde_noise") { 1e-6 } else { near() };
            assert!(error < most, "{name}: {tensor}: {error:.1e}");
        }
    }
}

#[test]
fn hq_goes_on_from_every_step_with_the_same_bytes() {
    let bits = |made: &HashMap<String, Tensor>| {
        let latent = made["stage2.final_latent"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        latent.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let (store, reports) = (Recording::default(), Reports::default());
    let whole = bits(&made("kf_hq", &store, &reports));
    // Six steps and three, each stage with one evaluation more at its end.
    let states = store.saved.into_inner().unwrap();
    let steps: Vec<_> = states.iter().map(|state| (state.stage, state.steps_done)).collect();
    assert_eq!((steps.len(), steps[0], steps[10]), (11, (Stage::Denoising, 1), (Stage::Refining, 4)));
    let reports = reports.0.into_inner().unwrap();
    for (stage, total) in [(Stage::Denoising, 13), (Stage::Refining, 7)] {
        let done: Vec<_> = reports.iter().filter(|at| at.stage == stage).map(|at| (at.done, at.total)).collect();
        assert_eq!(done, (0..=total).map(|done| (done, total)).collect::<Vec<_>>());
    }
    for at in [0, 2, 5, 6, 8, 9] {
        let store = Recording { resume: Some(states[at].clone()), ..Recording::default() };
        assert!(bits(&made("kf_hq", &store, &NoProgress)) == whole, "{:?}", steps[at]);
    }
}

#[test]
fn upscalers_alone_equal_the_reference() {
    for (name, blocks) in [("upscale_x1_5", 7), ("upscale_temporal_x2", 5)] {
        let case = Golden::open(&file(name)).unwrap();
        let cancel = CancelToken::new();
        let run = Run::quiet(&cancel);
        let result = case.run(EngineOptions::default(), &run).unwrap();
        assert!(result.passes() && result.comparisons.len() >= blocks, "{name}: {:?}", result.comparisons);
        assert!(result.comparisons.iter().all(|comparison| comparison.error < near()), "{:?}", result.comparisons);
    }
}

#[test]
fn an_upscaler_of_no_flow_is_refused_by_name() {
    for (upscaler, why) in [("x1.5", "two thirds of the size"), ("temporal", "generates keyframes")] {
        let name = if upscaler == "x1.5" { "tiny-spatial-upscaler-x1.5" } else { "tiny-temporal-upscaler-x2" };
        let mut case = GoldenCase::open(&file("i2v_hq")).unwrap();
        case.files.upscaler = Some(file(&format!("{name}.safetensors")));
        let error = Engine::open(&case.files, EngineOptions::default()).err().unwrap();
        assert!(matches!(error, PipelineError::UpscalerOfNoFlow { .. }) && error.to_string().contains(why), "{error}");
    }
}

#[test]
fn hq_without_the_distilled_lora_is_refused() {
    let mut case = GoldenCase::open(&file("i2v_hq")).unwrap();
    case.files.loras.clear();
    let cancel = CancelToken::new();
    let run = Run::quiet(&cancel);
    let error = run_case(&case, EngineOptions::default(), &run).err().unwrap();
    assert!(matches!(error, GoldenError::Engine(_)) && error.to_string().starts_with("flow: hq"), "{error}");
}
