//! Every row of the policy table over the wire: code, reason, remedy; nothing kept; the dry run says the same.
//!
//! Must not know how rules are implemented.

use crate::node::{OTHER, TestNode, Wish, create, image, reason, spec};
use ltx_proto::v1::{self, generation_spec::Images};
use ltx_testkit::fake::{FakeOptions, LONG};
use std::time::{Duration, Instant};
use tonic::Code;
use tonic_types::StatusExt;

struct Row {
    number: &'static str,
    spec: v1::GenerationSpec,
    /// Code, reason, remedy; `None` is unlimited.
    refused: Option<(Code, &'static str, &'static str)>,
}

fn row(number: &'static str, change: impl FnOnce(&mut v1::GenerationSpec)) -> Row {
    let mut spec = spec(1);
    change(&mut spec);
    Row { number, spec, refused: None }
}

impl Row {
    fn refused(self, code: Code, reason: &'static str, remedy: &'static str) -> Self {
        Self { refused: Some((code, reason, remedy)), ..self }
    }
}

fn caller(agent: v1::Agent, credits_low: Option<bool>) -> Option<v1::Caller> {
    Some(v1::Caller { agent: agent.into(), credits_low, plan: String::new() })
}

fn start_end() -> Option<Images> {
    Some(Images::StartEndImages(v1::StartEndImages { start: Some(image()), end: Some(image()) }))
}

