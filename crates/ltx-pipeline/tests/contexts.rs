//! Encodings that are kept: the frames of a hit are those of a miss, the text encoder is not touched for it, and whatever decides a
//! context decides its key.

use candle_core::{DType, Device, Tensor};
use ltx_engine::{Cache, CacheKey, CachedTensor, Encodings, EngineError, Generator, NoCache, Outcome, Run};
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
    path::{Path, PathBuf},
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

fn frames(engine: &mut Engine, request: &Admitted<Generation>, cache: &dyn Cache) -> (String, Encodings) {
    let Outcome { frames_sha256, contexts, .. } = generate(engine, request, cache, &NoProgress).unwrap();
    (frames_sha256, contexts)
}

#[test]
fn a_hit_gives_the_frames_of_a_miss_and_encodes_nothing() {
    let requests = || [guided("a lake", "blurry"), admitted(draft(Schedule::Distilled, "a lake", ""))];
    let fresh = requests().map(|request| frames(&mut engine_of(&files()), &request, &NoCache).0);
    let (cache, mut engine) = (Keeping::default(), engine_of(&files()));
    let [with_negative, alone] = requests();
    assert_eq!(frames(&mut engine, &with_negative, &cache), (fresh[0].clone(), Encodings { cached: 0, encoded: 2 }));
    // A prompt that was encoded beside a negative one is the same alone.
    assert_eq!(frames(&mut engine, &alone, &cache), (fresh[1].clone(), Encodings { cached: 1, encoded: 0 }));
    for engine in [&mut engine, &mut engine_of(&files())] {
        let reports = TextReports::default();
        let outcome = generate(engine, &with_negative, &cache, &reports).unwrap();
        assert_eq!((outcome.frames_sha256, outcome.contexts), (fresh[0].clone(), Encodings { cached: 2, encoded: 0 }));
        assert_eq!(*reports.0.lock().unwrap(), 0);
    }
    // With another prompt the negative one is still there, and what is new is encoded alone.
    let other = guided("a forest", "blurry");
    let expected = frames(&mut engine_of(&files()), &other, &NoCache).0;
    assert_eq!(frames(&mut engine, &other, &cache), (expected, Encodings { cached: 1, encoded: 1 }));
    let another = guided("a lake", "dark");
    let expected = frames(&mut engine_of(&files()), &another, &NoCache).0;
    assert_eq!(frames(&mut engine, &another, &cache), (expected, Encodings { cached: 1, encoded: 1 }));
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

/// A copy of a file, with a time of its own.
fn copied(folder: &Path, file: &Path) -> PathBuf {
    let copy = folder.join(file.file_name().unwrap());
    fs::copy(file, &copy).unwrap();
    copy
}

/// Changes the last bit of a tensor of a safetensors file that is there, and not its time.
fn flip(file: &Path, key: &str) {
    let time = fs::metadata(file).unwrap().modified().unwrap();
    let mut bytes = fs::read(file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let stated: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let end = stated[key]["data_offsets"][1].as_u64().unwrap() as usize;
    bytes[header + end - 1] ^= 1;
    fs::write(file, bytes).unwrap();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_modified(time).unwrap();
}

const TEXT_LAYER: &str = "diffusion_model.video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q";
const VIDEO_LAYER: &str = "diffusion_model.transformer_blocks.0.attn1.to_q";

/// A LoRA of a layer of the text connector and of one of the transformer, all of whose values are this one.
fn text_lora(folder: &Path, value: f32) -> PathBuf {
    let matrix = |rows: usize, columns: usize| Tensor::full(value, (rows, columns), &Device::Cpu).unwrap();
    let pair =
        |layer| [("A", matrix(2, 64)), ("B", matrix(64, 2))].map(|(of, t)| (format!("{layer}.lora_{of}.weight"), t));
    let tensors: HashMap<_, _> = [TEXT_LAYER, VIDEO_LAYER].into_iter().flat_map(pair).collect();
    let file = folder.join("text-lora.safetensors");
    candle_core::safetensors::save(&tensors, &file).unwrap();
    file
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
        of(with(EngineOptions { build: || Some("another"), ..EngineOptions::default() }), &request),
    ];
    if Level::widest() != Level::PORTABLE {
        let kernels = ltx_nn::KernelChoice { level: Level::PORTABLE, ..compute.kernels };
        let portable = Compute { kernels, ..compute };
        others.push(of(with(EngineOptions { compute: portable, ..EngineOptions::default() }), &request));
    }
    // Weights of another time of change; of the same time, another projection and, which decides nothing, another transformer.
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = copied(folder.path(), &files().checkpoint);
    let changed = || of(engine_of(&ModelFiles { checkpoint: checkpoint.clone(), ..files() }), &request);
    let touched = changed();
    flip(&checkpoint, "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight");
    assert_eq!(changed(), touched);
    flip(&checkpoint, "text_embedding_projection.video_aggregate_embed.weight");
    others.extend([touched, changed()]);
    // A LoRA's strength and matrices, where they are of text; those of video decide nothing.
    let lora = text_lora(folder.path(), 0.1);
    let worn = |strength| {
        let loras = vec![LoraChoice::new(&lora, strength)];
        of(engine_of(&ModelFiles { loras, ..files() }), &request)
    };
    let strong = worn(1.0);
    assert_eq!(worn(0.0), usual);
    flip(&lora, &format!("{VIDEO_LAYER}.lora_B.weight"));
    assert_eq!(worn(1.0), strong);
    flip(&lora, &format!("{TEXT_LAYER}.lora_B.weight"));
    others.extend([strong, worn(1.0), worn(0.5)]);
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
    // Random weights are others every time, and a program that cannot be told from others may be any.
    let random = EngineOptions { random_weights: true, ..EngineOptions::default() };
    let unknown = EngineOptions { build: || None, ..EngineOptions::default() };
    assert_eq!([of(with(random), &request), of(with(unknown), &request)], [[], []]);
}

#[test]
fn what_is_not_finite_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |value| {
        let (cache, loras) = (Keeping::default(), vec![LoraChoice::new(text_lora(folder.path(), value), 1.0)]);
        let mut engine = engine_of(&ModelFiles { loras, ..files() });
        // What becomes of the clip is not the cache's to say.
        let _ = generate(&mut engine, &guided("a lake", "blurry"), &cache, &NoProgress);
        cache.0.into_inner().unwrap().len()
    };
    // Of the large one a product is beyond every float.
    // The image's latent is kept either way.
    assert_eq!([0.1, 1e30].map(kept), [3, 1]);
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
