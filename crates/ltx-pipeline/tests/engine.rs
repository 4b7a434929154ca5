//! The engine on the tiny model: determinism, going on after a restart, cancelling, and what it refuses.

mod common;

use candle_core::{DType, Device, Tensor};
use common::Recording;
use ltx_engine::{
    EngineError, ErrorKind, Generator, LatentStore, MemoryBudget, MemoryPlan, NotSaved, Outcome, Preview, PreviewSink,
    Run, SavedLatent,
};
use ltx_media::{FrameWriter, MediaError, Mp4Writer};
use ltx_nn::{Compute, NnError};
use ltx_pipeline::{Engine, EngineOptions, PipelineError, quantize};
use ltx_policy::{Admitted, Ask, ModelNames, PolicyConfig, UsageMark, admit};
use ltx_testkit::{assert_close, data, tiny};
use ltx_types::{
    CancelToken, ConditioningMode, Defaults, FramePosition, Generation, GenerationDraft, Guidance, ImageInput,
    ImageSource, ModelFiles, ModelRules, Overrides, Progress, ProgressSink, Schedule, Seed, Stage, Stages, Strength,
};
use ltx_weights::QuantizeType;
use std::{env, process::Command, sync::Mutex};

fn files() -> ModelFiles {
    ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        components: vec![],
        text_encoder: tiny("gemma"),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
        loras: vec![],
    }
}

fn engine() -> Engine {
    Engine::open(&files(), EngineOptions::default()).unwrap()
}

fn draft() -> GenerationDraft {
    let image = |name: &str, position| ImageInput {
        source: ImageSource::Path(data("kf_two_stage").join(name)),
        position,
        strength: Strength::FULL,
    };
    let said = Overrides {
        negative_prompt: Some("blurry".into()),
        conditioning: Some(ConditioningMode::ReplaceFirst),
        width: Some(64),
        height: Some(64),
        frames: Some(9),
        seed: Some(Seed(3)),
        steps: Some(3),
        stages: Some(Stages::Two),
        stg_blocks: Some(vec![1]),
        image_crf: Some(0),
        ..Overrides::default()
    };
    let images = vec![image("image0.png", FramePosition::First), image("image1.png", FramePosition::Last)];
    Defaults::official(Schedule::Guided).fill(said, "A lake".into(), images)
}

fn admitted(draft: GenerationDraft) -> Admitted<Generation> {
    admit(&Ask::default(), draft, &PolicyConfig::new(ModelNames::new(vec![], [])))
        .unwrap()
        .check(&ModelRules::LTX)
        .unwrap()
}

/// Counts frames and keeps nothing.
struct Counting;

impl FrameWriter for Counting {
    fn write(&mut self, _: &[u8]) -> std::result::Result<(), MediaError> {
        Ok(())
    }
    fn finish(self: Box<Self>, _: &UsageMark) -> std::result::Result<(), MediaError> {
        Ok(())
    }
}

fn generate(engine: &mut Engine, request: &Admitted<Generation>, run: &Run<'_>) -> Result<Outcome, EngineError> {
    engine.generate(request, &mut [Box::new(Counting)], run)
}

/// The pipeline's own error within the engine's.
fn pipelines(error: &EngineError) -> Option<&PipelineError> {
    error.get_ref().downcast_ref()
}

fn quietly<'a>(cancel: &'a CancelToken, store: &'a dyn LatentStore) -> Run<'a> {
    Run { store, ..Run::quiet(cancel) }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let cancel = CancelToken::new();
    let mut engine = engine();
    let mut digests = |seed| {
        let request = admitted(GenerationDraft { seed: Seed(seed), ..draft() });
        let outcome = generate(&mut engine, &request, &quietly(&cancel, &NotSaved)).unwrap();
        assert_eq!(outcome.frames, 9);
        (outcome.latent_sha256, outcome.frames_sha256)
    };
    let first = digests(3);
    assert_eq!(first, digests(3));
    assert_ne!(first, digests(4));
}

#[test]
fn parts_that_stay_change_nothing_but_the_memory() {
    let (cancel, request) = (CancelToken::new(), admitted(draft()));
    let digest = |engine: &mut Engine| generate(engine, &request, &quietly(&cancel, &NotSaved)).unwrap().frames_sha256;
    let expected = digest(&mut engine());
    for budget in [0, 2 << 20, u64::MAX] {
        let options = EngineOptions { resident_bytes: budget, ..EngineOptions::default() };
        let mut engine = Engine::open(&files(), options).unwrap();
        assert_eq!([digest(&mut engine), digest(&mut engine)], [expected.clone(), expected.clone()], "{budget}");
        assert!(engine.resident_bytes() <= budget && (engine.resident_bytes() > 0) == (budget > 0));
    }
}

