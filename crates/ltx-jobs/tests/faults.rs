//! Panics, failures, and a policy that has changed its mind: typed, and the next generation is not harmed.

mod common;

use common::{behind, client, ended, frames_of, open, settings, submit, submit_draft, undisturbed_seeds};
use ltx_jobs::{FailureCode, Jobs, State, Surroundings};
use ltx_policy::{ModelNames, PolicyConfig};
use ltx_testkit::fake::{FakeModels, FakeOptions, Gate, draft, policy};
use ltx_types::Stage;
use std::sync::Arc;

#[test]
fn a_panic_fails_one_generation_and_the_engine_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let models = FakeModels::new(FakeOptions::default());
    let space = Box::new(ltx_jobs::Disk);
    let surroundings = Surroundings {
        models: Arc::new(models.clone()),
        policy: policy().into(),
        space,
        credentials: None,
        tracer: None,
    };
    let jobs = Jobs::open(settings(folder.path()).check().unwrap(), surroundings).unwrap();
    jobs.preload(FakeModels::NAME).unwrap();
    let status = jobs.status().unwrap();
    assert_eq!(status.loaded_model.as_deref(), Some(FakeModels::NAME));
    assert_eq!(status.resident_weight_bytes, FakeModels::RESIDENT);
    let panics = submit_draft(&jobs, "a", draft("panic", 1)).unwrap().record.id;
    let fails = submit_draft(&jobs, "a", draft("fail", 2)).unwrap().record.id;
    let large = submit_draft(&jobs, "a", draft("too large for the device", 4)).unwrap().record.id;
    let good = submit(&jobs, "a", 3);
    let failure = |id| ended(&jobs, "a", id).failure.unwrap();
    assert_eq!(failure(panics).code, FailureCode::Panicked);
    assert!(failure(panics).message.contains("the prompt says so"));
    assert_eq!(failure(fails).code, FailureCode::Invalid);
    assert_eq!(failure(large).code, FailureCode::Engine);
    assert!(failure(large).message.contains("does not fit into the device's memory"));
    assert_eq!(frames_of(&ended(&jobs, "a", good)), undisturbed_seeds([3])[0]);
    assert_eq!(models.loads(), 2, "once, and once more after the panic");
    drop(jobs);
    assert_eq!(common::files(&folder.path().join("latents")), [""; 0]);
    assert_eq!(common::files(&folder.path().join("outputs")).len(), 3);
}

#[test]
fn a_stored_request_is_judged_again() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = open(folder.path(), behind(&gate));
    let first = submit(&jobs, "a", 1);
    let second = submit(&jobs, "a", 2);
    // The first was judged again before the policy changed, the second is after it.
    gate.reached(1, Stage::TextEncoding, 0);
    jobs.policy().set(PolicyConfig::new(ModelNames::new(vec![], [])).with_loaded([]));
    gate.open();
    assert_eq!(ended(&jobs, "a", first).state, State::Done);
    let record = ended(&jobs, "a", second);
    assert_eq!((record.state, record.failure.unwrap().code), (State::Failed, FailureCode::Refused));
    jobs.delete(&client("a"), second).unwrap();
    assert!(jobs.get(&client("a"), second).is_err());
}
