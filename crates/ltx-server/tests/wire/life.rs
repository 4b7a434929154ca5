//! A generation's life over the wire: created, watched, resumed, cancelled, downloaded, deleted, and a node's end.
//!
//! Must not know how jobs are kept.

use crate::node::{TestNode, Wish, create, image, reason, spec, to_the_end, watched, watching};
use ltx_proto::v1::{
    self, download_output_response::Part, generation_event::Event, generation_service_client::GenerationServiceClient,
};
use ltx_testkit::fake::{Gate, LONG};
use ltx_types::Stage;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use tokio::sync::Barrier;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn created_watched_and_downloaded() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let both = v1::StartEndImages { start: Some(image()), end: Some(image()) };
    let spec =
        v1::GenerationSpec { images: Some(v1::generation_spec::Images::StartEndImages(both)), seed: None, ..spec(0) };
    let created = client.create_generation(create(spec)).await.unwrap().into_inner().generation.unwrap();
    let seed = created.spec.as_ref().unwrap().seed();
    assert_eq!((created.method(), created.spec.as_ref().unwrap().frames()), (v1::Method::StartEndFrames, 9));
    let events = watched(&mut client, &created.id, 0).await;
    assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64), "no gap, in order");
    assert!(matches!(events[0].event, Some(Event::Queued(_))));
    let Some(Event::Done(done)) = events.last().unwrap().event.clone() else { panic!("{:?}", events.last()) };
    let done = done.generation.unwrap();
    let mark = done.mark.clone().unwrap();
    assert_eq!((mark.usage_class(), mark.credits_charged, mark.seed), (v1::UsageClass::Unlimited, 0, seed));
    assert_eq!((mark.method(), mark.node_id.as_str()), (v1::Method::StartEndFrames, "test-node"));
    assert_eq!(mark.frames_sha256.len(), 64);
    assert!(done.first_frame.is_some() && done.last_frame.is_some() && done.measured.is_some());
    assert_eq!((done.outputs.len(), done.state()), (3, v1::GenerationState::Done));
    let got = client.get_generation(v1::GetGenerationRequest { id: done.id.clone() }).await.unwrap();
    assert_eq!(got.into_inner().generation.unwrap(), done);

    for file in &done.outputs {
        let mut whole = Vec::new();
        for offset in [0, file.total_bytes / 3, file.total_bytes] {
            let request = v1::DownloadOutputRequest { id: done.id.clone(), output: file.output, offset };
            let mut stream = client.download_output(request).await.unwrap().into_inner();
            let Some(Part::File(first)) = stream.message().await.unwrap().unwrap().part else {
                panic!("no file first")
            };
            assert_eq!(&first, file);
            let mut bytes = Vec::new();
            while let Some(message) = stream.message().await.unwrap() {
                let Some(Part::Chunk(chunk)) = message.part else { panic!("not a chunk") };
                assert!((1..=256 << 10).contains(&chunk.len()));
                bytes.extend_from_slice(&chunk);
            }
            if offset == 0 {
                whole = bytes.clone();
                assert_eq!(format!("{:x}", Sha256::digest(&whole)), file.sha256);
            }
            assert_eq!(bytes, whole[offset as usize..]);
        }
        let beyond = file.total_bytes + 1;
        let request = v1::DownloadOutputRequest { id: done.id.clone(), output: file.output, offset: beyond };
        let status = client.download_output(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "OFFSET_OUT_OF_RANGE"));
        let metadata = status.get_details_error_info().unwrap().metadata;
        assert_eq!(metadata["total_bytes"], file.total_bytes.to_string());
    }

    client.delete_generation(v1::DeleteGenerationRequest { id: done.id.clone() }).await.unwrap();
    let status = client.get_generation(v1::GetGenerationRequest { id: done.id.clone() }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "GENERATION_NOT_FOUND"));
    let request = v1::WatchGenerationRequest { id: done.id, ..v1::WatchGenerationRequest::default() };
    assert_eq!(reason(&client.watch_generation(request).await.unwrap_err()), "GENERATION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_resumes_behind_any_event() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let id = client.create_generation(create(spec(5))).await.unwrap().into_inner().generation.unwrap().id;
    let all = watched(&mut client, &id, 0).await;
    for seen in 0..=all.len() as u64 {
        assert_eq!(watched(&mut client, &id, seen).await, all[seen as usize..]);
    }
    let beyond = v1::WatchGenerationRequest { id, resume_after: all.len() as u64 + 1, previews: false };
    let status = client.watch_generation(beyond).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "EVENT_OUT_OF_RANGE"));
    assert_eq!(status.get_details_error_info().unwrap().metadata["last_event"], all.len().to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_watchers_each_see_every_event() {
    let gate = Gate::closed();
    let node = TestNode::start(Wish::behind(&gate)).await;
    let mut client = node.generations().await;
    let mut ids = Vec::new();
    for seed in 0..4 {
        ids.push(client.create_generation(create(spec(seed))).await.unwrap().into_inner().generation.unwrap().id);
    }
    // Nothing runs before all of them watch.
    let all = Arc::new(Barrier::new(101));
    let watchers: Vec<_> = (0..100)
        .map(|at| {
            let (mut client, id, all) = (client.clone(), ids[at % ids.len()].clone(), Arc::clone(&all));
            tokio::spawn(async move {
                let stream = watching(&mut client, &id, 0).await;
                all.wait().await;
                to_the_end(stream).await
            })
        })
        .collect();
    tokio::time::timeout(LONG, all.wait()).await.expect("some do not watch");
    gate.open();
    for watcher in watchers {
        let events = watcher.await.unwrap();
        assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64));
        assert!(matches!(events.last().unwrap().event, Some(Event::Done(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_id_is_the_same_generation() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let request =
        |seed| v1::CreateGenerationRequest { request_id: "a-1".into(), spec: Some(seed), ..Default::default() };
    // Without a seed, so that the one that was drawn must not count.
    let silent = v1::GenerationSpec { seed: None, ..spec(0) };
    let first = client.create_generation(request(silent.clone())).await.unwrap().into_inner();
    let second = client.create_generation(request(silent.clone())).await.unwrap().into_inner();
    assert!(!first.existed && second.existed);
    let (first, second) = (first.generation.unwrap(), second.generation.unwrap());
    assert_eq!((first.id, first.spec), (second.id, second.spec));
    let status = client.create_generation(request(spec(1))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_while_it_waits_and_while_it_runs() {
    let gate = Gate::closed();
    let node = TestNode::start(Wish::behind(&gate)).await;
    let mut client = node.generations().await;
    let mut ids = Vec::new();
    for seed in 0..3 {
        ids.push(client.create_generation(create(spec(seed))).await.unwrap().into_inner().generation.unwrap().id);
    }
    gate.bring_to(0, Stage::Denoising, 2);
    let status = client.delete_generation(v1::DeleteGenerationRequest { id: ids[2].clone() }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    assert_eq!(status.get_details_error_info().unwrap().metadata["state"], "QUEUED");
    let download = v1::DownloadOutputRequest { id: ids[2].clone(), ..v1::DownloadOutputRequest::default() };
    assert_eq!(reason(&client.download_output(download).await.unwrap_err()), "WRONG_STATE");

    let cancel = |id: &str| v1::CancelGenerationRequest { id: id.to_owned(), batch: false };
    let waiting = client.cancel_generation(cancel(&ids[1])).await.unwrap().into_inner().generation.unwrap();
    assert_eq!(waiting.state(), v1::GenerationState::Cancelled);
    client.cancel_generation(cancel(&ids[0])).await.unwrap();
    for (id, ran) in ids[..2].iter().zip([true, false]) {
        let events = watched(&mut client, id, 0).await;
        assert_eq!(events.iter().any(|event| matches!(event.event, Some(Event::Running(_)))), ran);
        assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64));
        assert!(matches!(events.last().unwrap().event, Some(Event::Cancelled(_))));
        let again = client.cancel_generation(cancel(id)).await.unwrap().into_inner().generation.unwrap();
        assert_eq!(again.state(), v1::GenerationState::Cancelled, "nothing to do for one that has ended");
    }
    gate.open();
    assert!(matches!(watched(&mut client, &ids[2], 0).await.last().unwrap().event, Some(Event::Done(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listed_page_by_page_and_filtered() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let mut ids = Vec::new();
    for seed in 0..7 {
        let id = client.create_generation(create(spec(seed))).await.unwrap().into_inner().generation.unwrap().id;
        watched(&mut client, &id, 0).await;
        ids.insert(0, id);
    }
    let mut page = v1::ListGenerationsRequest { page_size: 3, ..v1::ListGenerationsRequest::default() };
    let mut listed = Vec::new();
    loop {
        let answer = client.list_generations(page.clone()).await.unwrap().into_inner();
        listed.extend(answer.generations.into_iter().map(|generation| generation.id));
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
        let other = v1::ListGenerationsRequest { method: 1, ..page.clone() };
        assert_eq!(reason(&client.list_generations(other).await.unwrap_err()), "INVALID_FIELD");
    }
    assert_eq!(listed, ids);
    let mut count = async |request| client.list_generations(request).await.unwrap().into_inner().generations.len();
    let none = v1::ListGenerationsRequest::default();
    assert_eq!(count(v1::ListGenerationsRequest { method: 1, ..none.clone() }).await, 7);
    assert_eq!(count(v1::ListGenerationsRequest { method: 2, ..none.clone() }).await, 0);
    assert_eq!(count(v1::ListGenerationsRequest { states: vec![3, 4], ..none.clone() }).await, 7);
    assert_eq!(count(v1::ListGenerationsRequest { states: vec![1], ..none.clone() }).await, 0);
    let early = Some(prost_types::Timestamp { seconds: 1000, nanos: 0 });
    assert_eq!(count(v1::ListGenerationsRequest { created_before: early, ..none.clone() }).await, 0);
    assert_eq!(count(v1::ListGenerationsRequest { created_from: early, ..none }).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_tells_its_watchers_and_loses_nothing() {
    let gate = Gate::closed();
    let node = TestNode::start(Wish::behind(&gate)).await;
    let mut client = node.generations().await;
    let id = client.create_generation(create(spec(9))).await.unwrap().into_inner().generation.unwrap().id;
    let request = v1::WatchGenerationRequest { id: id.clone(), ..v1::WatchGenerationRequest::default() };
    let mut stream = client.watch_generation(request).await.unwrap().into_inner();
    gate.bring_to(9, Stage::Denoising, 2);
    let mut seen = 0;
    while seen < 6 {
        let Some(v1::watch_generation_response::News::Event(event)) = stream.message().await.unwrap().unwrap().news
        else {
            continue;
        };
        seen = event.number;
    }
    node.stop.send(()).unwrap();
    let status = loop {
        match stream.message().await {
            Ok(Some(message)) => {
                if let Some(v1::watch_generation_response::News::Event(event)) = message.news {
                    seen = event.number;
                }
            }
            Ok(None) => panic!("the stream ended as if the generation had"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(status.get_details_retry_info().is_some());
    drop(client);
    drop(stream);
    tokio::time::timeout(LONG, node.serving).await.unwrap().unwrap().unwrap();
    drop((node.jobs, node.control));

    gate.open();
    let mut node = TestNode::in_folder(Wish::behind(&gate), node.folder).await;
    let mut client = node.generations().await;
    let events = watched(&mut client, &id, seen).await;
    assert!(events.iter().map(|event| event.number).eq(seen + 1..=seen + events.len() as u64));
    assert!(events.iter().any(|event| matches!(&event.event, Some(Event::Running(running)) if running.resumed)));
    assert!(matches!(events.last().unwrap().event, Some(Event::Done(_))));
    let stop = std::mem::replace(&mut node.stop, tokio::sync::oneshot::channel().0);
    stop.send(()).unwrap();
    drop(client);
    node.serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_long_enough_goes_by_itself() {
    let wish = Wish {
        jobs: |jobs| (jobs.retention.outputs_for, jobs.retention.uploads_for) = (Duration::ZERO, Duration::ZERO),
        server: |server| server.sweep_every = Duration::from_millis(20),
        ..Wish::default()
    };
    let node = TestNode::start(wish).await;
    let mut client = node.generations().await;
    let id = client.create_generation(create(spec(1))).await.unwrap().into_inner().generation.unwrap().id;
    watched(&mut client, &id, 0).await;
    let kept = async |client: &mut GenerationServiceClient<Channel>| {
        let request = v1::GetGenerationRequest { id: id.clone() };
        client.get_generation(request).await.unwrap().into_inner().generation.unwrap()
    };
    let patience = tokio::time::Instant::now() + LONG;
    while !kept(&mut client).await.outputs.is_empty() {
        assert!(tokio::time::Instant::now() < patience, "the outputs stay");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let generation = kept(&mut client).await;
    assert_eq!(generation.state(), v1::GenerationState::Done, "what is known of it stays");
    assert!(generation.mark.is_some() && generation.outputs_expire.is_none());
    let download = v1::DownloadOutputRequest { id: id.clone(), ..v1::DownloadOutputRequest::default() };
    assert_eq!(reason(&client.download_output(download).await.unwrap_err()), "OUTPUT_NOT_FOUND");
}