/// The tiny model with a budget, and the plan for the usual request.
fn within(bytes: u64, firm: bool) -> (Engine, MemoryPlan) {
    let memory = Some(MemoryBudget { bytes, firm });
    let engine = Engine::open(&files(), EngineOptions { memory, previews: false, ..EngineOptions::default() }).unwrap();
    let plan = engine.plan(admitted(draft()).request());
    (engine, plan)
}

#[test]
fn streamed_and_resident_give_the_same_bytes_from_both_formats() {
    let (cancel, request) = (CancelToken::new(), admitted(draft()));
    let run = quietly(&cancel, &NotSaved);
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.gguf");
    quantize(&[files().checkpoint], &packed, (QuantizeType::Q8_0, vec![]), &cancel, |_, _| {}).unwrap();
    for checkpoint in [files().checkpoint, packed] {
        let open = |memory| {
            let files = ModelFiles { checkpoint: checkpoint.clone(), ..files() };
            Engine::open(&files, EngineOptions { memory, previews: false, ..EngineOptions::default() }).unwrap()
        };
        let mut resident = open(None);
        assert_eq!(resident.plan(request.request()).blocks.held, 3);
        let expected = generate(&mut resident, &request, &run).unwrap();
        let mut streamed = open(Some(MemoryBudget { bytes: 0, firm: false }));
        let plan = streamed.plan(request.request());
        assert!(!plan.fits() && plan.blocks.held == 0, "{plan:?}");
        let outcome = generate(&mut streamed, &request, &run).unwrap();
        assert_eq!(outcome.frames_sha256, expected.frames_sha256, "{}", checkpoint.display());
        assert_eq!(outcome.latent_sha256, expected.latent_sha256);
    }
}

#[test]
fn too_small_a_budget_names_the_least_that_works() {
    let (cancel, request) = (CancelToken::new(), admitted(draft()));
    let run = quietly(&cancel, &NotSaved);
    let (mut engine, _) = within(1 << 20, true);
    let error = generate(&mut engine, &request, &run).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    let Some(PipelineError::TooLittleMemory { budget, least, .. }) = pipelines(&error) else { panic!("{error}") };
    assert_eq!(*budget, 1 << 20);
    assert!(error.to_string().contains(&format!("nearest legal: {least}")), "{error}");
    assert!(generate(&mut within(*least - 1, true).0, &request, &run).is_err());
    let outcome = generate(&mut within(*least, true).0, &request, &run).unwrap();
    // One that is not firm is a wish.
    let wished = generate(&mut within(1 << 20, false).0, &request, &run).unwrap();
    assert_eq!(outcome.frames_sha256, wished.frames_sha256);
}

/// Says that a process is there for the next test alone: whose threads are counted.
const ALONE: &str = "LTX_PIPELINE_ALONE";
/// What that process says when it has come to its end.
const NONE_LEFT: &str = "no reader is left";

#[test]
fn cancelled_while_it_streams_it_stops_within_the_step_and_leaves_no_thread() {
    if env::var(ALONE).is_err() {
        let mut alone = Command::new(env::current_exe().unwrap());
        let this = "cancelled_while_it_streams_it_stops_within_the_step_and_leaves_no_thread";
        let ended = alone.args(["--exact", this, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let [out, err] = [&ended.stdout, &ended.stderr].map(|said| String::from_utf8_lossy(said));
        assert!(ended.status.success() && out.contains(NONE_LEFT), "{out}{err}");
        return;
    }
    let (mut engine, plan) = within(0, false);
    assert_eq!(plan.blocks.held, 0);
    let request = admitted(draft());
    let readers = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "reader").count()
    };
    for stage in [Stage::TextEncoding, Stage::Denoising, Stage::Refining] {
        let cancel = CancelToken::new();
        let sink = CancelAt(stage, &cancel, Mutex::new(0));
        let run = Run { progress: &sink, ..Run::quiet(&cancel) };
        assert_eq!(generate(&mut engine, &request, &run).unwrap_err().kind(), ErrorKind::Cancelled, "{stage:?}");
        assert_eq!(*sink.2.lock().unwrap(), 0, "{stage:?}: no step was finished after cancelling");
        // One that was joined may be in the system's list for a moment.
        let gone = (0..60_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            readers() == 0
        });
        assert!(gone, "{stage:?}");
    }
    println!("{NONE_LEFT}");
}

