//! LTX-Video 0.9.8 from folders of diffusers and from GGUF, and what does not belong to it.

mod common;

use candle_core::{DType, Tensor};
use common::Recording;
use ltx_engine::Run;
use ltx_nn::Compute;
use ltx_pipeline::{
    Engine, EngineOptions, PlanShape,
    golden::{GoldenCase, run_case},
    inspect, quantize,
};
use ltx_testkit::{data, goldens, tiny};
use ltx_types::{CancelToken, FrameCount, ModelFiles, Part, PixelShape, Stage, Stages};
use ltx_weights::QuantizeType;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    tiny("../ltxv-tiny")
}

fn files(checkpoint: PathBuf, text_encoder: PathBuf) -> ModelFiles {
    ModelFiles { checkpoint, components: vec![], text_encoder, upscaler: None, loras: vec![] }
}

fn packed(from: &Path, to: &Path) -> PathBuf {
    let never = CancelToken::new();
    quantize(&[from.to_owned()], to, (QuantizeType::Q8_0, vec![]), &never, |_, _| {}).unwrap();
    to.to_owned()
}

/// The computed tensors of the case, from other files than its own.
fn computed(files: ModelFiles) -> std::collections::HashMap<String, Tensor> {
    let mut case = GoldenCase::open(&data("ltxv09/i2v_distilled")).unwrap();
    case.files = files;
    let cancel = CancelToken::new();
    let run = Run::quiet(&cancel);
    run_case(&case, EngineOptions::default(), &run).unwrap().computed
}

#[test]
fn a_folder_is_known_with_all_its_keys() {
    let checkpoint = inspect(&folder()).unwrap();
    assert_eq!(checkpoint.kind, "LTX-Video 0.9.8 checkpoint");
    assert!(checkpoint.report.is_complete() && checkpoint.absent.is_empty());
    let text = inspect(&folder().join("text_encoder")).unwrap();
    assert_eq!(text.kind, "T5 text encoder");
    assert!(text.report.is_complete());
    let engine = Engine::open(&files(folder(), folder().join("text_encoder")), EngineOptions::default()).unwrap();
    engine.expect_family("ltxv-0.9.8").unwrap();
    assert!(engine.expect_family("ltx-2.3").is_err());
    assert!(engine.reports().iter().all(|report| !report.used.contains_key(&Part::TextConnector)));
    let pixels = PixelShape::new(128, 96, Stages::One).unwrap();
    let plan = engine.plan_shape(&PlanShape::of_clip(pixels, FrameCount::new(17).unwrap(), Stages::One));
    assert!(plan.stages.iter().all(|need| need.bytes() > 0), "{plan:?}");
}

#[test]
fn in_eight_bits_it_makes_nearly_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let model = packed(&folder(), &scratch.path().join("model.gguf"));
    let text = packed(&folder().join("text_encoder"), &scratch.path().join("t5.gguf"));
    let found = computed(files(model, text));
    let expected = goldens("ltxv09/i2v_distilled/tensors.safetensors");
    for (name, most) in [("text.pos.input_ids", 0.0), ("stage1.velocity.step0", 0.05), ("stage1.final_latent", 0.05)] {
        let as_f32 = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
        let error = ltx_nn::relative_l2(&as_f32(&found[name]), &as_f32(&expected[name])).unwrap();
        assert!(error <= most, "{name}: {error:.1e}");
    }
}

#[test]
fn text_encoders_of_the_other_family_are_named() {
    let refused = |files: ModelFiles| Engine::open(&files, EngineOptions::default()).err().unwrap().to_string();
    let gemma = refused(files(folder(), tiny("gemma")));
    assert!(gemma.contains("Gemma text encoder") && gemma.contains("T5"), "{gemma}");
    let t5 = refused(files(tiny("ltx-2.3-tiny-dev.safetensors"), folder().join("text_encoder")));
    assert!(t5.contains("T5 text encoder") && t5.contains("Gemma 3"), "{t5}");
    let component = refused(files(folder().join("transformer"), folder().join("text_encoder")));
    assert!(component.contains("LTXVideoTransformer3DModel") && component.contains("folder"), "{component}");
}

#[test]
fn the_plan_in_f16_counts_t5_in_the_dtype_that_it_is_computed_in() {
    let files = files(folder(), folder().join("text_encoder"));
    let pixels = PixelShape::new(128, 96, Stages::One).unwrap();
    let shape = PlanShape::of_clip(pixels, FrameCount::new(17).unwrap(), Stages::One);
    let plan = |dtype| {
        let compute = Compute::cpu_f32().with_dtype(dtype);
        let engine = Engine::open(&files, EngineOptions { compute, ..EngineOptions::default() }).unwrap();
        let need = |stage| engine.plan_shape(&shape).stages.into_iter().find(|need| need.stage == stage).unwrap();
        [Stage::TextEncoding, Stage::Denoising].map(|stage| (need(stage).weights, need(stage).activations))
    };
    let [f32s, f16s, bf16s] = [DType::F32, DType::F16, DType::BF16].map(plan);
    assert_eq!(f16s[0], f32s[0], "T5 leaves the range of f16");
    assert!(bf16s[0].1 < f32s[0].1);
    assert!(f16s[1].1 < f32s[1].1, "the transformer does not");
}

#[test]
fn two_passes_go_on_from_every_step_with_the_same_bytes() {
    go_on("first_last_two_pass", [7, 3], 1);
}

/// Guidance is another from step to step; of forty states every third is gone on from.
#[test]
fn guided_passes_go_on_with_the_same_bytes() {
    go_on("first_last_multi_scale", [27, 13], 3);
}

/// Runs a case, and again from each of its states that is looked at, the last of the first pass and the first of the second among them.
fn go_on(name: &str, [first, second]: [usize; 2], every: usize) {
    let case = GoldenCase::open(&data(&format!("ltxv09/{name}"))).unwrap();
    let made = |store: &Recording| {
        let cancel = CancelToken::new();
        let run = Run { store, ..Run::quiet(&cancel) };
        let computed = run_case(&case, EngineOptions::default(), &run).unwrap().computed;
        let frames = computed["decoded_raw"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        frames.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let store = Recording::default();
    let whole = made(&store);
    let states = store.saved.into_inner().unwrap();
    let steps: Vec<_> = states.iter().map(|state| (state.stage, state.steps_done)).collect();
    assert_eq!(steps.len(), first + second);
    assert_eq!((steps[first - 1], steps[first]), ((Stage::Denoising, first), (Stage::Refining, 1)));
    for (at, (state, step)) in states.into_iter().zip(&steps).enumerate() {
        if at % every != 0 && ![first - 1, first].contains(&at) {
            continue;
        }
        let store = Recording { resume: Some(state), ..Recording::default() };
        assert!(made(&store) == whole, "{step:?}");
    }
}

#[test]
fn guided_second_passes_are_a_flow_of_their_own() {
    let with = |upscaler| ModelFiles { upscaler, ..files(folder(), folder().join("text_encoder")) };
    let rules = |files: &ModelFiles| Engine::open(files, EngineOptions::default()).unwrap().rules();
    let upscaled = rules(&with(Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors"))));
    assert_eq!((upscaled.two_stages, upscaled.multi_scale), (Some(true), Some(true)));
    assert_eq!((upscaled.distilled_steps, upscaled.image_crf), (Some(7), Some(0)));
    assert_eq!(rules(&with(None)).two_stages, Some(false));
}
