//! The queue on the real engine with the tiny model: stopped at several moments of both stages, it makes the frames of a quiet
//! run.
//!
//! Must not know commands: queue and engine stand alone here, as `ltx-jobs` does not know the engine.

use ltx_engine::{EngineError, Generator, MemoryPlan, PromptTokens};
use ltx_jobs::{Disk, EventKind, FailureCode, GenerationRecord, Jobs, LoadError, Models, State, Surroundings, Watched};
use ltx_pipeline::{Engine, EngineOptions, PipelineError};
use ltx_policy::{ModelIdentity, WeightFingerprint};
use ltx_testkit::{
    fake::{LONG, client, draft, ended, frames_of, policy, settings, submit_draft},
    tiny,
};
use ltx_types::{Generation, GenerationDraft, ModelFiles, ModelRules, Stage, Stages};
use std::{path::Path, sync::Arc};

struct Tiny(Engine);

fn engine() -> Result<Engine, PipelineError> {
    let files = ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        components: vec![],
        text_encoder: tiny("gemma"),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
        loras: vec![],
    };
    Engine::open(&files, EngineOptions::default())
}

impl Models for Tiny {
    fn load(&self, _: &str) -> Result<Box<dyn Generator>, LoadError> {
        Ok(Box::new(engine().map_err(EngineError::from)?))
    }

    fn identity(&self, model: &str) -> Option<ModelIdentity> {
        let weights = WeightFingerprint::default();
        Some(ModelIdentity { name: model.to_owned(), version: self.0.version().to_owned(), weights })
    }

    fn rules(&self, _: &str) -> Option<ModelRules> {
        Some(self.0.rules())
    }

    fn plan(&self, _: &str, request: &Generation) -> Option<MemoryPlan> {
        Some(self.0.plan(request))
    }

    fn prompt_tokens(&self, _: &str, prompt: &str) -> Option<PromptTokens> {
        Some(self.0.prompts().tokens(prompt))
    }

    fn resident_bytes(&self, _: &str) -> u64 {
        self.0.resident_bytes()
    }
}

fn open(data: &Path) -> Jobs {
    let models = Arc::new(Tiny(engine().unwrap()));
    let surroundings = Surroundings { models, policy: policy().into(), space: Box::new(Disk) };
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
    let jobs = open(folder.path());
    let request = GenerationDraft { width: 1024, height: 128, stages: Stages::Two, ..draft("a lake at dawn", 5) };
    let quiet = submit_draft(&jobs, "a", request.clone()).unwrap().record.id;
    let quiet = ended(&jobs, "a", quiet);
    let id = submit_draft(&jobs, "a", request).unwrap().record.id;
    let previews = jobs.previews(&client("a"), id).unwrap();
    let mut watch = jobs.watch(&client("a"), id, 0).unwrap();
    let mut sizes = Vec::new();
    while let Watched::Event(event) = watch.next_within(LONG).unwrap() {
        if let (EventKind::Progress { stage, .. }, Some(png)) = (&event.kind, previews.of(&event)) {
            sizes.push((*stage, looked_at(&png)));
        }
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
    let request = GenerationDraft { stages: Stages::Two, ..draft("a lake at dawn", 5) };
    goes_on(request, [(Stage::TextEncoding, 1), (Stage::Denoising, 2), (Stage::Denoising, 7), (Stage::Refining, 1)]);
}

/// Sigmas of one's own in both stages: more steps than the named schedule takes.
#[test]
fn a_schedule_of_ones_own_goes_on_where_it_was_stopped() {
    let sigmas = Some((0..=10).rev().map(|i| f64::from(i) / 10.0).collect());
    let refine_sigmas = Some(vec![0.9, 0.7, 0.5, 0.3, 0.0]);
    let request = GenerationDraft { stages: Stages::Two, sigmas, refine_sigmas, ..draft("a lake at dawn", 5) };
    goes_on(request, [(Stage::Denoising, 3), (Stage::Denoising, 9), (Stage::Refining, 2), (Stage::Refining, 4)]);
}

/// Stops a generation at some steps, each in a life of its own, and looks at what comes of it.
fn goes_on(request: GenerationDraft, stops: [(Stage, usize); 4]) {
    let quiet = tempfile::tempdir().unwrap();
    let jobs = open(quiet.path());
    let id = submit_draft(&jobs, "a", request.clone()).unwrap().record.id;
    let undisturbed = ended(&jobs, "a", id);
    assert_eq!(undisturbed.state, State::Done, "{:?}", undisturbed.failure);
    let outcome = undisturbed.outcome.as_ref().unwrap();
    println!(
        "predicted {} bytes, measured {:?}; first frame {:?}",
        undisturbed.predicted.peak_bytes, outcome.measured_peak_bytes, outcome.first_frame
    );

    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path());
    let id = submit_draft(&jobs, "a", request).unwrap().record.id;
    drop(jobs);
    for (stage, step) in stops {
        let jobs = open(folder.path());
        let last = jobs.get(&client("a"), id).unwrap().last_event;
        let mut watch = jobs.watch(&client("a"), id, last).unwrap();
        loop {
            match watch.next_within(LONG).unwrap() {
                Watched::Event(event) => match &event.kind {
                    EventKind::Progress { stage: at, done, .. } if (*at, *done) == (stage, step) => break,
                    kind => assert!(!kind.is_final(), "{kind:?} before {stage:?} {step}"),
                },
                other => panic!("{other:?}"),
            }
        }
        assert!(jobs.shutdown(LONG));
    }
    let jobs = open(folder.path());
    let record = ended(&jobs, "a", id);
    assert!(record.attempts >= 5 && record.outcome.as_ref().unwrap().resumed);
    assert_eq!(frames_of(&record), frames_of(&undisturbed));
    assert_eq!(record.outcome.unwrap().latent_sha256, outcome.latent_sha256);
}

#[test]
fn an_image_that_is_damaged_while_it_waits_fails_as_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path());
    let first = submit_draft(&jobs, "a", draft("a lake", 1)).unwrap().record.id;
    let id = submit_draft(&jobs, "a", draft("a lake", 2)).unwrap().record.id;
    drop(jobs);
    for image in std::fs::read_dir(folder.path().join("images")).unwrap() {
        std::fs::write(image.unwrap().path(), b"no picture any more").unwrap();
    }
    let jobs = open(folder.path());
    let record = ended(&jobs, "a", id);
    assert_eq!(record.failure.unwrap().code, FailureCode::Image);
    assert!(ended(&jobs, "a", first).state.is_final());
}
