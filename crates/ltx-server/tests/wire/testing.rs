//! Faults that a test of a client asks for, as the client sees them; and that a node that makes none gives none.
//!
//! Must not know how they are made. A node that is ended by one is `ltxd`'s own test.

use crate::node::{self, TestNode, Wish, create, image, reason, spec, watched};
use ltx_jobs::RunFaults;
use ltx_policy::Reason;
use ltx_proto::v1::{
    self, download_output_response::Part, generation_event::Event, node_service_client::NodeServiceClient,
    upload_image_request::Part as UploadPart,
};
use std::time::Duration;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// A node for tests without faults of its own.
fn willing() -> Wish {
    Wish {
        jobs: |it| it.testing = Some(RunFaults::default()),
        server: |it| it.testing.enabled = true,
        ..Wish::default()
    }
}

/// A call that asks for faults.
fn asking<T>(header: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("ltxd-testing", header.parse().unwrap());
    request
}

/// What ErrorInfo says made the error.
#[track_caller]
fn made_by(status: &Status) -> String {
    let metadata = status.get_details_error_info().unwrap().metadata;
    metadata.get("testing").unwrap_or_else(|| panic!("{status:?}")).clone()
}

/// The rules that a call's header breaks.
#[track_caller]
fn rule(status: &Status) -> String {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    let bad = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(bad[0].field, "ltxd-testing");
    bad[0].description.clone()
}

