//! LoRA files that count differently in the two stages: equal to the reference, the same bytes streamed, kept and gone on with,
//! and planned for what each stage holds.

mod common;

use candle_core::{Device, Tensor};
use common::Recording;
use ltx_engine::{LatentStore, MemoryBudget, NotSaved, Run};
use ltx_nn::{Level, relative_l2};
use ltx_pipeline::{
    Engine, EngineOptions, PipelineError, PlanShape,
    golden::{GoldenCase, GoldenError, run_case},
    quantize,
};
use ltx_testkit::tiny;
use ltx_types::{
    CancelToken, FrameCount, LoraChoice, LoraStrengths, LoraUse, ModelFiles, PixelShape, Progress, ProgressSink, Stage,
    Stages,
};
use ltx_weights::QuantizeType;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

const CASES: [&str; 2] = ["i2v_two_stage_lora", "kf_two_stage_lora"];

/// A file among these tests' data.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

type Computed = HashMap<String, Tensor>;

/// A golden case of two stages with its files changed.
fn computed(name: &str, options: EngineOptions, run: &Run<'_>, change: impl FnOnce(&mut ModelFiles)) -> Computed {
    let mut case = GoldenCase::open(&file(name)).unwrap();
    change(&mut case.files);
    run_case(&case, options, run).unwrap().computed
}

fn quietly<'a>(cancel: &'a CancelToken, store: &'a dyn LatentStore) -> Run<'a> {
    Run { store, ..Run::quiet(cancel) }
}

/// The same with nothing kept.
fn made(name: &str, options: EngineOptions, change: impl FnOnce(&mut ModelFiles)) -> Computed {
    computed(name, options, &quietly(&CancelToken::new(), &NotSaved), change)
}

fn bits(computed: &Computed, name: &str) -> Vec<u32> {
    computed[name].flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn distance(found: &Computed, other: &Computed, name: &str) -> f64 {
    relative_l2(&found[name], &other[name]).unwrap()
}

#[test]
fn a_lora_of_the_second_stage_alone_equals_the_reference() {
    // On AMX activations have 17 bits.
    let near = if Level::widest().has_tiles() { 1e-4 } else { 1e-5 };
    for name in CASES {
        let expected = candle_core::safetensors::load(file(name).join("tensors.safetensors"), &Device::Cpu).unwrap();
        let found = made(name, EngineOptions::default(), |_| {});
        for (tensor, expected) in &expected {
            let error = relative_l2(&found[tensor], expected).unwrap();
            println!("{name}: {tensor}: {error:.1e}");
            assert!(error < near, "{name}: {tensor}: {error:.1e}");
        }
        let everywhere = made(name, EngineOptions::default(), |files| {
            files.loras[0].strengths.first = files.loras[0].strengths.second;
        });
        let nowhere = made(name, EngineOptions::default(), |files| files.loras.clear());
        assert!(distance(&everywhere, &found, "stage1.final_latent") > 1e-2);
        assert!(distance(&nowhere, &found, "stage2.final_latent") > 1e-2);
        assert_eq!(bits(&nowhere, "stage1.final_latent"), bits(&found, "stage1.final_latent"));
    }
}

#[test]
fn streamed_and_packed_weights_have_each_stages_sum() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("q8_0.gguf");
    let checkpoint = tiny("ltx-2.3-tiny-dev.safetensors");
    quantize(std::slice::from_ref(&checkpoint), &packed, (QuantizeType::Q8_0, vec![]), &CancelToken::new(), |_, _| {})
        .unwrap();
    let streamed = EngineOptions { memory: Some(MemoryBudget { bytes: 0, firm: false }), ..EngineOptions::default() };
    for checkpoint in [checkpoint, packed] {
        let change = |files: &mut ModelFiles| {
            files.checkpoint = checkpoint.clone();
            files.loras[0].strengths = LoraStrengths { first: 0.25, second: -0.5 };
        };
        let whole = made(CASES[0], EngineOptions::default(), change);
        assert_eq!(bits(&made(CASES[0], streamed.clone(), change), "decoded_raw"), bits(&whole, "decoded_raw"));
        // Each stage is what one strength makes of it, given the same noise and the same first latent.
        let one = |strength: f32| {
            made(CASES[0], EngineOptions::default(), |files| {
                files.checkpoint = checkpoint.clone();
                files.loras[0].strengths = LoraStrengths::both(strength);
            })
        };
        assert_eq!(bits(&one(0.25), "stage1.final_latent"), bits(&whole, "stage1.final_latent"));
        assert!(distance(&one(0.25), &whole, "stage2.final_latent") > 1e-2);
    }
}

