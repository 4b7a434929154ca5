//! The contract as a browser speaks it: gRPC-Web over HTTP/1.1, with the same services, limits and errors.
//!
//! Must not know who may call; `foreign_pages` does.

use crate::{
    node::{ALICE, LOADED, TestNode, Wish, create, image, reason, spec, watched},
    web::{CONTENT, NOBODYS, call, call_with, framed, made, only, own, send},
};
use ltx_proto::v1::{
    self, download_image_response, download_output_response, generation_event::Event, generation_spec::Images,
    image::Source, watch_generation_response::News,
};
use ltx_testkit::fake::{Gate, LONG, picture};
use ltx_types::{Stage, settings::Bounded};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clip_is_made_watched_and_fetched() {
    let node = TestNode::start(Wish::default()).await;
    let about = only(call::<v1::GetNodeResponse>(&node, "NodeService/GetNode", &v1::GetNodeRequest {}).await);
    assert_eq!(about.node.unwrap().client, "local");
    let generation = made(&node, spec(7)).await;
    let request = v1::WatchGenerationRequest { id: generation.id.clone(), resume_after: 0, previews: true };
    let watch = call::<v1::WatchGenerationResponse>(&node, "GenerationService/WatchGeneration", &request).await;
    watch.end.unwrap();
    assert_eq!(watch.answer.headers["content-type"], CONTENT);
    let events = watch.messages.into_iter().filter_map(|message| match message.news {
        Some(News::Event(event)) => Some(event),
        _ => None,
    });
    let events: Vec<_> = events.collect();
    assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64));
    assert!(matches!(events.last().unwrap().event, Some(Event::Done(_))));
    // The same as a client of gRPC sees, from any event on.
    let native = watched(&mut node.generations().await, &generation.id, 3).await;
    assert!(events[3..].iter().map(|event| &event.event).eq(native.iter().map(|event| &event.event)));

    let request = v1::DownloadOutputRequest { id: generation.id.clone(), output: 1, offset: 0 };
    let parts = call::<v1::DownloadOutputResponse>(&node, "GenerationService/DownloadOutput", &request).await;
    parts.end.unwrap();
    let (mut about, mut bytes) = (None, Vec::new());
    for part in parts.messages {
        match part.part.unwrap() {
            download_output_response::Part::File(file) => about = Some(file),
            download_output_response::Part::Chunk(chunk) => bytes.extend(chunk),
        }
    }
    let about = about.unwrap();
    assert_eq!((about.total_bytes, about.sha256), (bytes.len() as u64, format!("{:x}", Sha256::digest(&bytes))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_their_details() {
    let node = TestNode::start(Wish::default()).await;
    let loud = v1::GenerationSpec { audio: Some(v1::AudioSpec { track: true, ..Default::default() }), ..spec(1) };
    let method = "GenerationService/CreateGeneration";
    let refused = call::<v1::CreateGenerationResponse>(&node, method, &create(loud)).await;
    let status = refused.end.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "AUDIO_NOT_COVERED"));
    assert!(status.get_details_help().is_some_and(|help| !help.links.is_empty()));
    assert!(refused.answer.headers["content-type"].starts_with("application/grpc"));
    let unknown = call::<v1::GetNodeResponse>(&node, "NodeService/Nothing", &v1::GetNodeRequest {}).await;
    assert_eq!(reason(&unknown.end.unwrap_err()), "UNKNOWN_METHOD");
    let torn = [0, 0, 0, 0, 9, 1];
    let answer = send(&node, &format!("POST /ltx.v1.{method}"), &own(&node), &torn).await;
    let said = answer.headers.get("grpc-status").cloned();
    assert_eq!(said.as_deref(), Some("3"), "a torn message is INVALID_ARGUMENT: {answer:?}");
    let text = own(&node).replace(CONTENT, "application/grpc-web-text");
    let answer = send(&node, &format!("POST /ltx.v1.{method}"), &text, b"!!!!").await;
    assert!(answer.headers["grpc-message"].contains("not%20framed"), "no base64: {answer:?}");
    assert_eq!(node.kept().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_rates_and_sizes_hold() {
    let server = |it: &mut ltx_server::Settings| {
        it.limits.message_bytes = Bounded::new(2 << 20).unwrap();
        it.limits.streams_per_client = Bounded::new(1).unwrap();
    };
    let gate = Gate::closed();
    let node = TestNode::start(Wish { tokens: true, server, ..Wish::behind(&gate) }).await;
    let list = v1::ListGenerationsRequest::default();
    let method = "GenerationService/ListGenerations";
    let stranger = call::<v1::ListGenerationsResponse>(&node, method, &list).await;
    assert_eq!(reason(&stranger.end.unwrap_err()), "UNAUTHENTICATED");
    let alice = format!("{}\nauthorization: Bearer {ALICE}", own(&node));
    only(call_with::<v1::ListGenerationsResponse>(&node, method, &alice, &list).await);
    // Not in the address: what stands there is written into logs.
    let path = format!("{method}?authorization=Bearer%20{}", ALICE.replace(' ', "%20"));
    let in_address = call::<v1::ListGenerationsResponse>(&node, &path, &list).await;
    assert_eq!(reason(&in_address.end.unwrap_err()), "UNAUTHENTICATED");

    let large = v1::Image { source: Some(Source::Data(vec![0; 3 << 20].into())), strength: None };
    let large = create(v1::GenerationSpec { images: Some(Images::Image(large)), ..spec(1) });
    let method = "GenerationService/CreateGeneration";
    let large = call_with::<v1::CreateGenerationResponse>(&node, method, &alice, &large).await;
    assert_eq!(reason(&large.end.unwrap_err()), "MESSAGE_TOO_LARGE");
    assert_eq!(node.kept().0, 0);

    let made = only(call_with::<v1::CreateGenerationResponse>(&node, method, &alice, &create(spec(1))).await);
    let request = v1::WatchGenerationRequest { id: made.generation.unwrap().id, ..Default::default() };
    let method = "GenerationService/WatchGeneration";
    let mut watching = TcpStream::connect(node.address).await.unwrap();
    let body = framed(&request);
    let head = alice.lines().fold(format!("POST /ltx.v1.{method} HTTP/1.1\r\n"), |head, line| head + line + "\r\n");
    watching.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    watching.write_all(&body).await.unwrap();
    assert!(watching.read(&mut [0; 4096]).await.unwrap() > 0);
    let second = call_with::<v1::WatchGenerationResponse>(&node, method, &alice, &request).await;
    assert_eq!(reason(&second.end.unwrap_err()), "RATE_LIMITED");
    // A page that is gone has given its place back, once that was noticed.
    drop(watching);
    gate.open();
    let until = Instant::now() + LONG;
    while let Err(status) = call_with::<v1::WatchGenerationResponse>(&node, method, &alice, &request).await.end {
        assert!(Instant::now() < until, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_goes_while_nothing_happens_is_noticed() {
    let gate = Gate::closed();
    let node = TestNode::start(Wish::behind(&gate)).await;
    let generation = made(&node, spec(1)).await;
    gate.reached(1, Stage::TextEncoding, 0);
    let request = v1::WatchGenerationRequest { id: generation.id, ..Default::default() };
    let body = framed(&request);
    let mut watching = TcpStream::connect(node.address).await.unwrap();
    let path = "POST /ltx.v1.GenerationService/WatchGeneration HTTP/1.1\r\n".to_owned();
    let head = own(&node).lines().fold(path, |head, line| head + line + "\r\n");
    watching.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    watching.write_all(&body).await.unwrap();
    assert!(watching.read(&mut [0; 4096]).await.unwrap() > 0);
    let open = async |count: usize| {
        let line = format!("ltxd_open_streams {count}\n");
        let until = Instant::now() + LONG;
        loop {
            let text = crate::surroundings::get(&node, "/metrics").await;
            if text.contains(&line) {
                return;
            }
            assert!(Instant::now() < until, "{line} never came: {text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    open(1).await;
    drop(watching);
    open(0).await;
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_comes_in_parts_and_back() {
    let node = TestNode::start(Wish::default()).await;
    let bytes = picture().to_vec();
    let (total_bytes, sha256) = (bytes.len() as u64, format!("{:x}", Sha256::digest(&bytes)));
    let header = v1::UploadHeader { total_bytes, sha256: sha256.to_uppercase() };
    let part = async |offset: usize, end: usize| {
        let data = bytes[offset..end].to_vec().into();
        let part = v1::UploadPartRequest { header: Some(header.clone()), offset: offset as u64, data };
        call::<v1::UploadPartResponse>(&node, "UploadService/UploadPart", &part).await
    };
    let (third, half) = (bytes.len() / 3, bytes.len() / 2);
    let beyond = part(third, half).await.end.unwrap_err();
    assert_eq!((beyond.code(), reason(&beyond).as_str()), (Code::OutOfRange, "OFFSET_OUT_OF_RANGE"));
    assert_eq!(beyond.get_details_error_info().unwrap().metadata["received_bytes"], "0");
    assert_eq!(only(part(0, 0).await), v1::UploadPartResponse { received_bytes: 0, upload: None });
    assert_eq!(only(part(0, third).await).received_bytes, third as u64);
    // A part whose answer was lost, one that overlaps, and one that leaves a gap.
    assert_eq!(only(part(0, third).await).received_bytes, third as u64);
    assert_eq!(only(part(third / 2, half).await).received_bytes, half as u64);
    let gap = part(half + 1, bytes.len()).await.end.unwrap_err();
    assert_eq!(gap.get_details_error_info().unwrap().metadata["received_bytes"], half.to_string());
    assert_eq!(only(part(0, 0).await).received_bytes, half as u64, "it says how far it is");
    let whole = only(part(half, bytes.len()).await);
    let upload = whole.upload.unwrap();
    assert_eq!((whole.received_bytes, upload.total_bytes, &upload.sha256), (total_bytes, total_bytes, &sha256));
    assert!(upload.width > 0 && upload.expires.is_some());
    let again = only(part(0, 1).await).upload.unwrap();
    assert_eq!(again.upload_id, upload.upload_id, "the node has it");

    let uploaded = v1::Image { source: Some(Source::UploadId(upload.upload_id)), strength: None };
    let both = v1::StartEndImages { start: Some(uploaded), end: Some(image()) };
    let asked = v1::GenerationSpec { images: Some(Images::StartEndImages(both)), frames: Some(9), ..spec(1) };
    let generation = made(&node, asked).await;
    watched(&mut node.generations().await, &generation.id, 0).await;
    for (asked, told) in [(0, 1), (1, 1), (2, 2)] {
        for offset in [0, half as u64, total_bytes] {
            let request = v1::DownloadImageRequest { id: generation.id.clone(), image: asked, offset };
            let method = "GenerationService/DownloadImage";
            let parts = call::<v1::DownloadImageResponse>(&node, method, &request).await;
            parts.end.unwrap();
            let mut got = Vec::new();
            for part in parts.messages {
                match part.part.unwrap() {
                    download_image_response::Part::File(file) => {
                        assert_eq!((file.image, file.total_bytes, &file.sha256), (told, total_bytes, &sha256));
                        assert_eq!((file.content_type.as_str(), file.width), ("image/png", upload.width));
                    }
                    download_image_response::Part::Chunk(chunk) => got.extend(chunk),
                }
            }
            assert_eq!(got, bytes[offset as usize..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_cannot_be_are_refused_by_field() {
    let wish =
        Wish { jobs: |jobs| jobs.limits.image_bytes = Bounded::new(2 << 20).unwrap(), tokens: true, ..Wish::default() };
    let node = TestNode::start(wish).await;
    let before = node.kept();
    let headers = format!("{}\nauthorization: Bearer {ALICE}", own(&node));
    let sha256 = "ab".repeat(32);
    let header = |total_bytes, sha256: &str| Some(v1::UploadHeader { total_bytes, sha256: sha256.to_owned() });
    let cases = [
        (None, 0, 1, "header"),
        (header(9, ""), 0, 1, "header.sha256"),
        (header(9, "xyz"), 0, 1, "header.sha256"),
        (header(0, &sha256), 0, 0, "header.total_bytes"),
        (header((2 << 20) + 1, &sha256), 0, 1, "header.total_bytes"),
        (header(9, &sha256), 0, 10, "offset"),
        (header(9, &sha256), u64::MAX, 9, "offset"),
        (header(2 << 20, &sha256), 0, (1 << 20) + 1, "data"),
        // As many bytes as were promised, and others.
        (header(9, &sha256), 0, 9, "header.sha256"),
    ];
    for (header, offset, count, field) in cases {
        let part = v1::UploadPartRequest { header, offset, data: vec![7; count].into() };
        let called = call_with::<v1::UploadPartResponse>(&node, "UploadService/UploadPart", &headers, &part).await;
        let status = called.end.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    // The same digest of another client is another upload: what one has sent tells the other nothing.
    let part = v1::UploadPartRequest { header: header(9, &sha256), offset: 0, data: vec![7; 4].into() };
    let method = "UploadService/UploadPart";
    assert_eq!(only(call_with::<v1::UploadPartResponse>(&node, method, &headers, &part).await).received_bytes, 4);
    let bob = headers.replace(ALICE, crate::node::BOB);
    let asked = v1::UploadPartRequest { data: vec![].into(), ..part };
    assert_eq!(only(call_with::<v1::UploadPartResponse>(&node, method, &bob, &asked).await).received_bytes, 0);
    assert_eq!(node.kept(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_images_go_with_the_outputs() {
    let wish = Wish { jobs: |jobs| jobs.retention.outputs_for = Duration::from_millis(1), ..Wish::default() };
    let node = TestNode::start(Wish { server: |it| it.sweep_every = Duration::from_secs(3600), ..wish }).await;
    let generation = made(&node, spec(1)).await;
    watched(&mut node.generations().await, &generation.id, 0).await;
    let fetched = async |id: &str, image| {
        let request = v1::DownloadImageRequest { id: id.to_owned(), image, offset: 0 };
        call::<v1::DownloadImageResponse>(&node, "GenerationService/DownloadImage", &request).await.end
    };
    fetched(&generation.id, 1).await.unwrap();
    let none = fetched(&generation.id, 2).await.unwrap_err();
    assert_eq!((none.code(), reason(&none).as_str()), (Code::NotFound, "IMAGE_NOT_FOUND"));
    assert_eq!(reason(&fetched(&generation.id, 3).await.unwrap_err()), "INVALID_FIELD");
    assert_eq!(reason(&fetched(NOBODYS, 1).await.unwrap_err()), "GENERATION_NOT_FOUND");
    tokio::time::sleep(Duration::from_millis(5)).await;
    node.jobs.sweep().unwrap();
    assert_eq!(reason(&fetched(&generation.id, 1).await.unwrap_err()), "IMAGE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gallery_is_filtered_by_model_and_text() {
    let node = TestNode::start(Wish::default()).await;
    for (seed, prompt) in
        ["A Heron over a lake", "a lake", "왜가리가 호수 위로", "100% heron_1"].into_iter().enumerate()
    {
        made(&node, v1::GenerationSpec { prompt: prompt.into(), ..spec(seed as u64) }).await;
    }
    let seeds = async |model: &str, text: &str| {
        let request = v1::ListGenerationsRequest { model: model.into(), text: text.into(), ..Default::default() };
        let method = "GenerationService/ListGenerations";
        let page = only(call::<v1::ListGenerationsResponse>(&node, method, &request).await);
        page.generations.into_iter().map(|it| it.spec.unwrap().seed()).collect::<Vec<_>>()
    };
    assert_eq!(seeds("", "hERON").await, [3, 0]);
    assert_eq!(seeds(LOADED, "LAKE").await, [1, 0]);
    assert_eq!(seeds("", "호수").await, [2]);
    assert_eq!(seeds("", "%").await, [3], "no pattern");
    assert_eq!(seeds("", "_").await, [3]);
    assert_eq!(seeds("another", "").await, [0; 0]);
    let long = v1::ListGenerationsRequest { text: "x".repeat(257), ..Default::default() };
    let refused = call::<v1::ListGenerationsResponse>(&node, "GenerationService/ListGenerations", &long).await;
    assert_eq!(refused.end.unwrap_err().get_details_bad_request().unwrap().field_violations[0].field, "text");
    // A token belongs to its filter, these parts of it included.
    let mut page = v1::ListGenerationsRequest { page_size: 1, text: "lake".into(), ..Default::default() };
    let mut client = node.generations().await;
    page.page_token = client.list_generations(page.clone()).await.unwrap().into_inner().next_page_token;
    page.text = "heron".into();
    assert_eq!(reason(&client.list_generations(page).await.unwrap_err()), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_prompts_are_told_before_anything_is_asked() {
    let node = TestNode::start(Wish::default()).await;
    let check = async |spec: v1::GenerationSpec| {
        let request = v1::CheckEligibilityRequest { spec: Some(spec) };
        only(call::<v1::CheckEligibilityResponse>(&node, "PolicyService/CheckEligibility", &request).await)
    };
    let short = check(spec(1)).await;
    let count = short.prompt_tokens.unwrap();
    assert!(count.tokens > 0 && count.tokens <= count.most && short.negative_prompt_tokens.is_none());
    let longer = check(v1::GenerationSpec { prompt: "A lake and a heron".into(), ..spec(1) }).await;
    assert!(longer.prompt_tokens.unwrap().tokens > count.tokens);
    let guided = v1::GenerationSpec {
        schedule: v1::Schedule::Guided.into(),
        guidance: Some(v1::Guidance { cfg_scale: Some(3.0), ..Default::default() }),
        negative_prompt: Some("blurred and dark".into()),
        ..spec(1)
    };
    assert!(check(guided).await.negative_prompt_tokens.is_some_and(|count| count.tokens > 0));
    let wrong = check(v1::GenerationSpec { width: Some(33), ..spec(1) }).await;
    assert!(!wrong.violations.is_empty() && wrong.prompt_tokens.is_some());
    let refused = check(v1::GenerationSpec { model: "Kling".into(), ..spec(1) }).await;
    assert!(refused.prompt_tokens.is_none());
}