#[test]
fn what_stays_makes_room_for_a_request_that_needs_it() {
    let (cancel, request) = (CancelToken::new(), admitted(draft()));
    let run = quietly(&cancel, &NotSaved);
    let memory = |bytes| Some(MemoryBudget { bytes, firm: true });
    let options = EngineOptions { resident_bytes: u64::MAX, previews: false, ..EngineOptions::default() };
    let kept = Engine::open(&files(), options.clone()).unwrap().plan(request.request()).peak();
    let mut engine = Engine::open(&files(), EngineOptions { memory: memory(kept - 1), ..options.clone() }).unwrap();
    let plan = engine.plan(request.request());
    assert!(plan.fits() && plan.stages.iter().all(|need| need.resident == 0), "{plan:?}");
    let smaller = admitted(GenerationDraft { width: 32, height: 32, stages: Stages::One, ..draft() });
    let expected = generate(&mut Engine::open(&files(), options).unwrap(), &smaller, &run).unwrap().frames_sha256;
    assert!(engine.plan(smaller.request()).stages.iter().any(|need| need.resident > 0));
    for _ in 0..2 {
        assert_eq!(generate(&mut engine, &smaller, &run).unwrap().frames_sha256, expected);
        generate(&mut engine, &request, &run).unwrap();
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_streamed_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("model.safetensors");
    std::fs::copy(files().checkpoint, &checkpoint).unwrap();
    let memory = Some(MemoryBudget { bytes: 0, firm: false });
    let files = ModelFiles { checkpoint: checkpoint.clone(), ..files() };
    let mut engine = Engine::open(&files, EngineOptions { memory, ..EngineOptions::default() }).unwrap();
    // As soon as it samples: the step's reader finds the end of the file too early.
    struct Shrink<'a>(&'a std::path::Path);
    impl ProgressSink for Shrink<'_> {
        fn report(&self, progress: Progress) {
            if progress.stage == Stage::Denoising {
                std::fs::OpenOptions::new().write(true).open(self.0).unwrap().set_len(1 << 16).unwrap();
            }
        }
    }
    let cancel = CancelToken::new();
    let run = Run { progress: &Shrink(&checkpoint), ..quietly(&cancel, &NotSaved) };
    let error = generate(&mut engine, &admitted(draft()), &run).unwrap_err();
    let Some(PipelineError::Nn(NnError::Unreadable { file, key, source })) = pipelines(&error) else {
        panic!("{error:?}")
    };
    assert_eq!((file, source.kind()), (&checkpoint, std::io::ErrorKind::UnexpectedEof), "{key}");
}

#[test]
fn going_on_after_any_step_gives_the_same_frames() {
    // Three guided steps and three refining ones; of ancestral Euler eight, whose noise is drawn again.
    for (ancestral, schedule, steps) in [(false, Schedule::Guided, 3 + 3), (true, Schedule::Distilled, 8 + 3)] {
        let options = EngineOptions { ancestral: Some(ancestral), ..EngineOptions::default() };
        let (cancel, mut engine) = (CancelToken::new(), Engine::open(&files(), options).unwrap());
        let request = admitted(GenerationDraft { schedule, faults: vec![], ..draft() });
        let recording = Recording::default();
        let expected = generate(&mut engine, &request, &quietly(&cancel, &recording)).unwrap().frames_sha256;
        let states = recording.saved.into_inner().unwrap();
        assert_eq!(states.len(), steps);
        for state in states {
            let place = format!("{:?} {}", state.stage, state.steps_done);
            let resumed = Recording { resume: Some(state), ..Recording::default() };
            let found = generate(&mut engine, &request, &quietly(&cancel, &resumed)).unwrap().frames_sha256;
            assert_eq!(found, expected, "{place}");
            assert!(resumed.saved.into_inner().unwrap().len() < steps, "{place}");
        }
    }
}

/// What stages said that they had to do.
#[derive(Default)]
struct Totals(Mutex<Vec<(Stage, usize)>>);

impl ProgressSink for Totals {
    fn report(&self, progress: Progress) {
        self.0.lock().unwrap().push((progress.stage, progress.total));
    }
}

