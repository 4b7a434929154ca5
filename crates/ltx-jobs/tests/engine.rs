//! The real engine on the tiny model: stopped at several moments of both stages, it makes the frames of a quiet run.

mod common;

use common::{LONG, client, ended, frames_of, settings, submit_draft};
use ltx_jobs::{Disk, EventKind, Jobs, Models, State, Surroundings, Watched};
use ltx_pipeline::{Engine, EngineOptions, Generator, MemoryPlan, ModelFiles, PipelineError};
use ltx_policy::{ModelIdentity, WeightFingerprint};
use ltx_testkit::{
    fake::{draft, policy},
    tiny,
};
use ltx_types::{Generation, GenerationDraft, Stage, Stages};
use std::{path::Path, sync::Arc};

struct Tiny(Engine);

fn engine() -> Result<Engine, PipelineError> {
    let files = ModelFiles {
        checkpoint: tiny("ltx-2.3-tiny-dev.safetensors"),
        text_encoder: tiny("gemma"),
        upscaler: Some(tiny("ltx-2.3-tiny-spatial-upscaler-x2.safetensors")),
    };
    Engine::open(&files, EngineOptions::default())
}

impl Models for Tiny {
    fn load(&self, _: &str) -> Result<Box<dyn Generator>, PipelineError> {
        Ok(Box::new(engine()?))
    }

    fn identity(&self, model: &str) -> Option<ModelIdentity> {
        let weights = WeightFingerprint::default();
        Some(ModelIdentity { name: model.to_owned(), version: self.0.version().to_owned(), weights })
    }

    fn plan(&self, _: &str, request: &Generation) -> Option<MemoryPlan> {
        Some(self.0.plan(request))
    }
}

fn open(data: &Path) -> Jobs {
    let models = Arc::new(Tiny(engine().unwrap()));
    let surroundings = Surroundings { models, policy: policy(), space: Box::new(Disk) };
    Jobs::open(settings(data).check().unwrap(), surroundings).unwrap()
}

#[test]
fn a_stopped_generation_goes_on_to_the_same_frames() {
    let request = GenerationDraft { stages: Stages::Two, ..draft("a lake at dawn", 5) };
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
    for (stage, step) in [(Stage::TextEncoding, 1), (Stage::Denoising, 2), (Stage::Denoising, 7), (Stage::Refining, 1)]
    {
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
