//! Answers as a client with gRPC's default limits takes them: 4 MiB, whatever the node is configured to take itself.
//!
//! Must not know how a page is put together.

use crate::node::{TestNode, Wish, create, spec, watched};
use ltx_proto::v1::{
    self, generation_event::Event, generation_service_client::GenerationServiceClient, watch_generation_response::News,
};
use ltx_types::settings::Bounded;
use prost::Message;
use tonic::transport::Channel;

/// What clients take unless they are told otherwise.
const DEFAULT: usize = 4 << 20;

/// A client with the limits of its library.
async fn client(node: &TestNode) -> GenerationServiceClient<Channel> {
    GenerationServiceClient::new(node.channel().await)
}

/// A node with a generation for every prompt, the first seeded 0.
async fn node_with(wish: Wish, prompts: impl Iterator<Item = String>) -> TestNode {
    let node = TestNode::start(wish).await;
    let mut client = node.generations().await;
    for (seed, prompt) in prompts.enumerate() {
        let long = v1::GenerationSpec { prompt, ..spec(seed as u64) };
        client.create_generation(create(long)).await.unwrap();
    }
    node
}

/// Seeds of every page, for a page size; pages but the last have no room for another generation of `largest` bytes.
async fn pages(node: &TestNode, page_size: i32, largest: usize) -> Vec<Vec<u64>> {
    let mut client = client(node).await;
    let mut request = v1::ListGenerationsRequest { page_size, ..v1::ListGenerationsRequest::default() };
    let mut pages = Vec::new();
    loop {
        let page = client.list_generations(request.clone()).await.unwrap().into_inner();
        assert!(page.encoded_len() < DEFAULT, "{} bytes", page.encoded_len());
        assert!(page.generations.len() <= page_size as usize);
        let full = page.generations.len() == page_size as usize || page.encoded_len() + largest > DEFAULT - (64 << 10);
        assert!(full || page.next_page_token.is_empty(), "a short page of {} bytes", page.encoded_len());
        pages.push(page.generations.into_iter().map(|generation| generation.spec.unwrap().seed()).collect());
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_many_long_prompts_fits_a_client_with_default_limits() {
    let prompt = |_| "heron ".repeat(1000) + &"x".repeat(10_000);
    let node = node_with(Wish::default(), (0..260).map(prompt)).await;
    for page_size in [200, 500, 7] {
        let pages = pages(&node, page_size, 17 << 10).await;
        assert!(pages.concat().into_iter().eq((0..260).rev()), "each once, the newest first");
        if page_size == 7 {
            assert_eq!(pages.len(), 260_usize.div_ceil(7), "small pages are whole");
        }
    }
    // All of them together would be no answer.
    assert!(pages(&node, 500, 17 << 10).await.len() > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_cut_by_bytes_and_go_on_exactly_behind_the_last() {
    let wish = Wish { server: |it| it.limits.prompt_bytes = Bounded::new(1 << 20).unwrap(), ..Wish::default() };
    let sizes = [1 << 20, 10, 900 << 10, 700 << 10, 1, 1 << 20, 1 << 20, 1 << 20, 300 << 10, 20];
    let node = node_with(wish, sizes.iter().map(|bytes| "x".repeat(*bytes))).await;
    let pages = pages(&node, 500, (1 << 20) + (8 << 10)).await;
    assert!(pages.len() > 1, "{pages:?}");
    assert!(pages.concat().into_iter().eq((0..10).rev()), "{pages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_generation_there_is_fits_every_answer() {
    let wish = Wish {
        server: |it| {
            it.limits.prompt_bytes = Bounded::new(1 << 20).unwrap();
            it.limits.message_bytes = Bounded::new(8 << 20).unwrap();
        },
        ..Wish::default()
    };
    let node = TestNode::start(wish).await;
    let mut client = client(&node).await;
    let long = "x".repeat(1 << 20);
    let asked = v1::GenerationSpec {
        prompt: long.clone(),
        negative_prompt: Some(long),
        schedule: v1::Schedule::Guided.into(),
        guidance: Some(v1::Guidance { cfg_scale: Some(3.0), ..v1::Guidance::default() }),
        ..spec(1)
    };
    let request = v1::CreateGenerationRequest { request_id: "r".repeat(128), spec: Some(asked), ..Default::default() };
    let mut large = node.generations().await;
    let id = large.create_generation(request).await.unwrap().into_inner().generation.unwrap().id;
    let events = watched(&mut client, &id, 0).await;
    let done = events.into_iter().find_map(|event| match event.event {
        Some(Event::Done(done)) => done.generation,
        _ => None,
    });
    let done = done.expect("it is done");
    assert!(done.encoded_len() > 2 << 20 && done.encoded_len() < DEFAULT);
    let got = client.get_generation(v1::GetGenerationRequest { id: id.clone() }).await.unwrap().into_inner();
    assert_eq!(got.generation.unwrap().id, id);
    let page = client.list_generations(v1::ListGenerationsRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.generations.len(), 1);
    let cancelled =
        client.cancel_generation(v1::CancelGenerationRequest { id, batch: false }).await.unwrap().into_inner();
    assert!(cancelled.generation.is_some());
}

/// Every message of a stream, as a client with default limits receives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_come_in_messages_that_fit() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = client(&node).await;
    let id = client.create_generation(create(spec(3))).await.unwrap().into_inner().generation.unwrap().id;
    let request = v1::WatchGenerationRequest { id: id.clone(), resume_after: 0, previews: true };
    let mut news = client.watch_generation(request).await.unwrap().into_inner();
    let mut seen = 0;
    while let Some(message) = news.message().await.unwrap() {
        assert!(message.encoded_len() < DEFAULT);
        seen += usize::from(matches!(message.news, Some(News::Event(_))));
    }
    assert!(seen > 3);
    let request = v1::DownloadOutputRequest { id, output: v1::Output::Mp4.into(), offset: 0 };
    let mut parts = client.download_output(request).await.unwrap().into_inner();
    while let Some(part) = parts.message().await.unwrap() {
        assert!(part.encoded_len() < DEFAULT / 4);
    }
}