#[test]
fn going_on_while_it_refines_encodes_no_image_for_the_first_stage() {
    let (cancel, mut engine, request) = (CancelToken::new(), engine(), admitted(draft()));
    let recording = Recording::default();
    generate(&mut engine, &request, &quietly(&cancel, &recording)).unwrap();
    let states = recording.saved.into_inner().unwrap();
    for state in [states.first(), states.last()].map(|state| state.unwrap().clone()) {
        let images = if state.stage == Stage::Refining { 2 } else { 2 * 2 };
        let (totals, resumed) = (Totals::default(), Recording { resume: Some(state), ..Recording::default() });
        let run = Run { progress: &totals, ..quietly(&cancel, &resumed) };
        generate(&mut engine, &request, &run).unwrap();
        let totals = totals.0.into_inner().unwrap();
        assert!(totals.iter().all(|(stage, total)| *stage != Stage::ImageEncoding || *total == images), "{totals:?}");
        assert!(totals.iter().any(|(stage, _)| *stage == Stage::ImageEncoding));
    }
}

/// Cancels as soon as a stage reports.
struct CancelAt<'a>(Stage, &'a CancelToken, Mutex<usize>);

impl ProgressSink for CancelAt<'_> {
    fn report(&self, progress: Progress) {
        if self.1.is_cancelled() {
            *self.2.lock().unwrap() += 1;
        } else if progress.stage == self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn cancelling_in_any_stage_stops_there_and_harms_nothing() {
    let (mut engine, request) = (engine(), admitted(draft()));
    let never = CancelToken::new();
    let expected = generate(&mut engine, &request, &quietly(&never, &NotSaved)).unwrap().frames_sha256;
    for stage in Stage::ALL {
        let cancel = CancelToken::new();
        let sink = CancelAt(stage, &cancel, Mutex::new(0));
        let run = Run { progress: &sink, ..Run::quiet(&cancel) };
        let result = generate(&mut engine, &request, &run);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled, "{stage:?}");
        assert_eq!(*sink.2.lock().unwrap(), 0, "{stage:?}: no step was finished after cancelling");
    }
    let again = generate(&mut engine, &request, &quietly(&never, &NotSaved)).unwrap().frames_sha256;
    assert_eq!(again, expected);
}

/// Takes previews until it has enough of them; cancels at the first if it is told to.
#[derive(Default)]
struct Looking {
    enough: usize,
    taken: Mutex<Vec<Preview>>,
    cancel: Option<CancelToken>,
}

impl PreviewSink for Looking {
    fn wanted(&self) -> bool {
        self.taken.lock().unwrap().len() < self.enough
    }
    fn show(&self, preview: Preview) {
        self.taken.lock().unwrap().push(preview);
        self.cancel.iter().for_each(CancelToken::cancel);
    }
}

#[test]
fn previews_change_no_bit_and_show_the_steps_they_name() {
    let (cancel, mut engine, request) = (CancelToken::new(), engine(), admitted(draft()));
    let quiet = generate(&mut engine, &request, &quietly(&cancel, &NotSaved)).unwrap();
    let looking = Looking { enough: 100, ..Looking::default() };
    let run = Run { previews: &looking, ..quietly(&cancel, &NotSaved) };
    let watched = generate(&mut engine, &request, &run).unwrap();
    assert_eq!((watched.frames_sha256, watched.latent_sha256), (quiet.frames_sha256, quiet.latent_sha256));
    let taken = looking.taken.into_inner().unwrap();
    assert_eq!(
        taken[0].after,
        Progress { stage: Stage::Denoising, done: 1, total: 3 },
        "the first costs nobody a wait"
    );
    for preview in &taken {
        let side = if preview.after.stage == Stage::Denoising { 32 } else { 64 };
        assert_eq!((preview.pixels.width, preview.pixels.height), (side, side), "{:?}", preview.after);
        assert_eq!(preview.rgb.len(), side * side * 3);
        assert!(preview.rgb.iter().any(|byte| *byte != preview.rgb[0]), "not one colour");
    }
}

#[test]
fn a_preview_does_not_hold_up_a_cancel() {
    let (cancel, mut engine) = (CancelToken::new(), engine());
    let looking = Looking { enough: 100, cancel: Some(cancel.clone()), ..Looking::default() };
    let recording = Recording::default();
    let run = Run { previews: &looking, ..quietly(&cancel, &recording) };
    let result = generate(&mut engine, &admitted(draft()), &run);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(looking.taken.into_inner().unwrap().len(), 1);
    assert_eq!(recording.saved.into_inner().unwrap().len(), 1, "the step that was shown is saved, none follows");
}

