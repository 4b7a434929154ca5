//! Taking requests in: idempotency, fairness, bounds, isolation, estimates, outputs.

mod common;

use common::{behind, client, ended, files, frames_of, open, settings, submission, submit, submit_draft, surroundings};
use ltx_jobs::{Filter, Jobs, JobsError, Limits, OutputKind, PageToken, State};
use ltx_policy::{Ask, admit};
use ltx_testkit::fake::{FakeModels, FakeOptions, Gate, StepLog, draft, picture, policy};
use ltx_types::{
    GenerationDraft, ImageCondition, ImageSource, Method, Stage, Strength,
    settings::{Bounded, PerSecond},
};
use std::{io::Read, time::Duration};

/// What every plan counts for the process itself, in bytes.
const PROCESS: u64 = 48 << 20;

#[test]
fn a_finished_generation_has_marked_outputs_and_says_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let mut both = draft("a lake", 7);
    let end = ImageCondition { source: ImageSource::Bytes(picture()), frame_index: 8, strength: Strength::FULL };
    both.images.push(end);
    let id = submit_draft(&jobs, "a", both).unwrap().record.id;
    let record = ended(&jobs, "a", id);
    assert_eq!((record.state, record.attempts, record.failure.as_ref()), (State::Done, 1, None));
    let outcome = record.outcome.unwrap();
    assert_eq!((outcome.frames, outcome.resumed), (9, false));
    assert!(outcome.first_frame.is_some_and(|f| f.psnr_db > 0.0 && f.ssim <= 1.0) && outcome.last_frame.is_some());
    assert!(outcome.measured_peak_bytes.is_some_and(|bytes| bytes > 1 << 20));
    assert_eq!(record.predicted.peak_bytes, PROCESS + 64 * 64 * 9);
    assert_eq!(outcome.mark["usage_class"], "UNLIMITED");
    assert_eq!(outcome.mark["weights"]["header_sha256"], "fa".repeat(32));
    assert_eq!(outcome.mark["frames_sha256"], *outcome.frames_sha256);
    let time = outcome.mark["time"].as_str().unwrap();
    let mut contents = OutputKind::ALL.map(|kind| {
        let mut output = jobs.open_output(&client("a"), id, kind).unwrap();
        let mut bytes = Vec::new();
        output.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, output.bytes);
        bytes
    });
    let sidecar: serde_json::Value = serde_json::from_slice(&contents[2]).unwrap();
    assert_eq!(sidecar["mark"], outcome.mark);
    assert_eq!(sidecar["frames_sha256"], *outcome.frames_sha256);
    assert_eq!(sidecar["request"]["prompt"], "a lake");
    assert_eq!(
        sidecar["request"]["images"],
        serde_json::json!([{ "frame": 0, "strength": 1.0 }, { "frame": 8, "strength": 1.0 }])
    );
    for marked in &mut contents[..2] {
        let text = String::from_utf8_lossy(marked).into_owned();
        for said in ["usage_class", "UNLIMITED", "test-node", &"fa".repeat(32), &outcome.frames_sha256, time] {
            assert!(text.contains(said), "{said}");
        }
    }
    let expected = OutputKind::ALL.map(|kind| format!("{id}/{}", kind.file_name()));
    let mut outputs = files(&folder.path().join("outputs"));
    outputs.sort_by_key(|name| expected.iter().position(|other| other == name));
    assert_eq!(outputs, expected);
    // The second prediction knows the first run.
    let second = submit(&jobs, "a", 8);
    assert!(jobs.get(&client("a"), second).unwrap().predicted.seconds.is_some_and(|seconds| seconds > 0.0));
    ended(&jobs, "a", second);
    drop(jobs);
    assert_eq!(files(&folder.path().join("latents")), [""; 0]);
}

#[test]
fn a_request_id_names_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let first = jobs.submit(&client("a"), submission(draft("a lake", 1), Some("r"))).unwrap();
    let again = jobs.submit(&client("a"), submission(draft("a lake", 1), Some("r"))).unwrap();
    assert_eq!((first.existed, again.existed, again.record.id), (false, true, first.record.id));
    let other = jobs.submit(&client("a"), submission(draft("a hill", 1), Some("r")));
    assert!(matches!(other, Err(JobsError::AlreadyExists { generation, .. }) if generation == first.record.id));
    let theirs = jobs.submit(&client("b"), submission(draft("a hill", 1), Some("r"))).unwrap();
    assert!(!theirs.existed && theirs.record.id != first.record.id);
    // At the same time, too.
    let ids: Vec<_> = std::thread::scope(|scope| {
        let ask = || jobs.submit(&client("a"), submission(draft("a lake", 2), Some("s"))).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|submitted| submitted.record.id == ids[0].record.id));
    assert_eq!(ids.iter().filter(|submitted| !submitted.existed).count(), 1);
}

