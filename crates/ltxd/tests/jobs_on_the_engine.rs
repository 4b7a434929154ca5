//! The queue on the real engine with the tiny model: stopped at several moments of both stages, it makes the frames of a quiet
//! run. Where it is stopped is no race: the engine's progress waits there.
//!
//! Must not know commands: queue and engine stand alone here, as `ltx-jobs` does not know the engine.

use ltx_engine::{CacheKey, EngineError, Generator, MemoryPlan, Outcome, PromptTokens, Run};
use ltx_jobs::{Disk, EventKind, FailureCode, GenerationRecord, Jobs, LoadError, Models, State, Surroundings, Watched};
use ltx_media::FrameWriter;
use ltx_pipeline::{Engine, EngineOptions, PipelineError};
use ltx_policy::{Admitted, ModelIdentity, WeightFingerprint};
use ltx_testkit::{
    fake::{LONG, client, draft, ended, frames_of, policy, settings, submit_draft},
    tiny,
};
use ltx_types::{
    CancelToken, Generation, GenerationDraft, LoraChoice, LoraStrengths, LoraUse, ModelFiles, ModelRules, Progress,
    ProgressSink, Stage, Stages,
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What happens on the device thread behind every report of progress, once it is an event.
type Behind = Arc<dyn Fn(Progress, &CancelToken) + Send + Sync>;

/// The tiny model, and what happens behind its reports.
struct Tiny(Engine, Behind);

/// An engine that does something behind its reports.
struct Reported(Engine, Behind);

impl Generator for Reported {
    fn generate(
        &mut self,
        request: &Admitted<Generation>,
        writers: &mut [Box<dyn FrameWriter>],
        run: &Run<'_>,
    ) -> Result<Outcome, EngineError> {
        let progress = Reporting { sink: run.progress, cancel: run.cancel, behind: &self.1 };
        self.0.generate(request, writers, &Run { progress: &progress, ..*run })
    }
}

struct Reporting<'a> {
    sink: &'a dyn ProgressSink,
    cancel: &'a CancelToken,
    behind: &'a Behind,
}

impl ProgressSink for Reporting<'_> {
    fn report(&self, progress: Progress) {
        self.sink.report(progress);
        (self.behind)(progress, self.cancel);
    }
}

/// Holds the device behind a step until it is told to stop, and tells that it is there.
fn hold_at(place: (Stage, usize)) -> (Behind, Receiver<()>) {
    let (told, reached) = channel();
    let behind = move |progress: Progress, cancel: &CancelToken| {
        if (progress.stage, progress.done) != place {
            return;
        }
        // Nobody waits for it any more where the test has failed.
        let _ = told.send(());
        let began = Instant::now();
        while !cancel.is_cancelled() && began.elapsed() < LONG {
            thread::sleep(Duration::from_millis(1));
        }
    };
    (Arc::new(behind), reached)
}

/// Goes on behind every report only once the test says so.
fn step_by_step() -> (Behind, Sender<()>) {
    let (go_on, told) = channel();
    let told = Mutex::new(told);
    let behind = move |_: Progress, cancel: &CancelToken| {
        let told = told.lock().unwrap();
        if !cancel.is_cancelled() {
            // Where the test has failed there is no sender, and it goes on.
            let _ = told.recv_timeout(LONG);
        }
    };
    (Arc::new(behind), go_on)
}

/// Nothing happens.
fn freely() -> Behind {
    Arc::new(|_: Progress, _: &CancelToken| {})
}

/// A LoRA of the tiny model.
fn lora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ltx-pipeline/tests/data/tiny-distilled-lora.safetensors")
}

fn engine() -> Result<Engine, PipelineError> {
    let files = ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        components: vec![],
        text_encoder: tiny("gemma"),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
        loras: vec![LoraChoice { name: Some("distilled".into()), ..LoraChoice::new(lora(), 1.0) }],
    };
    Engine::open(&files, EngineOptions::default())
}