/// The final tokens of a run in a dtype.
fn final_tokens(dtype: DType) -> Tensor {
    let options = EngineOptions { compute: Compute::cpu_f32().with_dtype(dtype), ..EngineOptions::default() };
    let (cancel, recording) = (CancelToken::new(), Recording::default());
    let request = admitted(draft());
    generate(&mut Engine::open(&files(), options).unwrap(), &request, &quietly(&cancel, &recording)).unwrap();
    let SavedLatent { shape, values, .. } = recording.saved.into_inner().unwrap().pop().unwrap();
    Tensor::from_vec(values, &shape[..], &Device::Cpu).unwrap()
}

#[test]
fn half_precision_stays_near_full_precision() {
    let full = final_tokens(DType::F32);
    // bf16 keeps 8 bits of a value, f16 keeps 11; six steps and guidance add up.
    for (dtype, tolerance) in [(DType::BF16, 0.05), (DType::F16, 0.01)] {
        assert_close(&format!("{dtype:?}"), &final_tokens(dtype), &full, tolerance);
    }
}

#[test]
fn what_does_not_fit_the_model_is_refused_before_any_weight_is_read() {
    let cancel = CancelToken::new();
    let refuse = |engine: &mut Engine, draft: GenerationDraft| {
        generate(engine, &admitted(draft), &quietly(&cancel, &NotSaved)).unwrap_err()
    };
    let mut whole = engine();
    let blocks = Guidance { stg_blocks: vec![28], ..draft().guidance };
    let error = refuse(&mut whole, GenerationDraft { guidance: blocks, ..draft() });
    assert!(error.to_string().contains("stg_blocks: 28") && error.to_string().contains("nearest legal: 2"), "{error}");
    let error = refuse(&mut whole, GenerationDraft { prompt: "lake ".repeat(2000), ..draft() });
    assert!(error.to_string().contains(" tokens are more than the 1024"), "{error}");
    let mut single = Engine::open(&ModelFiles { upscaler: None, ..files() }, EngineOptions::default()).unwrap();
    assert!(matches!(pipelines(&refuse(&mut single, draft())), Some(PipelineError::NoUpscaler)));
}

#[test]
fn settings_of_a_tokenizer_that_cannot_be_read_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(tiny("gemma")).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let settings = folder.path().join("tokenizer_config.json");
    let _ = std::fs::remove_file(&settings);
    std::fs::create_dir(&settings).unwrap();
    let files = ModelFiles { text_encoder: folder.path().to_owned(), ..files() };
    match Engine::open(&files, EngineOptions::default()).err() {
        Some(PipelineError::Read { file, .. }) => assert_eq!(file, settings),
        other => panic!("{other:?}"),
    }
    std::fs::remove_dir(&settings).unwrap();
    let tokenizer = folder.path().join("tokenizer.json");
    std::fs::write(&tokenizer, "{}").unwrap();
    match Engine::open(&files, EngineOptions::default()).err() {
        Some(PipelineError::Tokenizer { file, .. }) => assert_eq!(file, tokenizer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_encoder_is_in_the_plan_of_decoding() {
    let engine = engine();
    let mut before = 0;
    for (width, height, frames) in [(64, 64, 9), (128, 128, 17), (256, 192, 33), (512, 384, 97)] {
        let images = draft().images.into_iter().take(1).collect();
        let request = admitted(GenerationDraft { width, height, frames, images, ..draft() });
        let request = request.request();
        let plan = engine.plan(request);
        let decoding = plan.stages.iter().find(|need| need.stage == Stage::Decoding).unwrap().activations;
        let encoder = Mp4Writer::memory_bytes(request.pixels, request.frames.get());
        assert!(encoder > before && decoding > encoder, "{width}x{height}x{frames}: {decoding}, {encoder}");
        before = encoder;
    }
}

#[test]
fn the_plan_names_every_stage_and_a_peak() {
    let plan = engine().plan(admitted(draft()).request());
    assert_eq!(plan.stages.len(), 6);
    assert!(plan.peak() > 1 << 20 && plan.peak() < 1 << 30, "{}", plan.peak());
}
