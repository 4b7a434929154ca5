//! Seconds that follow from counts: known before the first run, measured only while nothing runs, corrected by what runs took,
//! and held against the node's limit.

mod common;

use common::{client, ended, eventually, settings, submit, submit_draft, surroundings};
use ltx_jobs::{Estimate, Jobs, JobsError, Surroundings};
use ltx_policy::{Ask, admit};
use ltx_testkit::fake::{FakeModels, FakeOptions, Gate, draft, policy};
use ltx_types::{GenerationDraft, Stage};
use std::{path::Path, sync::Arc};

/// Calls a second by which a frame of 64×64 takes a second: each of four stages counts its pixels.
const A_FRAME: f64 = 4.0 * 64.0 * 64.0;

fn counted(gate: &Gate) -> FakeOptions {
    FakeOptions { gate: gate.clone(), calls_per_second: Some(A_FRAME), ..FakeOptions::default() }
}

fn open(data: &Path, options: FakeOptions, seconds: Option<u64>) -> Jobs {
    let mut settings = settings(data);
    settings.limits.seconds = seconds;
    Jobs::open(settings.check().unwrap(), surroundings(options)).unwrap()
}

fn of_frames(frames: usize) -> GenerationDraft {
    GenerationDraft { frames, ..draft("a lake", 1) }
}

fn estimate(jobs: &Jobs, draft: GenerationDraft) -> Estimate {
    let admitted = admit(&Ask::default(), draft, &policy()).unwrap().check(&FakeModels::RULES).unwrap();
    jobs.estimate(&client("a"), &admitted).unwrap()
}

#[test]
fn seconds_are_counted_before_the_first_run_and_a_run_of_one_size_corrects_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), counted(&Gate::default()), None);
    let before = [9, 17].map(|frames| estimate(&jobs, of_frames(frames)).predicted);
    assert_eq!(before.each_ref().map(|it| (it.seconds, it.counted)), [(Some(9.0), true), (Some(17.0), true)]);
    assert_eq!(before[0].stages.len(), 4);
    let run = ended(&jobs, "a", submit(&jobs, "a", 1)).outcome.unwrap();
    let after = [9, 17].map(|frames| estimate(&jobs, of_frames(frames)).predicted);
    // What a stage took of what was counted of it is what it will take of another count.
    for (of_one, of_other) in after[0].stages.iter().zip(&after[1].stages) {
        let ratio = of_other.seconds / of_one.seconds;
        assert!((ratio - 17.0 / 9.0).abs() < 1e-9, "{:?}: {ratio}", of_one.stage);
        let taken = run.stages.iter().find(|time| time.stage == of_one.stage).unwrap().seconds;
        assert!((of_one.seconds - taken).abs() <= 1e-9 * taken, "{:?}: {} {taken}", of_one.stage, of_one.seconds);
    }
    assert!(!after[0].counted && after[0].seconds != before[0].seconds);
    // A restart knows the correction, too.
    drop(jobs);
    let jobs = open(folder.path(), counted(&Gate::default()), None);
    assert_eq!(estimate(&jobs, of_frames(17)).predicted, after[1]);
}

#[test]
fn rates_are_measured_only_while_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let models = FakeModels::new(FakeOptions { unmeasured: true, ..counted(&gate) });
    let surroundings = Surroundings { models: Arc::new(models.clone()), ..surroundings(FakeOptions::default()) };
    let jobs = Jobs::open(settings(folder.path()).check().unwrap(), surroundings).unwrap();
    let running = submit(&jobs, "a", 1);
    gate.reached(1, Stage::TextEncoding, 0);
    assert_eq!(estimate(&jobs, of_frames(9)).predicted.seconds, None);
    jobs.measure_rates(|| {});
    gate.bring_to(1, Stage::Denoising, 3);
    assert_eq!(models.pieces(), 0, "a generation is on the device");
    gate.open();
    ended(&jobs, "a", running);
    eventually("the rates are known", || models.pieces() == FakeModels::PIECES);
    assert_eq!(estimate(&jobs, of_frames(9)).predicted.stages.len(), 4);
}

#[test]
fn what_takes_too_long_is_told_what_would_not() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), counted(&Gate::default()), Some(20));
    let refused = |draft| match submit_draft(&jobs, "a", draft) {
        Err(JobsError::TakesTooLong { seconds, limit, counted, largest }) => {
            (seconds, limit, counted, largest.map(|shape| shape.to_string()))
        }
        other => panic!("{other:?}"),
    };
    let fits = |shape: &str| Some(shape.to_owned());
    assert_eq!(refused(of_frames(121)), (121.0, 20, true, fits("64x64, 17 frames")));
    let large = GenerationDraft { width: 640, height: 640, ..of_frames(121) };
    assert_eq!(refused(large), (12_100.0, 20, true, fits("256x256, 1 frames")));
    let said = estimate(&jobs, of_frames(25));
    assert!(!said.fits && said.limit_seconds == Some(20) && said.predicted.seconds == Some(25.0));
    let within = submit_draft(&jobs, "a", of_frames(17)).unwrap().record;
    assert_eq!(within.predicted.seconds, Some(17.0));
    assert_eq!(jobs.list(&client("a"), &Default::default(), 10, None).unwrap().records.len(), 1);
    assert!(ended(&jobs, "a", within.id).outcome.is_some());
}

#[test]
fn what_nobody_can_predict_is_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default(), Some(1));
    assert!(estimate(&jobs, of_frames(121)).fits);
    let accepted = submit_draft(&jobs, "a", of_frames(121)).unwrap().record;
    assert_eq!(accepted.predicted.seconds, None);
}
