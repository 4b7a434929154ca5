//! What a node does not take: wrong tokens, other clients' ids, malformed fields, too much of anything.
//!
//! Must not know what is done with what it takes.

use crate::node::{ALICE, BOB, TestNode, Wish, by, create, image, reason, spec};
use ltx_proto::v1::{self, generation_spec::Images, image::Source, upload_image_request::Part};
use ltx_testkit::fake::{Gate, LONG, picture};
use ltx_types::{
    Stage,
    settings::{Bounded, PerSecond},
};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio_stream::iter;
use tonic::{Code, Request};
use tonic_types::StatusExt;

fn tokens() -> Wish {
    Wish { tokens: true, ..Wish::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_known_token_there_is_nothing() {
    let node = TestNode::start(tokens()).await;
    let mut client = node.generations().await;
    let mut wrong = vec![Request::new(create(spec(1))), by("alice", create(spec(1))), by("", create(spec(1)))];
    let mut basic = Request::new(create(spec(1)));
    basic.metadata_mut().insert("authorization", format!("Basic {ALICE}").parse().unwrap());
    wrong.push(basic);
    for request in wrong {
        let status = client.create_generation(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
    }
    assert_eq!(node.kept().0, 0);
    client.create_generation(by(ALICE, create(spec(1)))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_sees_and_touches_nothing() {
    let node = TestNode::start(tokens()).await;
    let mut client = node.generations().await;
    let id = client.create_generation(by(ALICE, create(spec(1)))).await.unwrap().into_inner().generation.unwrap().id;
    let watch = v1::WatchGenerationRequest { id: id.clone(), ..v1::WatchGenerationRequest::default() };
    let mut stream = client.watch_generation(by(ALICE, watch.clone())).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let missing = |status: tonic::Status| assert_eq!(reason(&status), "GENERATION_NOT_FOUND");
    missing(client.get_generation(by(BOB, v1::GetGenerationRequest { id: id.clone() })).await.unwrap_err());
    missing(client.watch_generation(by(BOB, watch)).await.unwrap_err());
    missing(
        client
            .cancel_generation(by(BOB, v1::CancelGenerationRequest { id: id.clone(), batch: false }))
            .await
            .unwrap_err(),
    );
    missing(client.delete_generation(by(BOB, v1::DeleteGenerationRequest { id: id.clone() })).await.unwrap_err());
    let download = v1::DownloadOutputRequest { id: id.clone(), ..v1::DownloadOutputRequest::default() };
    missing(client.download_output(by(BOB, download)).await.unwrap_err());
    let listed = client.list_generations(by(BOB, v1::ListGenerationsRequest::default())).await.unwrap().into_inner();
    assert!(listed.generations.is_empty());
    client.get_generation(by(ALICE, v1::GetGenerationRequest { id })).await.unwrap();

    let mut uploads = node.uploads().await;
    let parts = parts(&picture(), picture().len() as u64);
    let upload_id = uploads.upload_image(by(ALICE, iter(parts))).await.unwrap().into_inner().upload_id;
    let uploaded = v1::Image { source: Some(Source::UploadId(upload_id)), strength: None };
    let uploaded = v1::GenerationSpec { images: Some(Images::Image(uploaded)), ..spec(2) };
    let status = client.create_generation(by(BOB, create(uploaded.clone()))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "UPLOAD_NOT_FOUND"));
    client.create_generation(by(ALICE, create(uploaded))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_fields_are_named_with_the_nearest_legal_value() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let before = node.kept();
    let with = |change: fn(&mut v1::GenerationSpec)| {
        let mut spec = spec(1);
        change(&mut spec);
        spec
    };
    let guidance = v1::Guidance { cfg_scale: Some(f64::NAN), ..v1::Guidance::default() };
    let cases = [
        (with(|spec| spec.width = Some(100)), "width", "96 or 128"),
        (with(|spec| spec.height = Some(u32::MAX)), "height", "8192"),
        (with(|spec| spec.frames = Some(20)), "frames", "17 or 25"),
        (with(|spec| spec.fps = Some(f64::NAN)), "fps", "24"),
        (with(|spec| spec.steps = Some(0)), "steps", "nearest legal: 8"),
        (with(|spec| (spec.steps, spec.schedule) = (Some(0), 2)), "steps", "nearest legal: 1"),
        (with(|spec| spec.stages = Some(259)), "stages", "2"),
        (with(|spec| spec.image_crf = Some(52)), "image_crf", "51"),
        (with(|spec| spec.schedule = 7), "schedule", ""),
        (with(|spec| spec.conditioning = -1), "conditioning", ""),
        (with(|spec| spec.prompt = "x".repeat(20_000)), "prompt", "16384"),
        (with(|spec| spec.images = Some(Images::Image(v1::Image::default()))), "image", ""),
        (
            with(|spec| spec.images = Some(Images::Image(v1::Image { strength: Some(1.5), ..image() }))),
            "image.strength",
            "1",
        ),
        (
            with(|spec| {
                spec.images =
                    Some(Images::Image(v1::Image { source: Some(Source::Data(vec![].into())), strength: None }))
            }),
            "image.data",
            "1",
        ),
        (
            with(|spec| {
                spec.images =
                    Some(Images::Image(v1::Image { source: Some(Source::UploadId("../x".into())), strength: None }))
            }),
            "image.upload_id",
            "",
        ),
        (
            with(|spec| {
                spec.images =
                    Some(Images::Image(v1::Image { source: Some(Source::Data(vec![7; 99].into())), strength: None }))
            }),
            "image",
            "",
        ),
        (
            with(|spec| {
                spec.images = Some(Images::StartEndImages(v1::StartEndImages { start: Some(image()), end: None }))
            }),
            "start_end_images.end",
            "",
        ),
        (v1::GenerationSpec { guidance: Some(guidance), schedule: 2, ..spec(1) }, "guidance.cfg_scale", ""),
    ];
    for (spec, field, nearest) in cases {
        let status = client.create_generation(create(spec)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let found = violations.iter().find(|violation| violation.field == field);
        let found = found.unwrap_or_else(|| panic!("{field}: {violations:?}"));
        assert!(found.description.contains(nearest), "{field}: {}", found.description);
    }
    for request_id in ["x".repeat(129), "a b".into(), "ü".into()] {
        let request = v1::CreateGenerationRequest { request_id, spec: Some(spec(1)), ..Default::default() };
        let status = client.create_generation(request).await.unwrap_err();
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "request_id");
    }
    for id in ["", "x", "../../etc/passwd"] {
        let status = client.get_generation(v1::GetGenerationRequest { id: id.into() }).await.unwrap_err();
        assert_eq!(reason(&status), "INVALID_FIELD");
    }
    let status = client.create_generation(v1::CreateGenerationRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), "NOT_AN_UNLIMITED_METHOD", "policy is judged first");
    assert_eq!(node.kept(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_a_message_is_a_typed_error() {
    let node = TestNode::start(Wish {
        server: |it| it.limits.message_bytes = Bounded::new(2 << 20).unwrap(),
        ..Wish::default()
    })
    .await;
    let mut client = node.generations().await;
    let large = v1::Image { source: Some(Source::Data(vec![0; 3 << 20].into())), strength: None };
    let large = v1::GenerationSpec { images: Some(Images::Image(large)), ..spec(1) };
    let status = client.create_generation(create(large)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MESSAGE_TOO_LARGE"), "{status:?}");
    assert_eq!(node.kept().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_clients_say_when_to_try_again() {
    let gate = Gate::closed();
    let wish = Wish {
        jobs: |jobs| {
            jobs.limits.queued_per_client = Bounded::new(1).unwrap();
            // One in eleven days, so that no machine is slow enough to earn a fifth.
            jobs.limits.requests_per_second = PerSecond::new(1e-6).unwrap();
            jobs.limits.request_burst = Bounded::new(4).unwrap();
        },
        server: |it| it.limits.streams_per_client = Bounded::new(1).unwrap(),
        ..Wish::behind(&gate)
    };
    let node = TestNode::start(wish).await;
    let mut client = node.generations().await;
    let mut made = async |seed| {
        let created = client.create_generation(create(spec(seed))).await;
        created.map(|answer| answer.into_inner().generation.unwrap().id)
    };
    // One on the device, where it stays, and one that waits.
    made(0).await.unwrap();
    gate.reached(0, Stage::TextEncoding, 0);
    let waiting = made(1).await.unwrap();
    let mut refused = Vec::new();
    for seed in 2..6 {
        let status = made(seed).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
        refused.push(reason(&status));
    }
    assert_eq!(refused, ["QUEUE_FULL", "QUEUE_FULL", "RATE_LIMITED", "RATE_LIMITED"]);
    let counted = crate::surroundings::get(&node, "/metrics").await;
    for reason in &refused {
        let times = refused.iter().filter(|other| *other == reason).count();
        let line = format!("ltxd_refusals_total{{reason=\"{reason}\"}} {times}\n");
        assert!(counted.contains(&line), "{line} in {counted}");
    }
    let watch = v1::WatchGenerationRequest { id: waiting, ..v1::WatchGenerationRequest::default() };
    let first = client.watch_generation(watch.clone()).await.unwrap();
    assert_eq!(reason(&client.watch_generation(watch.clone()).await.unwrap_err()), "RATE_LIMITED");
    drop(first);
    // The place is free once the node has noticed that the caller is gone.
    let patience = Instant::now() + LONG;
    while let Err(status) = client.watch_generation(watch.clone()).await {
        assert!(Instant::now() < patience, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn parts(bytes: &[u8], total_bytes: u64) -> Vec<v1::UploadImageRequest> {
    let header = Part::Header(v1::UploadHeader { total_bytes, sha256: String::new() });
    let chunks = bytes.chunks(10_000).map(|chunk| Part::Chunk(chunk.to_vec().into()));
    [header].into_iter().chain(chunks).map(|part| v1::UploadImageRequest { part: Some(part) }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_whole_or_not_there() {
    let wish = Wish { jobs: |jobs| jobs.limits.image_bytes = Bounded::new(1 << 20).unwrap(), ..Wish::default() };
    let node = TestNode::start(wish).await;
    let mut client = node.uploads().await;
    let before = node.kept();
    let bytes = picture();
    let total = bytes.len() as u64;
    let message = |part| v1::UploadImageRequest { part: Some(part) };
    let header = |sha256: &str| message(Part::Header(v1::UploadHeader { total_bytes: total, sha256: sha256.into() }));
    let chunk = |count: usize| message(Part::Chunk(vec![0; count].into()));
    let cases = [
        vec![],
        vec![chunk(10)],
        vec![v1::UploadImageRequest { part: None }],
        parts(&bytes[..bytes.len() / 2], total),
        parts(&bytes, total - 1),
        parts(&bytes, 2 << 20),
        parts(&bytes, 0),
        parts(&[7; 5000], 5000),
        vec![header(""), chunk(0)],
        vec![header(""), header("")],
        vec![header("xyz")],
        [vec![header(&"0".repeat(64))], parts(&bytes, total).split_off(1)].concat(),
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let status = client.upload_image(iter(case)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "case {at}");
    }
    assert_eq!(node.kept(), before);
    let impatient = Wish { server: |it| it.limits.idle_time = Duration::from_millis(200), ..Wish::default() };
    let impatient = TestNode::start(impatient).await;
    let nothing = impatient.kept();
    let (sender, slow) = tokio::sync::mpsc::channel(1);
    sender.send(header("")).await.unwrap();
    let slow = tokio_stream::wrappers::ReceiverStream::new(slow);
    let status = impatient.uploads().await.upload_image(slow).await.unwrap_err();
    assert!(status.message().contains("paused"), "{status:?}");
    assert_eq!(impatient.kept(), nothing);

    let digest = format!("{:x}", Sha256::digest(&bytes));
    let whole = [vec![header(&digest)], parts(&bytes, total).split_off(1)].concat();
    let first = client.upload_image(iter(whole)).await.unwrap().into_inner();
    assert_eq!((first.sha256.as_str(), first.total_bytes), (digest.as_str(), total));
    assert!(first.width > 0 && first.height > 0 && first.expires.is_some());
    let second = client.upload_image(iter(parts(&bytes, total))).await.unwrap().into_inner();
    assert_eq!(first.upload_id, second.upload_id, "the same bytes get the same id");
    let uploaded = v1::Image { source: Some(Source::UploadId(first.upload_id)), strength: None };
    let spec = v1::GenerationSpec { images: Some(Images::Image(uploaded)), ..spec(3) };
    node.generations().await.create_generation(create(spec)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_comes_again_although_its_upload_has_expired() {
    let wish = Wish {
        jobs: |jobs| jobs.retention.uploads_for = Duration::from_millis(1),
        // Nothing goes before the test says so.
        server: |it| it.sweep_every = Duration::from_secs(3600),
        ..Wish::default()
    };
    let node = TestNode::start(wish).await;
    let sent = parts(&picture(), picture().len() as u64);
    let upload_id = node.uploads().await.upload_image(iter(sent)).await.unwrap().into_inner().upload_id;
    let uploaded = v1::Image { source: Some(Source::UploadId(upload_id)), strength: None };
    let spec = v1::GenerationSpec { images: Some(Images::Image(uploaded)), ..spec(3) };
    let request = |request_id: &str| v1::CreateGenerationRequest {
        request_id: request_id.into(),
        spec: Some(spec.clone()),
        ..Default::default()
    };
    let mut client = node.generations().await;
    let first = client.create_generation(request("a")).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(node.jobs.sweep().unwrap().uploads, 1);
    let again = client.create_generation(request("a")).await.unwrap().into_inner();
    assert!(again.existed && again.generation.unwrap().id == first.generation.unwrap().id);
    for request_id in ["b", ""] {
        let status = client.create_generation(request(request_id)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "UPLOAD_NOT_FOUND"));
    }
}