#[test]
fn going_on_in_either_stage_gives_the_same_frames() {
    let (cancel, recording) = (CancelToken::new(), Recording::default());
    let expected = computed(CASES[0], EngineOptions::default(), &quietly(&cancel, &recording), |_| {});
    let states = recording.saved.into_inner().unwrap();
    assert_eq!(states.len(), 5 + 3);
    for state in states {
        let place = format!("{:?} {}", state.stage, state.steps_done);
        let resumed = Recording { resume: Some(state), ..Recording::default() };
        let found = computed(CASES[0], EngineOptions::default(), &quietly(&cancel, &resumed), |_| {});
        assert_eq!(bits(&found, "decoded_raw"), bits(&expected, "decoded_raw"), "{place}");
    }
}

/// Everything of the model stays where there is room for it.
#[test]
fn what_stays_is_dressed_for_the_stage_that_asks() {
    let expected = made(CASES[1], EngineOptions::default(), |_| {});
    let options = EngineOptions { resident_bytes: u64::MAX, ..EngineOptions::default() };
    assert_eq!(bits(&made(CASES[1], options, |_| {}), "decoded_raw"), bits(&expected, "decoded_raw"));
}

/// Layers of the language model that were begun.
#[derive(Default)]
struct Layers(Mutex<Vec<Progress>>);

impl ProgressSink for Layers {
    fn report(&self, progress: Progress) {
        if progress.stage == Stage::TextEncoding {
            self.0.lock().unwrap().push(progress);
        }
    }
}

#[test]
fn pairs_of_the_text_connector_count_in_their_stage() {
    let folder = tempfile::tempdir().unwrap();
    let name = "diffusion_model.video_embeddings_connector.transformer_1d_blocks.0.ff.net.2";
    let random = |rows: usize, columns: usize| Tensor::randn(0f32, 0.3f32, (rows, columns), &Device::Cpu).unwrap();
    let tensors = HashMap::from([
        (format!("{name}.lora_A.weight"), random(2, 256)),
        (format!("{name}.lora_B.weight"), random(64, 2)),
    ]);
    let path = folder.path().join("connector.safetensors");
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let cancel = CancelToken::new();
    let with = |first: f32, second: f32| {
        let layers = Layers::default();
        let run = Run { progress: &layers, ..quietly(&cancel, &NotSaved) };
        let strengths = LoraStrengths { first, second };
        let loras = vec![LoraChoice::at(&path, strengths)];
        let made = computed(CASES[0], EngineOptions::default(), &run, |files| files.loras = loras);
        (made, layers.0.into_inner().unwrap())
    };
    let (later, reports) = with(0.0, 1.0);
    let (nowhere, once) = with(0.0, 0.0);
    let (everywhere, _) = with(1.0, 1.0);
    assert_eq!(bits(&later, "stage1.final_latent"), bits(&nowhere, "stage1.final_latent"));
    assert!(distance(&later, &nowhere, "stage2.denoised.step0") > 1e-4);
    assert!(distance(&everywhere, &nowhere, "stage1.final_latent") > 1e-4);
    // The prompt is encoded for each stage, and its progress is one.
    assert!(reports.len() > once.len() && reports.is_sorted_by_key(|progress| progress.done));
    assert!(reports.last().is_some_and(|last| last.done == last.total && last.total == 2 * once[0].total));
}

fn shape(stages: Stages) -> PlanShape {
    PlanShape::of_clip(PixelShape::new(128, 128, stages).unwrap(), FrameCount::new(9).unwrap(), stages)
}