impl Models for Tiny {
    fn load(&self, _: &str) -> Result<Box<dyn Generator>, LoadError> {
        Ok(Box::new(Reported(engine().map_err(EngineError::from)?, Arc::clone(&self.1))))
    }

    fn identity(&self, model: &str, _: &Generation) -> Option<ModelIdentity> {
        let weights = WeightFingerprint::default();
        let (version, eight_bit) = (self.0.version_or(None), self.0.multiplies_in_8_bits());
        Some(ModelIdentity {
            name: model.to_owned(),
            version,
            weights,
            eight_bit,
            diffusion_decoder: self.0.draws_frames(),
        })
    }

    fn rules(&self, _: &str) -> Option<ModelRules> {
        Some(self.0.rules())
    }

    fn plan(&self, _: &str, request: &Generation) -> Option<MemoryPlan> {
        Some(self.0.plan(request))
    }

    fn context_keys(&self, _: &str, request: &Generation) -> Vec<CacheKey> {
        self.0.context_keys(request)
    }

    fn prompt_tokens(&self, _: &str, prompt: &str) -> Option<PromptTokens> {
        Some(self.0.prompts().tokens(prompt))
    }

    fn resident_bytes(&self, _: &str) -> u64 {
        self.0.resident_bytes()
    }
}

fn open(data: &Path, behind: Behind) -> Jobs {
    let models = Arc::new(Tiny(engine().unwrap(), behind));
    let surroundings =
        Surroundings { models, policy: policy().into(), space: Box::new(Disk), credentials: None, tracer: None };
    Jobs::open(settings(data).check().unwrap(), surroundings).unwrap()
}

/// Width and height of a preview, after a look at its label.
fn looked_at(png: &[u8]) -> (u32, u32) {
    let reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let text = &reader.info().utf8_text;
    let said = |key: &str| text.iter().find(|chunk| chunk.keyword == key).map(|chunk| chunk.get_text().unwrap());
    assert_eq!(said("preview").as_deref(), Some("true"));
    assert_eq!(said("usage_class").as_deref(), Some("UNLIMITED"));
    (reader.info().width, reader.info().height)
}

#[test]
fn previews_of_the_real_engine_leave_the_clip_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), freely());
    let request = GenerationDraft { width: 1024, height: 128, stages: Stages::Two, ..draft("a lake at dawn", 5) };
    let quiet = submit_draft(&jobs, "a", request.clone()).unwrap().record.id;
    let quiet = ended(&jobs, "a", quiet);
    drop(jobs);
    // A preview is there until the next one: every event is looked at before the engine goes on.
    let (behind, go_on) = step_by_step();
    let jobs = open(folder.path(), behind);
    let id = submit_draft(&jobs, "a", request).unwrap().record.id;
    let previews = jobs.previews(&client("a"), id).unwrap();
    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
    let mut sizes = Vec::new();
    while let Watched::Event(event) = watch.next_within(LONG).unwrap() {
        let EventKind::Progress { stage, .. } = event.kind else { continue };
        sizes.extend(previews.of(&event).map(|png| (stage, looked_at(&png))));
        go_on.send(()).unwrap();
    }
    assert!(!sizes.is_empty());
    for (stage, size) in &sizes {
        // The refined latent has 32 columns and 4 rows; no side of a preview has more than 16.
        assert_eq!(*size, (512, 64), "{stage:?}");
    }
    let watched = jobs.get(&client("a"), id).unwrap();
    println!("{} previews; {:?} and {:?}", sizes.len(), stages_of(&quiet), stages_of(&watched));
    assert_eq!(frames_of(&watched), frames_of(&quiet));
}

fn stages_of(record: &GenerationRecord) -> Vec<(Stage, f64)> {
    record.outcome.iter().flat_map(|outcome| &outcome.stages).map(|time| (time.stage, time.seconds)).collect()
}