fn table() -> Vec<Row> {
    use Code::{FailedPrecondition, NotFound, PermissionDenied, Unavailable};
    const ATTACH: &str = "attach an image, or a start and an end image";
    const METHOD: &str = "NOT_AN_UNLIMITED_METHOD";
    const AUDIO: &str = "AUDIO_NOT_COVERED";
    const EXTERNAL: &str = "EXTERNAL_MODEL_NOT_COVERED";
    const SAY: &str = "say “Use Carat Basic Video (LTX 2.3)”";
    let audio = |change: fn(&mut v1::AudioSpec)| {
        let mut audio = v1::AudioSpec::default();
        change(&mut audio);
        Some(audio)
    };
    let more = |count: usize, frame_index| vec![v1::Keyframe { image: Some(image()), frame_index }; count];
    let not_method = |row: Row| row.refused(PermissionDenied, METHOD, ATTACH);
    let not_audio = |row: Row| row.refused(PermissionDenied, AUDIO, "ask without audio");
    let external = |row: Row| row.refused(PermissionDenied, EXTERNAL, SAY);
    vec![
        row("1", |_| {}),
        row("2", |spec| spec.images = start_end()),
        not_method(row("3 text", |spec| spec.images = None)),
        not_method(row("3 video", |spec| spec.video_input = Some(v1::VideoInput::default()))),
        not_method(row("3 keyframe at the end", |spec| spec.more_images = more(1, 8))),
        not_method(row("3 keyframe alone", |spec| (spec.images, spec.more_images) = (None, more(1, 0)))),
        not_method(row("3 keyframes alone", |spec| (spec.images, spec.more_images) = (None, more(2, 0)))),
        not_method(row("3 many", |spec| (spec.images, spec.more_images) = (start_end(), more(3, 4)))),
        not_method(row("3 end alone", |spec| {
            spec.frames = Some(1);
            spec.images = Some(Images::StartEndImages(v1::StartEndImages { start: None, end: Some(image()) }));
        })),
        row("4", |spec| spec.element_edit = Some(v1::ElementEdit::default())).refused(
            PermissionDenied,
            "ELEMENT_EDITING_NOT_SUPPORTED",
            "generate again from an image",
        ),
        not_audio(row("5 track", |spec| spec.audio = audio(|audio| audio.track = true))),
        not_audio(row("5 effects", |spec| spec.audio = audio(|audio| audio.sound_effects = "wind".into()))),
        not_audio(row("5 music", |spec| spec.audio = audio(|audio| audio.background_music = "piano".into()))),
        not_audio(row("5 input", |spec| spec.audio = audio(|audio| audio.input = vec![1].into()))),
        row("5 nothing asked", |spec| spec.audio = audio(|_| {})),
        external(row("6 Kling", |spec| spec.model = "Kling 2.1".into())),
        external(row("6 Veo", |spec| spec.model = "google veo".into())),
        external(row("6 Seedance", |spec| spec.model = "Seedance 2.0 Fast".into())),
        row("7", |spec| spec.caller = caller(v1::Agent::Agent1, None)),
        row("8", |spec| spec.caller = caller(v1::Agent::Agent2, Some(false))).refused(
            PermissionDenied,
            EXTERNAL,
            "request LTX explicitly: “Use Carat Basic Video (LTX 2.3)”",
        ),
        row("9", |spec| {
            spec.model = "LTX 2.3".into();
            spec.caller = caller(v1::Agent::Agent2, Some(true));
        })
        .refused(
            FailedPrecondition,
            "LOW_CREDITS",
            "use Agent 1.0 (web: the v1 tab; app: Home → Menu → Agent 2.0 → Agent 1.0), or top up",
        ),
        row("10", |spec| {
            spec.model = "use carat basic video (ltx 2.3)".into();
            spec.caller = caller(v1::Agent::Agent2, None);
        }),
        row("11", |spec| spec.caller = caller(v1::Agent::Agent1, Some(true))),
        row("12", |spec| spec.model = "ltx-2.3".into()),
        row("13", |spec| spec.caller = Some(v1::Caller { plan: "Free".into(), ..v1::Caller::default() })).refused(
            PermissionDenied,
            "PLAN_NOT_COVERED",
            "the plans that carry it: Premium, Pro, Business",
        ),
        row("14", |spec| spec.model = "wan".into()).refused(
            NotFound,
            "UNKNOWN_MODEL",
            "the names it knows: ltx-2.3-tiny, ltx-2.3-other",
        ),
        row("15", |spec| spec.model = OTHER.into()).refused(
            Unavailable,
            "MODEL_NOT_LOADED",
            "the models that are loaded: ltx-2.3-tiny; name one of them; the node's operator can let another name mean \
             one of them ([aliases])",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_answered_as_documented_and_refusals_keep_nothing() {
    let node = TestNode::start(Wish::default()).await;
    let (mut generations, mut policies) = (node.generations().await, node.policies().await);
    for Row { number, spec, refused } in table() {
        let before = node.kept();
        let request = v1::CheckEligibilityRequest { spec: Some(spec.clone()) };
        let verdict = policies.check_eligibility(request).await.unwrap().into_inner();
        assert_eq!(node.kept(), before, "row {number}: the dry run kept something");
        let Some((code, name, remedy)) = refused else {
            assert_eq!(verdict.verdict(), v1::Verdict::Unlimited, "row {number}: {}", verdict.sentence);
            assert!(verdict.grounds.is_empty() && verdict.violations.is_empty(), "row {number}");
            assert!(verdict.estimate.unwrap().fits);
            generations
                .create_generation(create(spec))
                .await
                .unwrap_or_else(|status| panic!("row {number}: {status:?}"));
            // Let it end, so that what is counted next stands still.
            let until = Instant::now() + LONG;
            while node.about().await.queue.is_none_or(|queue| queue.queued + queue.running > 0) {
                assert!(Instant::now() < until, "row {number} does not end");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            continue;
        };
        assert_eq!(verdict.verdict(), v1::Verdict::Refused, "row {number}");
        let ground = &verdict.grounds[0];
        assert_eq!(ground.reason().as_str_name(), format!("ERROR_REASON_{name}"), "row {number}");
        assert_eq!((ground.remedy.as_str(), ground.grpc_code), (remedy, i32::from(code)), "row {number}");
        assert!(verdict.sentence.contains(remedy) && verdict.estimate.is_none(), "row {number}");

        // Whatever else is wrong with it, it is told about policy.
        let spec = v1::GenerationSpec { width: Some(7), prompt: "x".repeat(100_000), ..spec };
        let status = generations.create_generation(create(spec)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, name), "row {number}");
        let details = status.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata[&format!("remedy.{name}")], remedy, "row {number}");
        assert_eq!(details.help().unwrap().links[0].description, remedy, "row {number}");
        assert!(details.localized_message().unwrap().message.contains(remedy), "row {number}");
        assert_eq!(node.kept(), before, "row {number}: the refusal kept something");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excluded_operations_are_refused_by_name() {
    let node = TestNode::start(Wish::default()).await;
    let before = node.kept();
    let mut policies = node.policies().await;
    let edit = policies.edit_elements(v1::EditElementsRequest::default()).await.unwrap_err();
    assert_eq!((edit.code(), reason(&edit).as_str()), (Code::PermissionDenied, "ELEMENT_EDITING_NOT_SUPPORTED"));
    let request = v1::GenerateAudioRequest { model: "Kling".into(), ..v1::GenerateAudioRequest::default() };
    let audio = policies.generate_audio(request).await.unwrap_err();
    assert_eq!((audio.code(), reason(&audio).as_str()), (Code::PermissionDenied, "AUDIO_NOT_COVERED"));
    let reasons = &audio.get_details_error_info().unwrap().metadata["reasons"];
    assert_eq!(reasons, "AUDIO_NOT_COVERED,EXTERNAL_MODEL_NOT_COVERED");
    assert_eq!(node.kept(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dry_run_tells_of_fields_and_of_what_does_not_fit() {
    let node =
        TestNode::start(Wish { jobs: |jobs| jobs.limits.memory_bytes = Some(100 << 20), ..Wish::default() }).await;
    let mut policies = node.policies().await;
    let mut check = async |spec| {
        let request = v1::CheckEligibilityRequest { spec: Some(spec) };
        policies.check_eligibility(request).await.unwrap().into_inner()
    };
    let empty = Some(Images::Image(v1::Image::default()));
    let wrong = v1::GenerationSpec { images: empty.clone(), frames: Some(20), stages: Some(2), ..spec(0) };
    let verdict = check(wrong).await;
    let fields: Vec<_> = verdict.violations.iter().map(|it| (it.field.as_str(), it.nearest.as_str())).collect();
    assert_eq!(fields, [("stages", "1"), ("frames", "17 or 25")]);
    assert!(verdict.estimate.is_none());
    let large =
        v1::GenerationSpec { images: empty, width: Some(1024), height: Some(1024), frames: Some(121), ..spec(0) };
    let estimate = check(large.clone()).await.estimate.unwrap();
    assert!(!estimate.fits && estimate.largest.is_some_and(|shape| shape.frames % 8 == 1));
    let large = v1::GenerationSpec { images: spec(0).images, ..large };
    let status = node.generations().await.create_generation(create(large)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "DOES_NOT_FIT"));
    assert!(status.get_details_retry_info().is_none());
    assert!(status.get_details_error_info().unwrap().metadata.contains_key("largest_frames"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_take_longer_than_the_node_allows_is_told_what_would_not() {
    // A second a frame of 64×64, of which every stage counts the pixels.
    let fake = FakeOptions { calls_per_second: Some(4.0 * 64.0 * 64.0), ..FakeOptions::default() };
    let node = TestNode::start(Wish { fake, jobs: |jobs| jobs.limits.seconds = Some(20), ..Wish::default() }).await;
    let of = |frames| v1::GenerationSpec { frames: Some(frames), ..spec(1) };
    let mut policies = node.policies().await;
    let mut check = async |frames| {
        let request = v1::CheckEligibilityRequest { spec: Some(of(frames)) };
        policies.check_eligibility(request).await.unwrap().into_inner().estimate.unwrap()
    };
    let (short, long) = (check(17).await, check(25).await);
    let seconds = |estimate: &v1::Estimate| estimate.resources.clone().unwrap();
    assert!(short.fits && short.largest.is_none() && seconds(&short).counted);
    assert_eq!((seconds(&short).seconds, seconds(&long).seconds, long.limit_seconds), (17.0, 25.0, 20.0));
    assert!(!long.fits && long.largest == Some(v1::Shape { width: 64, height: 64, frames: 17 }));
    let status = node.generations().await.create_generation(create(of(25))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TAKES_TOO_LONG"));
    assert!(status.get_details_retry_info().is_none());
    let metadata = status.get_details_error_info().unwrap().metadata;
    let told = ["predicted_seconds", "limit_seconds", "largest_width", "largest_height", "largest_frames"];
    assert_eq!(told.map(|key| metadata[key].as_str()), ["25", "20", "64", "64", "17"]);
    let made = node.generations().await.create_generation(create(of(17))).await.unwrap().into_inner().generation;
    assert!(made.is_some_and(|made| made.predicted.is_some_and(|predicted| predicted.seconds == 17.0)));
}
