//! Contexts that are kept: the frames of a hit are those of a miss, the text encoder is not touched for it, and whatever decides a
//! context decides its key.

use candle_core::DType;
use ltx_engine::{Cache, CacheKey, CachedTensor, Contexts, EngineError, Generator, NoCache, Outcome, Run};
use ltx_nn::{Compute, Level};
use ltx_pipeline::{Engine, EngineOptions, PipelineError, PlanShape};
use ltx_policy::{Admitted, Ask, ModelNames, PolicyConfig, admit};
use ltx_testkit::{data, tiny};
use ltx_types::{
    CancelToken, Defaults, FramePosition, Generation, GenerationDraft, ImageInput, ImageSource, LoraChoice, ModelFiles,
    ModelRules, NoProgress, Overrides, Progress, ProgressSink, Schedule, Stage, Stages, Strength,
};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

fn files() -> ModelFiles {
    ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        components: vec![],
        text_encoder: tiny("gemma"),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
        loras: vec![],
    }
}

fn engine_of(files: &ModelFiles) -> Engine {
    Engine::open(files, EngineOptions::default()).unwrap()
}

fn draft(schedule: Schedule, prompt: &str, negative: &str) -> GenerationDraft {
    let image = ImageInput {
        source: ImageSource::Path(data("kf_two_stage").join("image0.png")),
        position: FramePosition::First,
        strength: Strength::FULL,
    };
    let guided = schedule == Schedule::Guided;
    let said = Overrides {
        negative_prompt: guided.then(|| negative.to_owned()),
        width: Some(64),
        height: Some(64),
        frames: Some(9),
        steps: guided.then_some(2),
        stg_blocks: guided.then(|| vec![1]),
        stages: Some(Stages::One),
        ..Overrides::default()
    };
    Defaults::official(schedule).fill(said, prompt.into(), vec![image])
}

fn admitted(draft: GenerationDraft) -> Admitted<Generation> {
    let policy = PolicyConfig::new(ModelNames::new(vec![], []));
    admit(&Ask::default(), draft, &policy).unwrap().check(&ModelRules::LTX).unwrap()
}

fn guided(prompt: &str, negative: &str) -> Admitted<Generation> {
    admitted(draft(Schedule::Guided, prompt, negative))
}

/// Keeps everything.
#[derive(Default)]
struct Keeping(Mutex<HashMap<CacheKey, Arc<CachedTensor>>>);

impl Cache for Keeping {
    fn keeps(&self) -> bool {
        true
    }
    fn holds(&self, key: &CacheKey) -> bool {
        self.0.lock().unwrap().contains_key(key)
    }
    fn get(&self, key: &CacheKey) -> Option<Arc<CachedTensor>> {
        self.0.lock().unwrap().get(key).cloned()
    }
    fn put(&self, key: &CacheKey, tensor: CachedTensor) {
        self.0.lock().unwrap().insert(*key, Arc::new(tensor));
    }
}

/// Counts what the text encoder reports.
#[derive(Default)]
struct TextReports(Mutex<usize>);

impl ProgressSink for TextReports {
    fn report(&self, progress: Progress) {
        *self.0.lock().unwrap() += usize::from(progress.stage == Stage::TextEncoding);
    }
}

fn generate(
    engine: &mut Engine,
    request: &Admitted<Generation>,
    cache: &dyn Cache,
    progress: &dyn ProgressSink,
) -> Result<Outcome, EngineError> {
    let cancel = CancelToken::new();
    engine.generate(request, &mut [], &Run { progress, cache, ..Run::quiet(&cancel) })
}

fn frames(engine: &mut Engine, request: &Admitted<Generation>, cache: &dyn Cache) -> (String, Contexts) {
    let Outcome { frames_sha256, contexts, .. } = generate(engine, request, cache, &NoProgress).unwrap();
    (frames_sha256, contexts)
}

#[test]
fn a_hit_gives_the_frames_of_a_miss_and_encodes_nothing() {
    let requests = || [guided("a lake", "blurry"), admitted(draft(Schedule::Distilled, "a lake", ""))];
    let fresh = requests().map(|request| frames(&mut engine_of(&files()), &request, &NoCache).0);
    let (cache, mut engine) = (Keeping::default(), engine_of(&files()));
    let [with_negative, alone] = requests();
    assert_eq!(frames(&mut engine, &with_negative, &cache), (fresh[0].clone(), Contexts { cached: 0, encoded: 2 }));
    // A prompt that was encoded beside a negative one is the same alone.
    assert_eq!(frames(&mut engine, &alone, &cache), (fresh[1].clone(), Contexts { cached: 1, encoded: 0 }));
    for engine in [&mut engine, &mut engine_of(&files())] {
        let reports = TextReports::default();
        let outcome = generate(engine, &with_negative, &cache, &reports).unwrap();
        assert_eq!((outcome.frames_sha256, outcome.contexts), (fresh[0].clone(), Contexts { cached: 2, encoded: 0 }));
        assert_eq!(*reports.0.lock().unwrap(), 0);
    }
    // With another prompt the negative one is still there, and what is new is encoded alone.
    let other = guided("a forest", "blurry");
    let expected = frames(&mut engine_of(&files()), &other, &NoCache).0;
    assert_eq!(frames(&mut engine, &other, &cache), (expected, Contexts { cached: 1, encoded: 1 }));
    let another = guided("a lake", "dark");
    let expected = frames(&mut engine_of(&files()), &another, &NoCache).0;
    assert_eq!(frames(&mut engine, &another, &cache), (expected, Contexts { cached: 1, encoded: 1 }));
}