#[test]
fn clients_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, log) = (Gate::closed(), folder.path().join("steps.log"));
    let jobs = open(folder.path(), FakeOptions { log: Some(log.clone()), ..behind(&gate) });
    let blocker = submit(&jobs, "x", 100);
    gate.reached(100, Stage::TextEncoding, 0);
    let busy: Vec<_> = (0..5).map(|seed| submit(&jobs, "busy", seed)).collect();
    let late = submit(&jobs, "late", 9);
    let position = |owner, id| jobs.get(&client(owner), id).unwrap().position;
    assert_eq!(jobs.get(&client("x"), blocker).unwrap().state, State::Running);
    assert_eq!(
        (position("busy", busy[0]), position("late", late), position("busy", busy[1])),
        (Some(0), Some(1), Some(2))
    );
    gate.open();
    let all = [("x", blocker), ("late", late)].into_iter().chain(busy.into_iter().map(|id| ("busy", id)));
    all.for_each(|(owner, id)| assert_eq!(ended(&jobs, owner, id).state, State::Done));
    assert_eq!(StepLog::read(&log).started_after(0), [100, 0, 9, 1, 2, 3, 4]);
}

#[test]
fn another_client_sees_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let id = submit(&jobs, "a", 1);
    ended(&jobs, "a", id);
    let upload = jobs.upload(&client("a"), picture()).unwrap();
    let b = client("b");
    assert!(matches!(jobs.get(&b, id), Err(JobsError::NotFound { .. })));
    assert!(matches!(jobs.cancel(&b, id), Err(JobsError::NotFound { .. })));
    assert!(matches!(jobs.delete(&b, id), Err(JobsError::NotFound { .. })));
    assert!(matches!(jobs.watch(&b, id, 0), Err(JobsError::NotFound { .. })));
    assert!(matches!(jobs.open_output(&b, id, OutputKind::Video), Err(JobsError::NotFound { .. })));
    assert!(matches!(jobs.uploaded(&b, upload), Err(JobsError::UploadNotFound { .. })));
    assert!(jobs.list(&b, &Filter::default(), 10, None).unwrap().records.is_empty());
    // An upload serves as the image of a request, and gives the same frames.
    let source = jobs.uploaded(&client("a"), upload).unwrap();
    let mut by_upload = draft("a lake", 1);
    by_upload.images[0].source = source;
    let again = submit_draft(&jobs, "a", by_upload).unwrap().record.id;
    assert_eq!(frames_of(&ended(&jobs, "a", again)), frames_of(&jobs.get(&client("a"), id).unwrap()));
    assert_eq!(files(&folder.path().join("images")).len(), 1, "the same picture is kept once");
}

#[test]
fn pages_go_through_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let mut ids: Vec<_> = (0..7).map(|seed| submit(&jobs, "a", seed)).collect();
    ids.reverse();
    ids.iter().for_each(|id| drop(ended(&jobs, "a", *id)));
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page =
            jobs.list(&client("a"), &Filter { states: vec![State::Done], ..Filter::default() }, 3, token).unwrap();
        seen.extend(page.records.iter().map(|record| record.id));
        token = page.next.map(|token| token.to_string().parse().unwrap());
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    assert!(
        jobs.list(&client("a"), &Filter { states: vec![State::Failed], ..Filter::default() }, 3, None)
            .unwrap()
            .records
            .is_empty()
    );
}

#[test]
fn filters_work_in_the_database_and_tokens_belong_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let mut both = draft("a lake", 1);
    both.images.push(ImageCondition {
        source: ImageSource::Bytes(picture()),
        frame_index: 8,
        strength: Strength::FULL,
    });
    // Every third has an end image.
    let ids: Vec<_> = (0..9)
        .map(|at| if at % 3 == 0 { both.clone() } else { draft("a lake", at) })
        .map(|draft| submit_draft(&jobs, "a", draft).unwrap().record)
        .collect();
    let pages = |filter: &Filter, size| {
        let (mut pages, mut token) = (Vec::new(), None);
        loop {
            let page = jobs.list(&client("a"), filter, size, token).unwrap();
            pages.push(page.records.iter().map(|record| record.id).collect::<Vec<_>>());
            token = page.next;
            if token.is_none() {
                return pages;
            }
        }
    };
    let with = |method| Filter { method: Some(method), ..Filter::default() };
    let expected: Vec<_> = [6, 3, 0].map(|at| ids[at].id).to_vec();
    assert_eq!(pages(&with(Method::StartEndFrames), 2), [expected[..2].to_vec(), expected[2..].to_vec()], "full pages");
    assert_eq!(pages(&with(Method::ImageToVideo), 3).iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    let (from, until) = (ids[2].created_ms, ids[7].created_ms);
    let between = Filter { from_ms: Some(from), before_ms: Some(until), ..Filter::default() };
    let expected: Vec<_> =
        ids.iter().rev().filter(|it| (from..until).contains(&it.created_ms)).map(|it| it.id).collect();
    assert_eq!(pages(&between, 2).concat(), expected);

    let token = jobs.list(&client("a"), &with(Method::ImageToVideo), 1, None).unwrap().next;
    for other in [with(Method::StartEndFrames), Filter::default(), between] {
        let refused = jobs.list(&client("a"), &other, 1, token);
        assert!(
            matches!(refused, Err(JobsError::Fields(errors)) if errors.iter().all(|error| error.field == "page_token"))
        );
    }
    for forged in ["", "-", "1", "zz-1", "0-1", "-5-00000000", "1-zz"] {
        assert!(forged.parse::<PageToken>().is_err(), "{forged}");
    }
}