#[test]
fn the_plan_counts_what_each_stage_holds() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("q8_0.gguf");
    let checkpoint = [tiny("ltx-2.3-tiny-dev.safetensors")];
    quantize(&checkpoint, &packed, (QuantizeType::Q8_0, vec![]), &CancelToken::new(), |_, _| {}).unwrap();
    let weights = |strengths: LoraStrengths| {
        let mut files = GoldenCase::open(&file(CASES[0])).unwrap().files;
        (files.checkpoint, files.loras[0].strengths) = (packed.clone(), strengths);
        let engine = Engine::open(&files, EngineOptions { previews: false, ..EngineOptions::default() }).unwrap();
        let plan = engine.plan_shape(&shape(Stages::Two));
        let of = |stage: Stage| plan.stages.iter().find(|need| need.stage == stage).unwrap().weights;
        [of(Stage::Denoising), of(Stage::Refining)]
    };
    let [plain, dressed] = [LoraStrengths::both(0.0), LoraStrengths::both(1.0)].map(weights);
    assert!(plain[0] == plain[1] && dressed[0] == dressed[1] && dressed[0] > plain[0]);
    assert_eq!(weights(LoraStrengths { first: 0.0, second: 0.8 }), [plain[0], dressed[0]]);
    assert_eq!(weights(LoraStrengths { first: 0.3, second: 0.8 }), dressed, "the transformer of one stage at a time");
}

#[test]
fn a_lora_with_a_name_counts_in_the_plans_that_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("q8_0.gguf");
    let checkpoint = [tiny("ltx-2.3-tiny-dev.safetensors")];
    quantize(&checkpoint, &packed, (QuantizeType::Q8_0, vec![]), &CancelToken::new(), |_, _| {}).unwrap();
    let weights = |listed: bool, loras: Vec<LoraUse>| {
        let mut files = GoldenCase::open(&file(CASES[0])).unwrap().files;
        let lora =
            LoraChoice { name: listed.then(|| "distilled".into()), ..LoraChoice::new(&files.loras[0].path, 1.0) };
        (files.checkpoint, files.loras) = (packed.clone(), vec![lora]);
        let engine = Engine::open(&files, EngineOptions { previews: false, ..EngineOptions::default() }).unwrap();
        let plan = engine.plan_shape(&PlanShape { loras, ..shape(Stages::Two) });
        let of = |stage: Stage| plan.stages.iter().find(|need| need.stage == stage).unwrap().weights;
        [of(Stage::Denoising), of(Stage::Refining)]
    };
    let named = |first: f32, second: f32| vec![LoraUse::listed("distilled", LoraStrengths { first, second })];
    let (always, never) = (weights(false, vec![]), weights(true, vec![]));
    assert!(always[0] > never[0] && always[1] > never[1]);
    assert_eq!(weights(true, named(1.0, 0.5)), always);
    assert_eq!(weights(true, named(0.0, 0.5)), [never[0], always[1]]);
}

#[test]
fn a_clip_of_one_stage_does_without_the_file_of_the_second() {
    let mut case = GoldenCase::open(&file(CASES[0])).unwrap();
    let missing = PathBuf::from("/nowhere/distilled-lora.safetensors");
    case.files.loras[0].path.clone_from(&missing);
    let engine = Engine::open(&case.files, EngineOptions::default()).unwrap();
    assert!(engine.plan_shape(&shape(Stages::One)).peak() > 0);
    let cancel = CancelToken::new();
    match run_case(&case, EngineOptions::default(), &quietly(&cancel, &NotSaved)) {
        Err(GoldenError::Engine(error @ PipelineError::AbsentLora { .. })) => {
            assert!(
                error.to_string().starts_with("/nowhere/distilled-lora.safetensors: the LoRA file of the second stage")
            );
        }
        other => panic!("{:?}", other.err()),
    }
    case.files.loras[0].strengths.first = 0.1;
    assert!(
        Engine::open(&case.files, EngineOptions::default()).is_err(),
        "one that counts in the first stage must be there"
    );
}