#[test]
fn a_stopped_generation_goes_on_to_the_same_frames() {
    let stops = [(Stage::TextEncoding, 1), (Stage::Denoising, 2), (Stage::Denoising, 7), (Stage::Refining, 1)];
    let of = |loras| GenerationDraft { stages: Stages::Two, loras, ..draft("a lake at dawn", 5) };
    let plain = goes_on(of(vec![]), stops);
    // Another transformer in the second stage than in the first.
    let strengths = LoraStrengths { first: 0.5, second: 1.0 };
    assert_ne!(goes_on(of(vec![LoraUse::listed("distilled", strengths)]), stops), plain);
}

/// Sigmas of one's own in both stages: more steps than the named schedule takes.
#[test]
fn a_schedule_of_ones_own_goes_on_where_it_was_stopped() {
    let sigmas = Some((0..=10).rev().map(|i| f64::from(i) / 10.0).collect());
    let refine_sigmas = Some(vec![0.9, 0.7, 0.5, 0.3, 0.0]);
    let request = GenerationDraft { stages: Stages::Two, sigmas, refine_sigmas, ..draft("a lake at dawn", 5) };
    goes_on(request, [(Stage::Denoising, 3), (Stage::Denoising, 9), (Stage::Refining, 2), (Stage::Refining, 4)]);
}

/// Stops a generation at some steps, each in a life of its own, and looks at what comes of it. The frames' digest, stopped or not.
fn goes_on(request: GenerationDraft, stops: [(Stage, usize); 4]) -> String {
    let quiet = tempfile::tempdir().unwrap();
    let jobs = open(quiet.path(), freely());
    let id = submit_draft(&jobs, "a", request.clone()).unwrap().record.id;
    let undisturbed = ended(&jobs, "a", id);
    assert_eq!(undisturbed.state, State::Done, "{:?}", undisturbed.failure);
    let outcome = undisturbed.outcome.as_ref().unwrap();
    println!(
        "predicted {} bytes, measured {:?}; first frame {:?}",
        undisturbed.predicted.peak_bytes, outcome.measured_peak_bytes, outcome.first_frame
    );

    let folder = tempfile::tempdir().unwrap();
    let mut id = None;
    for place in stops {
        let (behind, reached) = hold_at(place);
        let jobs = open(folder.path(), behind);
        let id = *id.get_or_insert_with(|| submit_draft(&jobs, "a", request.clone()).unwrap().record.id);
        reached.recv_timeout(LONG).unwrap_or_else(|_| panic!("{place:?}: {:?}", jobs.get(&client("a"), id)));
        assert!(jobs.shutdown(LONG));
    }
    let jobs = open(folder.path(), freely());
    let record = ended(&jobs, "a", id.unwrap());
    assert!(record.attempts == 5 && record.outcome.as_ref().unwrap().resumed, "{} attempts", record.attempts);
    assert_eq!(frames_of(&record), frames_of(&undisturbed));
    let gone_on = record.outcome.unwrap();
    assert_eq!(gone_on.latent_sha256, outcome.latent_sha256);
    gone_on.frames_sha256
}

#[test]
fn an_image_that_is_damaged_while_it_waits_fails_as_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let (behind, reached) = hold_at((Stage::TextEncoding, 0));
    let jobs = open(folder.path(), behind);
    let first = submit_draft(&jobs, "a", draft("a lake", 1)).unwrap().record.id;
    let id = submit_draft(&jobs, "a", draft("a lake", 2)).unwrap().record.id;
    reached.recv_timeout(LONG).unwrap();
    drop(jobs);
    for image in std::fs::read_dir(folder.path().join("images")).unwrap() {
        std::fs::write(image.unwrap().path(), b"no picture any more").unwrap();
    }
    let jobs = open(folder.path(), freely());
    let record = ended(&jobs, "a", id);
    assert_eq!(record.failure.unwrap().code, FailureCode::Image);
    assert!(ended(&jobs, "a", first).state.is_final());
}