#[test]
fn of_a_hit_no_weight_of_the_text_encoder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(tiny("gemma")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let files = ModelFiles { text_encoder: folder.path().to_owned(), ..files() };
    let (cache, mut engine) = (Keeping::default(), engine_of(&files));
    let expected = frames(&mut engine, &guided("a lake", "blurry"), &cache).0;
    // Reading it from now on is an error.
    let weights = folder.path().join("model.safetensors");
    fs::OpenOptions::new().write(true).open(&weights).unwrap().set_len(1 << 12).unwrap();
    assert_eq!(frames(&mut engine, &guided("a lake", "blurry"), &cache).0, expected);
    let error = generate(&mut engine, &guided("a forest", "blurry"), &cache, &NoProgress).unwrap_err();
    let source = error.get_ref().downcast_ref::<PipelineError>();
    assert!(matches!(source, Some(PipelineError::Nn(_))), "{error:?}");
}

/// A copy of a safetensors file whose metadata or bytes may differ, with a time of its own.
fn copied(folder: &Path, file: &Path) -> std::path::PathBuf {
    let copy = folder.join(file.file_name().unwrap());
    fs::copy(file, &copy).unwrap();
    copy
}

#[test]
fn whatever_decides_a_context_decides_its_key() {
    let request = guided("a lake", "blurry");
    let of = |engine: Engine, request: &Admitted<Generation>| engine.context_keys(request.request());
    let with = |options| Engine::open(&files(), options).unwrap();
    let usual = of(engine_of(&files()), &request);
    assert_eq!(usual.len(), 2);
    assert_ne!(usual[0], usual[1]);
    assert_eq!(of(engine_of(&files()), &request), usual, "another engine of the same");
    let compute = Compute::cpu_f32();
    let mut others = vec![
        of(with(EngineOptions { compute: compute.with_dtype(DType::BF16), ..EngineOptions::default() }), &request),
        of(with(EngineOptions { compute: Compute::named("int8").unwrap(), ..EngineOptions::default() }), &request),
        of(with(EngineOptions { build: "another".into(), ..EngineOptions::default() }), &request),
    ];
    if Level::widest() != Level::PORTABLE {
        let kernels = ltx_nn::KernelChoice { level: Level::PORTABLE, ..compute.kernels };
        let portable = Compute { kernels, ..compute };
        others.push(of(with(EngineOptions { compute: portable, ..EngineOptions::default() }), &request));
    }
    // Weights of another time of change, and those that a LoRA changes.
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = copied(folder.path(), &files().checkpoint);
    others.push(of(engine_of(&ModelFiles { checkpoint, ..files() }), &request));
    let lora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-distilled-lora.safetensors");
    let lora = |strength| ModelFiles { loras: vec![LoraChoice::new(&lora, strength)], ..files() };
    let [weak, strong] = [0.5, 1.0].map(|strength| of(engine_of(&lora(strength)), &request));
    // That LoRA leaves text alone or does not; where it does, its strength decides nothing.
    assert_eq!(weak == usual, strong == usual);
    others.extend([weak, strong].into_iter().filter(|keys| *keys != usual));
    for (i, one) in others.iter().enumerate() {
        assert!(one.iter().all(|key| !usual.contains(key)), "{i}");
        assert!(others[..i].iter().flatten().all(|key| !one.contains(key)), "{i}");
    }
    // What decides nothing: where weights lie, sizes, seeds, what is beside.
    let streamed = EngineOptions { resident_bytes: u64::MAX, beside_bytes: 7, ..EngineOptions::default() };
    assert_eq!(of(with(streamed), &request), usual);
    let larger = admitted(GenerationDraft { width: 128, frames: 17, ..draft(Schedule::Guided, "a lake", "blurry") });
    assert_eq!(of(engine_of(&files()), &larger), usual);
    assert_eq!(of(engine_of(&files()), &guided("a lake", "dark"))[0], usual[0]);
    let distilled = admitted(draft(Schedule::Distilled, "a lake", ""));
    assert_eq!(of(engine_of(&files()), &distilled), usual[..1]);
    // Random weights are others every time.
    let random = EngineOptions { random_weights: true, ..EngineOptions::default() };
    assert_eq!(of(with(random), &request), []);
}

#[test]
fn no_text_stage_is_planned_where_every_context_is_kept() {
    let (cache, mut engine) = (Keeping::default(), engine_of(&files()));
    let request = guided("a lake", "blurry");
    let stages = |engine: &Engine, request: &Admitted<Generation>| {
        let plan = engine.plan_with(request.request(), &cache);
        plan.stages.iter().map(|need| need.stage).collect::<Vec<_>>()
    };
    let all = stages(&engine, &request);
    assert_eq!(all[0], Stage::TextEncoding);
    frames(&mut engine, &request, &cache);
    assert_eq!(stages(&engine, &request), all[1..]);
    assert_eq!(stages(&engine, &guided("a forest", "blurry")), all, "one of two");
    let shape = PlanShape { encodes: false, ..PlanShape::of(request.request(), engine.prompts()) };
    assert_eq!(engine.plan_with(request.request(), &cache).peak(), engine.plan_shape(&shape).peak());
    assert_eq!(engine.plan_with(request.request(), &NoCache).peak(), engine.plan(request.request()).peak());
}