fn retry(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_makes_no_faults_refuses_to() {
    let node = TestNode::start(Wish::default()).await;
    assert_eq!(node.about().await.testing, None);
    let mut client = node.generations().await;
    let before = node.kept();
    let status = client.create_generation(asking("queue-full", create(spec(1)))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "TESTING_NOT_ENABLED"));
    let mut nodes = NodeServiceClient::new(node.channel().await);
    let status = nodes.get_node(asking("no fault at all", v1::GetNodeRequest {})).await.unwrap_err();
    assert_eq!(reason(&status), "TESTING_NOT_ENABLED", "whatever it says");
    assert_eq!(node.kept(), before);
    let made = client.create_generation(create(spec(1))).await.unwrap().into_inner().generation.unwrap();
    let events = watched(&mut client, &made.id, 0).await;
    let Some(Event::Done(done)) = events.last().unwrap().event.clone() else { panic!("{:?}", events.last()) };
    assert!(!done.generation.unwrap().mark.unwrap().testing);
    assert!(sidecar(&mut client, &made.id).await.get("testing").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_for_tests_says_so_and_marks_what_it_makes() {
    let node = TestNode::start(willing()).await;
    let testing = node.about().await.testing.unwrap();
    assert_eq!((testing.faults.len(), testing.names.len()), (0, 10));
    let mut client = node.generations().await;
    let slow = asking("slow-steps-ms=1", create(spec(1)));
    for (request, faults) in [(Request::new(create(spec(1))), vec![]), (slow, vec!["slow-steps-ms=1"])] {
        let made = client.create_generation(request).await.unwrap().into_inner().generation.unwrap();
        let events = watched(&mut client, &made.id, 0).await;
        let Some(Event::Done(done)) = events.last().unwrap().event.clone() else { panic!("{:?}", events.last()) };
        assert!(done.generation.unwrap().mark.unwrap().testing);
        let sidecar = sidecar(&mut client, &made.id).await;
        assert_eq!((&sidecar["mark"]["testing"], &sidecar["testing"]), (&true.into(), &faults.into()));
        let video = downloaded(&mut client, Request::new(wanted(&made.id, v1::Output::Mp4))).await.0;
        let text = String::from_utf8_lossy(&video).into_owned();
        assert!(text.contains("testing true"), "the comment in the MP4");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_can_be_asked_for_of_any_call() {
    let node = TestNode::start(willing()).await;
    let mut nodes = NodeServiceClient::new(node.channel().await);
    let mut client = node.generations().await;
    let reasons: Vec<_> = (1..1000).filter_map(|number| v1::ErrorReason::try_from(number).ok()).collect();
    assert!(reasons.len() > 25);
    for asked in reasons {
        let name = asked.as_str_name().trim_start_matches("ERROR_REASON_");
        let header = format!("refuse={name}");
        for status in [
            nodes.get_node(asking(&header, v1::GetNodeRequest {})).await.unwrap_err(),
            client.create_generation(asking(&header, create(spec(1)))).await.unwrap_err(),
        ] {
            assert_eq!((reason(&status).as_str(), made_by(&status).as_str()), (name, header.as_str()));
            let metadata = status.get_details_error_info().unwrap().metadata;
            assert!(metadata[&format!("remedy.{name}")].len() > 5 && metadata.contains_key(&format!("why.{name}")));
            let waits =
                ["QUEUE_FULL", "RATE_LIMITED", "STORAGE_FULL", "SHUTTING_DOWN", "STORE_UNAVAILABLE"].contains(&name);
            assert_eq!(retry(&status).is_some(), waits, "{name}");
            let policy = asked as i32 <= 8;
            assert_eq!(status.get_details_localized_message().is_some(), policy, "{name}");
            assert_eq!(status.get_details_help().is_some(), policy, "{name}");
            if let Some(known) = Reason::ALL.into_iter().find(|reason| reason.as_str() == name) {
                assert_eq!(metadata[&format!("remedy.{name}")], known.remedy(&node::policy()));
            }
        }
    }
    assert_eq!(node.kept().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_met_on_purpose() {
    let node = TestNode::start(willing()).await;
    let mut client = node.generations().await;
    let mut create = async |header: &str| client.create_generation(asking(header, create(spec(1)))).await.unwrap_err();
    let full = create("queue-full").await;
    assert_eq!((full.code(), reason(&full).as_str()), (Code::ResourceExhausted, "QUEUE_FULL"));
    assert!(retry(&full).is_some());
    let full = create("disk-full=true").await;
    assert_eq!((reason(&full).as_str(), made_by(&full).as_str()), ("STORAGE_FULL", "disk-full"));
    let away = create("unavailable_seconds=2.5").await;
    assert_eq!((away.code(), reason(&away).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert_eq!(retry(&away), Some(Duration::from_millis(2500)));
    let header = v1::UploadHeader { total_bytes: 1, sha256: String::new() };
    let parts = [v1::UploadImageRequest { part: Some(UploadPart::Header(header)) }];
    let mut uploads = node.uploads().await;
    let status = uploads.upload_image(asking("disk-full", tokio_stream::iter(parts))).await.unwrap_err();
    assert_eq!(made_by(&status), "disk-full");
    assert_eq!(node.kept().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_fails_at_its_step() {
    let node = TestNode::start(willing()).await;
    let mut client = node.generations().await;
    for (header, expected) in [
        ("fail-at-step=3", v1::FailureReason::Engine),
        ("fail-at-step=8, fail-as=STORAGE_FULL", v1::FailureReason::StorageFull),
        ("fail-at-step=1,fail-as=ENGINE_RETRYABLE", v1::FailureReason::Engine),
    ] {
        let step: u32 = header.trim_start_matches("fail-at-step=")[..1].parse().unwrap();
        let made = client.create_generation(asking(header, create(spec(1)))).await.unwrap().into_inner();
        let events = watched(&mut client, &made.generation.unwrap().id, 0).await;
        let Some(Event::Failed(failed)) = events.last().unwrap().event.clone() else { panic!("{:?}", events.last()) };
        let failure = failed.failure.unwrap();
        assert_eq!(failure.reason(), expected);
        assert_eq!(failure.retryable, !header.contains("3"), "{failure:?}");
        assert!(failure.message.starts_with("a fault that was asked for: fail-at-step="), "{}", failure.message);
        let begun = events.iter().filter_map(|event| match &event.event {
            Some(Event::Progress(progress)) if progress.stage() == v1::Stage::Denoising => Some(progress.step),
            _ => None,
        });
        assert_eq!(begun.max(), Some(step - 1), "the last step that began");
    }
    // The next one is undisturbed.
    let made = client.create_generation(create(spec(1))).await.unwrap().into_inner().generation.unwrap();
    let events = watched(&mut client, &made.id, 0).await;
    assert!(matches!(events.last().unwrap().event, Some(Event::Done(_))));
    let never = client.create_generation(asking("fail-at-step=9", create(spec(1)))).await.unwrap_err();
    assert_eq!(
        rule(&never),
        "fail-at-step=9 is never reached: this generation has 8 steps of sampling; nearest legal: 8"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_cut_and_go_on_where_they_were() {
    let node = TestNode::start(willing()).await;
    let mut client = node.generations().await;
    let made = client.create_generation(create(spec(1))).await.unwrap().into_inner().generation.unwrap();
    let whole = watched(&mut client, &made.id, 0).await;
    let mut events = Vec::new();
    let mut cuts = 0;
    while events.len() < whole.len() {
        let resume_after = events.len() as u64;
        let request = v1::WatchGenerationRequest { id: made.id.clone(), resume_after, previews: false };
        let mut stream = client.watch_generation(asking("cut-watch-after=4", request)).await.unwrap().into_inner();
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    let Some(v1::watch_generation_response::News::Event(event)) = message.news else { continue };
                    events.push(event);
                }
                Ok(None) => break,
                Err(status) => {
                    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
                    assert_eq!(made_by(&status), "cut-watch-after=4");
                    assert!(retry(&status).is_some());
                    cuts += 1;
                    break;
                }
            }
        }
    }
    assert_eq!((cuts, events), (whole.len() / 4, whole));

    let (video, end) = downloaded(&mut client, Request::new(wanted(&made.id, v1::Output::Mp4))).await;
    assert!(end.is_none());
    let cut = asking("cut-download-after=100", wanted(&made.id, v1::Output::Mp4));
    let (some, end) = downloaded(&mut client, cut).await;
    let status = end.unwrap();
    assert_eq!((status.code(), made_by(&status).as_str()), (Code::Unavailable, "cut-download-after=100"));
    assert_eq!(some, video[..100]);
    let rest = v1::DownloadOutputRequest { offset: 100, ..wanted(&made.id, v1::Output::Mp4) };
    assert_eq!(downloaded(&mut client, asking("none", rest)).await.0, video[100..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_calls_only_so_that_a_retry_succeeds() {
    let node = TestNode::start(willing()).await;
    let mut client = node.generations().await;
    let header = "unavailable-seconds=0.01, times=2, id=retry";
    for _ in 0..2 {
        let status = client.create_generation(asking(header, create(spec(1)))).await.unwrap_err();
        assert_eq!(reason(&status), "SHUTTING_DOWN");
    }
    client.create_generation(asking(header, create(spec(1)))).await.unwrap();
    let again = "unavailable-seconds=0.01, times=2, id=another";
    client.create_generation(asking(again, create(spec(1)))).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_holds_for_its_calls_and_a_call_says_otherwise() {
    let wish = Wish {
        jobs: |it| it.testing = Some(RunFaults { slow_steps: Duration::from_millis(1), ..RunFaults::default() }),
        server: |it| {
            it.testing.enabled = true;
            it.testing.slow_steps_ms = 1;
            it.testing.refuse = "LOW_CREDITS".into();
        },
        ..Wish::default()
    };
    let node = TestNode::start(wish).await;
    assert_eq!(node.about().await.testing.unwrap().faults, ["slow-steps-ms=1", "refuse=LOW_CREDITS"]);
    let mut client = node.generations().await;
    let status = client.create_generation(create(spec(1))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "LOW_CREDITS"));
    let status = client.create_generation(asking("slow-steps-ms=2", create(spec(1)))).await.unwrap_err();
    assert_eq!(made_by(&status), "refuse=LOW_CREDITS", "the rest of the configuration stands");
    client.create_generation(asking("refuse=", create(spec(1)))).await.unwrap();
    client.create_generation(asking("none", create(spec(1)))).await.unwrap();
    client.list_generations(v1::ListGenerationsRequest::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_fault_is_refused_by_name() {
    let node = TestNode::start(willing()).await;
    let mut client = node.generations().await;
    for (header, expected) in [
        ("explode", "explode is no fault; there are: fail-at-step, fail-as, slow-steps-ms"),
        ("fail-at-step", "fail-at-step has no value: name=value"),
        ("fail-at-step=two", "fail-at-step=two is not a step"),
        ("fail-at-step=-1", "fail-at-step=-1 is not a step"),
        ("fail-as=STORAGE_FULL", "fail-as says how fail_at_step fails, and there is none"),
        (
            "fail-at-step=1, fail-as=OOPS",
            "fail-as=OOPS is no code of a failure; there are: ENGINE, ENGINE_RETRYABLE, IMAGE",
        ),
        ("slow-steps-ms=86400001", "slow-steps-ms=86400001 is not a number of milliseconds up to 86400000"),
        ("queue-full=yes", "queue-full=yes is neither true nor false"),
        ("refuse=NOTHING", "refuse=NOTHING is no reason of errors.proto; there are: NOT_AN_UNLIMITED_METHOD"),
        ("unavailable-seconds=NaN", "unavailable-seconds=NaN is not a number of seconds"),
        ("queue-full, queue_full", "queue_full stands there twice"),
        ("queue-full, times=0", "times=0 is not 1 to 1000000 calls"),
        ("queue-full, id=a b", "id=a b is not 1 to 100 letters"),
        ("none, queue-full", "none is no fault"),
        ("", "\"\" names no fault"),
    ] {
        let status = client.create_generation(asking(header, create(spec(1)))).await.unwrap_err();
        let told = rule(&status);
        assert!(told.starts_with(expected), "{header}: {told}");
    }
    assert_eq!(node.kept().0, 0);
    let mut bytes = Request::new(create(v1::GenerationSpec {
        images: Some(v1::generation_spec::Images::Image(image())),
        ..spec(1)
    }));
    let value = tonic::metadata::MetadataValue::try_from(&b"queue-full\xc3\xa9"[..]).unwrap();
    bytes.metadata_mut().insert("ltxd-testing", value);
    assert_eq!(rule(&client.create_generation(bytes).await.unwrap_err()), "its value is not ASCII");
}

type Generations = v1::generation_service_client::GenerationServiceClient<tonic::transport::Channel>;

fn wanted(id: &str, output: v1::Output) -> v1::DownloadOutputRequest {
    v1::DownloadOutputRequest { id: id.to_owned(), output: output.into(), offset: 0 }
}

/// What came, and with what it ended.
async fn downloaded(
    client: &mut Generations,
    request: Request<v1::DownloadOutputRequest>,
) -> (Vec<u8>, Option<Status>) {
    let mut stream = client.download_output(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                if let Some(Part::Chunk(chunk)) = message.part {
                    bytes.extend_from_slice(&chunk);
                }
            }
            Ok(None) => return (bytes, None),
            Err(status) => return (bytes, Some(status)),
        }
    }
}

async fn sidecar(client: &mut Generations, id: &str) -> serde_json::Value {
    let (bytes, end) = downloaded(client, Request::new(wanted(id, v1::Output::Sidecar))).await;
    assert!(end.is_none());
    serde_json::from_slice(&bytes).unwrap()
}