#[test]
fn the_same_upload_keeps_its_id_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path(), FakeOptions::default());
    let first = jobs.upload(&client("a"), picture()).unwrap();
    assert_eq!(jobs.upload(&client("a"), picture()).unwrap(), first);
    assert_ne!(jobs.upload(&client("b"), picture()).unwrap(), first, "of another client");
    drop(jobs);
    let jobs = open(folder.path(), FakeOptions::default());
    assert_eq!(jobs.upload(&client("a"), picture()).unwrap(), first);
    assert_eq!(jobs.status().unwrap().upload_bytes, 2 * picture().len() as u64);
}

fn bounded(data: &std::path::Path, gate: &Gate, change: impl FnOnce(&mut Limits)) -> Jobs {
    let mut settings = settings(data);
    change(&mut settings.limits);
    Jobs::open(settings.check().unwrap(), surroundings(behind(gate))).unwrap()
}

#[test]
fn bounds_are_typed() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let jobs = bounded(folder.path(), &gate, |limits| {
        (limits.queued, limits.queued_per_client) = (Bounded::new(4).unwrap(), Bounded::new(3).unwrap());
    });
    // What is on the device does not count, and stays there.
    submit(&jobs, "a", 7);
    gate.reached(7, Stage::TextEncoding, 0);
    let submitted = |owner: &str| match submit_draft(&jobs, owner, draft("a lake", 1)) {
        Ok(_) => None,
        Err(JobsError::QueueFull { limit, of_client }) => Some((limit, of_client)),
        Err(error) => panic!("{error}"),
    };
    assert_eq!([(); 4].map(|()| submitted("a")), [None, None, None, Some((3, true))]);
    assert_eq!([(); 2].map(|()| submitted("b")), [None, Some((4, false))]);
    drop(jobs);

    let jobs = bounded(folder.path(), &gate, |limits| {
        // One in eleven days, so that no machine is slow enough to earn a third.
        limits.requests_per_second = PerSecond::new(1e-6).unwrap();
        limits.request_burst = Bounded::new(2).unwrap();
    });
    for seed in 0..2 {
        submit(&jobs, "c", seed);
    }
    let limited = submit_draft(&jobs, "c", draft("a lake", 2));
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(matches!(limited, Err(JobsError::RateLimited { retry_after }) if retry_after > day), "{limited:?}");
}

#[test]
fn what_does_not_fit_is_told_what_would() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = bounded(folder.path(), &Gate::default(), |limits| limits.memory_bytes = Some(PROCESS + 64 * 64 * 20));
    let long = GenerationDraft { frames: 121, ..draft("a lake", 1) };
    let largest = |draft| match submit_draft(&jobs, "a", draft) {
        Err(JobsError::DoesNotFit { largest, .. }) => largest.map(|shape| shape.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(largest(long.clone()).as_deref(), Some("64x64, 17 frames"));
    assert_eq!(
        largest(GenerationDraft { width: 640, height: 640, ..long.clone() }).as_deref(),
        Some("256x256, 1 frames")
    );
    let admitted = admit(&Ask::default(), long, &policy()).unwrap().check(&FakeModels::RULES).unwrap();
    let estimate = jobs.estimate(&client("a"), &admitted).unwrap();
    assert!(!estimate.fits && estimate.predicted.peak_bytes == PROCESS + 64 * 64 * 121);
    let mut bad = draft("a lake", 1);
    bad.images[0].source = ImageSource::Bytes(b"no picture".as_slice().into());
    let refused = |draft| match submit_draft(&jobs, "a", draft) {
        Err(JobsError::Fields(errors)) => errors.into_iter().map(|error| error.field).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(bad.clone()), ["image"]);
    assert_eq!(refused(GenerationDraft { frames: 10, ..bad.clone() }), ["frames", "image"]);
    let mut both = GenerationDraft { frames: 17, ..bad };
    both.images.push(ImageCondition { frame_index: 16, ..both.images[0].clone() });
    assert_eq!(refused(both.clone()), ["start_end_images.start", "start_end_images.end"]);
    both.images[0] = draft("a lake", 1).images[0].clone();
    assert_eq!(refused(both), ["start_end_images.end"]);
    assert!(matches!(
        submit_draft(&jobs, "a", GenerationDraft { frames: 10, ..draft("a lake", 1) }),
        Err(JobsError::Fields(errors)) if errors.iter().all(|error| error.field == "frames")
    ));
    assert_eq!(files(&folder.path().join("images")), [""; 0], "what is refused leaves no byte");
    assert!(jobs.list(&client("a"), &Filter::default(), 10, None).unwrap().records.is_empty());
}
