//! What a request states is obeyed or refused by name, all of it in one answer; a schedule of one's own; the length of a clip.
//!
//! Must not know the rules' insides.

use crate::node::{TestNode, Wish, create, image, reason, spec, watched};
use ltx_proto::v1::{self, generation_event::Event, generation_spec::Images};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const GUIDED: i32 = v1::Schedule::Guided as i32;

fn guidance(change: impl FnOnce(&mut v1::Guidance)) -> Option<v1::Guidance> {
    let mut guidance = v1::Guidance::default();
    change(&mut guidance);
    Some(guidance)
}

/// Field and description of every violation.
fn violations(status: &Status) -> Vec<(String, String)> {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{status:?}");
    let found = status.get_details_bad_request().unwrap().field_violations;
    found.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

/// Creates and checks a spec: both must find the same fields wrong, with the same nearest values.
async fn refused(node: &TestNode, spec: v1::GenerationSpec) -> Vec<(String, String)> {
    let status = node.generations().await.create_generation(create(spec.clone())).await.unwrap_err();
    let found = violations(&status);
    let request = v1::CheckEligibilityRequest { spec: Some(spec) };
    let verdict = node.policies().await.check_eligibility(request).await.unwrap().into_inner();
    assert!(verdict.estimate.is_none());
    let dry = verdict.violations.into_iter().map(|it| match it.nearest.as_str() {
        "" => (it.field, it.description),
        nearest => (it.field, format!("{}; nearest legal: {nearest}", it.description)),
    });
    assert_eq!(dry.collect::<Vec<_>>(), found);
    found
}

fn fields(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|(field, _)| field.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nothing_reads_is_refused_by_name_with_what_to_say_instead() {
    let node = TestNode::start(Wish::default()).await;
    let before = node.kept();
    for (said, field, nearest) in [
        (v1::GenerationSpec { steps: Some(4), ..spec(1) }, "steps", "8"),
        (v1::GenerationSpec { negative_prompt: Some("blurry".into()), ..spec(1) }, "negative_prompt", "\"\""),
        (
            v1::GenerationSpec { guidance: guidance(|it| it.cfg_scale = Some(3.0)), ..spec(1) },
            "guidance.cfg_scale",
            "1",
        ),
        (
            v1::GenerationSpec { guidance: guidance(|it| it.stg_scale = Some(1.0)), ..spec(1) },
            "guidance.stg_scale",
            "0",
        ),
        (
            v1::GenerationSpec { guidance: guidance(|it| it.rescale_scale = Some(0.7)), ..spec(1) },
            "guidance.rescale_scale",
            "0",
        ),
        (
            v1::GenerationSpec { guidance: guidance(|it| it.stg_blocks = vec![1]), ..spec(1) },
            "guidance.stg_blocks",
            "none",
        ),
        (v1::GenerationSpec { refine_sigmas: vec![0.5, 0.0], ..spec(1) }, "refine_sigmas", "none"),
        (v1::GenerationSpec { sigmas: vec![1.0, 0.5, 0.0], steps: Some(8), ..spec(1) }, "steps", "2"),
        (
            v1::GenerationSpec {
                schedule: GUIDED,
                guidance: guidance(|it| (it.stg_scale, it.stg_blocks) = (Some(0.0), vec![2])),
                ..spec(1)
            },
            "guidance.stg_blocks",
            "none",
        ),
        (
            v1::GenerationSpec {
                schedule: GUIDED,
                guidance: guidance(|it| it.cfg_scale = Some(1.0)),
                negative_prompt: Some("blurry".into()),
                ..spec(1)
            },
            "negative_prompt",
            "\"\"",
        ),
    ] {
        let found = refused(&node, said).await;
        assert_eq!(fields(&found), [field]);
        assert!(found[0].1.ends_with(&format!("nearest legal: {nearest}")), "{found:?}");
        assert!(!found[0].1.contains("blurry"), "a prompt is nobody else's: {found:?}");
    }
    assert_eq!(node.kept(), before);
    // What says what happens anyway.
    let off = guidance(|it| {
        (it.cfg_scale, it.stg_scale, it.rescale_scale) = (Some(1.0), Some(0.0), Some(0.0));
    });
    let said = v1::GenerationSpec { steps: Some(8), negative_prompt: Some(String::new()), guidance: off, ..spec(1) };
    node.generations().await.create_generation(create(said)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_field_is_in_one_answer() {
    let node = TestNode::start(Wish::default()).await;
    let said = v1::GenerationSpec { width: Some(130), frames: Some(18), ..spec(1) };
    let found = refused(&node, said).await;
    let expected = [("frames", "17 or 25"), ("width", "128 or 160")];
    for ((field, description), (name, nearest)) in found.iter().zip(expected) {
        assert!(field == name && description.ends_with(nearest), "{found:?}");
    }
    assert_eq!(found.len(), 2);
    // Those that are found while the message is read, and while the request is looked at as a whole.
    let both = v1::StartEndImages { start: Some(v1::Image { strength: Some(2.0), ..image() }), end: Some(image()) };
    let said = v1::GenerationSpec {
        images: Some(Images::StartEndImages(both)),
        conditioning: 9,
        width: Some(130),
        height: Some(1),
        frames: Some(18),
        fps: Some(f64::NAN),
        image_crf: Some(99),
        steps: Some(4),
        stages: Some(2),
        sigmas: vec![0.5, 0.6, 0.0],
        prompt: "x".repeat(20_000),
        guidance: guidance(|it| it.cfg_scale = Some(7.0)),
        ..spec(1)
    };
    let found = refused(&node, said).await;
    let mut names = fields(&found);
    names.sort_unstable();
    let expected = [
        "conditioning",
        "fps",
        "frames",
        "guidance.cfg_scale",
        "height",
        "image_crf",
        "prompt",
        "sigmas",
        "stages",
        "start_end_images.start.strength",
        "steps",
        "width",
    ];
    assert_eq!(names, expected, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_calls_name_every_wrong_field_too() {
    let node = TestNode::start(Wish::default()).await;
    let never = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
    let listing = v1::ListGenerationsRequest {
        page_size: 501,
        page_token: "nothing".into(),
        states: vec![1, 9],
        method: 7,
        created_from: never,
        created_before: never,
        model: "x".repeat(257),
        text: "x".repeat(257),
        batch_id: "x".into(),
    };
    let status = node.generations().await.list_generations(listing).await.unwrap_err();
    let times = ["created_from", "created_before"];
    let expected =
        [&["page_size", "states", "method"], &times[..], &["page_token", "model", "text", "batch_id"]].concat();
    assert_eq!(fields(&violations(&status)), expected);
    let header = v1::UploadHeader { total_bytes: 0, sha256: "x".into() };
    let header = v1::UploadImageRequest { part: Some(v1::upload_image_request::Part::Header(header)) };
    let status = node.uploads().await.upload_image(tokio_stream::iter([header])).await.unwrap_err();
    assert_eq!(fields(&violations(&status)), ["header.total_bytes", "header.sha256"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_blocks_refuse_nothing_at_scale_0_and_the_models_depth_is_known_at_admission() {
    let node = TestNode::start(Wish::default()).await;
    let guided = |change: fn(&mut v1::Guidance)| v1::GenerationSpec {
        schedule: GUIDED,
        steps: Some(2),
        guidance: guidance(change),
        ..spec(1)
    };
    let found = refused(&node, guided(|it| it.stg_blocks = vec![1, 48])).await;
    assert_eq!(fields(&found), ["guidance.stg_blocks"]);
    assert!(found[0].1.contains("0..=47") && found[0].1.ends_with("nearest legal: 47"), "{found:?}");
    let mut client = node.generations().await;
    for fine in [guided(|it| it.stg_blocks = vec![47]), guided(|it| it.stg_scale = Some(0.0))] {
        client.create_generation(create(fine)).await.unwrap();
    }
    let rules = node.about().await.models[0].rules.unwrap();
    assert_eq!((rules.blocks, rules.trained_seconds, rules.frame_step, rules.side_step), (Some(48), Some(20.0), 8, 32));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_of_ones_own_is_run_told_and_marked() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let own = vec![1.0, 0.9, 0.421875, 0.0];
    let said = v1::GenerationSpec { sigmas: own.clone(), ..spec(1) };
    let made = client.create_generation(create(said.clone())).await.unwrap().into_inner().generation.unwrap();
    let events = watched(&mut client, &made.id, 0).await;
    let denoising: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::Progress(it)) if it.stage() == v1::Stage::Denoising => Some((it.step, it.steps)),
            _ => None,
        })
        .collect();
    assert!(denoising.contains(&(3, 3)) && denoising.iter().all(|(_, steps)| *steps == 3), "{denoising:?}");
    let done = client.get_generation(v1::GetGenerationRequest { id: made.id }).await.unwrap().into_inner();
    let done = done.generation.unwrap();
    assert_eq!(done.mark.unwrap().sigmas, own);
    let spec = done.spec.unwrap();
    assert_eq!((spec.steps(), &spec.sigmas), (3, &own));
    // What a node says of a request can be asked for again as it is.
    let again = v1::GenerationSpec { images: said.images.clone(), ..spec };
    client.create_generation(create(again)).await.unwrap();
    for (wrong, says) in [
        (vec![1.0, 0.5], "ends at 0"),
        (vec![1.0, 0.5, 0.5, 0.0], "fall strictly"),
        (vec![1.5, 0.0], "outside (0, 1]"),
        (vec![f64::NAN, 0.0], "outside (0, 1]"),
        (vec![0.0], "has no step"),
        (vec![0.5; 2000], "more than 1000"),
    ] {
        let found = refused(&node, v1::GenerationSpec { sigmas: wrong, ..said.clone() }).await;
        assert!(fields(&found) == ["sigmas"] && found[0].1.contains(says), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_clips_need_a_word_of_the_request_and_of_the_operator() {
    let long = |asked| v1::GenerationSpec { frames: Some(489), beyond_trained_length: asked, ..spec(1) };
    let strict = TestNode::start(Wish::default()).await;
    for asked in [false, true] {
        let found = refused(&strict, long(asked)).await;
        assert!(fields(&found) == ["frames"] && found[0].1.ends_with("nearest legal: 481"), "{found:?}");
        assert!(found[0].1.contains("limits.beyond_trained_length"), "{found:?}");
    }
    assert!(!strict.about().await.models[0].rules.unwrap().beyond_trained_length);
    strict
        .generations()
        .await
        .create_generation(create(v1::GenerationSpec { frames: Some(481), ..spec(1) }))
        .await
        .unwrap();

    let wish = Wish { jobs: |jobs| jobs.limits.beyond_trained_length = true, ..Wish::default() };
    let open = TestNode::start(wish).await;
    assert!(open.about().await.models[0].rules.unwrap().beyond_trained_length);
    let found = refused(&open, long(false)).await;
    assert!(found[0].1.contains("beyond_trained_length asks for more"), "{found:?}");
    let made = open.generations().await.create_generation(create(long(true))).await.unwrap().into_inner();
    let id = made.generation.unwrap().id;
    // Judged again when its turn comes.
    let events = watched(&mut open.generations().await, &id, 0).await;
    assert!(matches!(events.last().unwrap().event, Some(Event::Done(_))), "{events:?}");
}
