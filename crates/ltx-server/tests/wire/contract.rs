//! Promises of the contract beside a generation's life: previews, waits, what comes again, filters, how often one may call.
//!
//! Must not know how jobs are kept.

use crate::node::{LOADED, OTHER, TestNode, Wish, create, image, policy, reason, spec, watched};
use ltx_proto::v1::{self, generation_event::Event, generation_spec::Images, watch_generation_response::News};
use ltx_testkit::fake::{FakeOptions, Gate};
use ltx_types::{
    Stage,
    settings::{Bounded, PerSecond},
};
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_come_with_progress_to_whom_they_are_promised() {
    let gate = Gate::closed();
    let node = TestNode::start(Wish::behind(&gate)).await;
    let mut client = node.generations().await;
    let id = client.create_generation(create(spec(5))).await.unwrap().into_inner().generation.unwrap().id;
    let plain = {
        let (mut client, id) = (client.clone(), id.clone());
        tokio::spawn(async move { watched(&mut client, &id, 0).await })
    };
    let request = v1::WatchGenerationRequest { id: id.clone(), resume_after: 0, previews: true };
    let mut stream = client.watch_generation(request).await.unwrap().into_inner();
    let mut shown = Vec::new();
    let mut numbers = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        let Some(News::Event(event)) = message.news else { continue };
        numbers.push(event.number);
        // The next step replaces the preview: it is made once this one is here.
        if matches!(&event.event, Some(Event::Progress(progress)) if progress.step < progress.steps) {
            gate.open_n(1);
        }
        if event.preview_png.is_empty() {
            continue;
        }
        assert!(event.preview_png.starts_with(b"\x89PNG") && event.preview_png.len() < 1 << 20);
        let Some(Event::Progress(progress)) = event.event else { panic!("{event:?}") };
        assert_eq!(progress.stage(), v1::Stage::Denoising);
        shown.push(progress.step);
    }
    assert_eq!(shown, [1, 2, 3, 4, 5, 6, 7, 8], "a preview of every step");
    let plain = plain.await.unwrap();
    assert!(plain.iter().all(|event| event.preview_png.is_empty()), "nobody asked");
    assert!(plain.iter().map(|event| event.number).eq(numbers), "the events are the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_tells_what_waits() {
    let gate = Gate::closed();
    // Eight steps and two chunks: a run takes 0.4 seconds at least, whatever the machine.
    let fake = FakeOptions { step_time: Duration::from_millis(40), gate: gate.clone(), ..FakeOptions::default() };
    let node = TestNode::start(Wish { fake, ..Wish::default() }).await;
    let (mut client, mut policies) = (node.generations().await, node.policies().await);
    let mut check = async || {
        let request = v1::CheckEligibilityRequest { spec: Some(spec(1)) };
        policies.check_eligibility(request).await.unwrap().into_inner().estimate.unwrap()
    };
    let nothing = check().await;
    assert_eq!((nothing.wait_seconds, nothing.resources.unwrap().stages.len()), (Some(0.0), 0));
    let mut made =
        async |seed| client.create_generation(create(spec(seed))).await.unwrap().into_inner().generation.unwrap();
    let first = made(1).await;
    gate.reached(1, Stage::TextEncoding, 0);
    assert_eq!(check().await.wait_seconds, None, "one like it has never ended");
    assert_eq!(node.about().await.queue.unwrap().wait_seconds, None);
    gate.open();
    watched(&mut node.generations().await, &first.id, 0).await;
    gate.close();
    let second = made(2).await;
    gate.reached(2, Stage::TextEncoding, 0);
    let (third, fourth) = (made(3).await, made(4).await);
    let predicted = third.predicted.unwrap();
    let stages: Vec<_> = predicted.stages.iter().map(v1::StageSeconds::stage).collect();
    let expected = [v1::Stage::TextEncoding, v1::Stage::ImageEncoding, v1::Stage::Denoising, v1::Stage::Decoding];
    assert_eq!(stages, expected);
    let sum: f64 = predicted.stages.iter().map(|stage| stage.seconds).sum();
    assert!((sum - predicted.seconds).abs() < 1e-6 && sum >= 0.4, "{sum}");
    // So many runs wait, and the one on the device has between all of itself and nothing left. Told in milliseconds.
    let is_wait_of = |waiting: f64, said: Option<f64>| {
        let (least, most) = (waiting * predicted.seconds, (waiting + 1.0) * predicted.seconds);
        assert!(said.is_some_and(|said| (least - 0.001..=most + 0.001).contains(&said)), "{said:?}: {least} to {most}");
    };
    let estimate = check().await;
    assert_eq!(estimate.resources.unwrap().stages.len(), 4);
    is_wait_of(2.0, estimate.wait_seconds);
    is_wait_of(2.0, node.about().await.queue.unwrap().wait_seconds);
    gate.open();
    let events = watched(&mut node.generations().await, &fourth.id, 0).await;
    let Some(Event::Queued(queued)) = &events[0].event else { panic!("{:?}", events[0]) };
    is_wait_of(1.0, queued.seconds_left);
    let got = node.generations().await.get_generation(v1::GetGenerationRequest { id: second.id }).await.unwrap();
    assert_eq!(got.into_inner().generation.unwrap().predicted.unwrap().stages.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_stays_accepted_whatever_is_refused_today() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let request =
        |spec| v1::CreateGenerationRequest { request_id: "again".into(), spec: Some(spec), ..Default::default() };
    let named = v1::GenerationSpec { model: LOADED.into(), ..spec(1) };
    let first = client.create_generation(request(named.clone())).await.unwrap().into_inner();
    assert!(!first.existed);
    let id = first.generation.unwrap().id;
    watched(&mut client, &id, 0).await;
    // From now on the node serves another model only, and no plan carries the benefit.
    node.control.set_policy(policy().with_loaded([OTHER.to_owned()]).with_plans([]));
    let status = client.create_generation(create(named.clone())).await.unwrap_err();
    assert_eq!(reason(&status), "MODEL_NOT_LOADED");
    let again = client.create_generation(request(named.clone())).await.unwrap().into_inner();
    assert!(again.existed && again.generation.is_some_and(|generation| generation.id == id));
    for other in [spec(1), v1::GenerationSpec { model: "Kling".into(), ..named }] {
        let status = client.create_generation(request(other)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_generation_says_that_it_is_being_cancelled() {
    let gate = Gate::closed();
    let node = TestNode::start(Wish::behind(&gate)).await;
    let mut client = node.generations().await;
    let id = client.create_generation(create(spec(1))).await.unwrap().into_inner().generation.unwrap().id;
    gate.bring_to(1, Stage::Denoising, 2);
    client.cancel_generation(v1::CancelGenerationRequest { id: id.clone(), batch: false }).await.unwrap();
    let events = watched(&mut client, &id, 0).await;
    assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64));
    assert!(events.iter().all(|event| event.event.is_some()), "every number has its news");
    let cancelling = events.iter().filter(|event| matches!(event.event, Some(Event::Cancelling(_)))).count();
    assert_eq!(cancelling, 1);
    assert!(matches!(events.last().unwrap().event, Some(Event::Cancelled(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filtered_pages_are_full_among_mixed_methods() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    for seed in 0..12 {
        let mut wanted = spec(seed);
        if seed % 4 == 0 {
            let both = v1::StartEndImages { start: Some(image()), end: Some(image()) };
            wanted.images = Some(Images::StartEndImages(both));
        }
        client.create_generation(create(wanted)).await.unwrap();
    }
    let mut page = v1::ListGenerationsRequest { page_size: 2, method: 2, ..v1::ListGenerationsRequest::default() };
    let mut seeds = Vec::new();
    loop {
        let answer = client.list_generations(page.clone()).await.unwrap().into_inner();
        seeds.push(answer.generations.iter().map(|it| it.spec.as_ref().unwrap().seed()).collect::<Vec<_>>());
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
        let other = v1::ListGenerationsRequest { method: 1, ..page.clone() };
        assert_eq!(reason(&client.list_generations(other).await.unwrap_err()), "INVALID_FIELD");
    }
    assert_eq!(seeds, [vec![8, 4], vec![0]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_calls_too_often_is_told_when_to_call_again() {
    let wish = Wish {
        server: |it| {
            // One in eleven days, so that no machine is slow enough to earn another.
            it.limits.calls_per_second = PerSecond::new(1e-6).unwrap();
            it.limits.call_burst = Bounded::new(6).unwrap();
        },
        tokens: true,
        ..Wish::default()
    };
    let node = TestNode::start(wish).await;
    let mut client = node.generations().await;
    let alice = |message| crate::node::by(crate::node::ALICE, message);
    let list = v1::ListGenerationsRequest::default;
    let watch = v1::WatchGenerationRequest { id: "nothing".into(), ..v1::WatchGenerationRequest::default() };
    for _ in 0..6 {
        client.list_generations(alice(list())).await.unwrap();
    }
    let status = client.list_generations(alice(list())).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1_000_000), "{wait:?}");
    // A stream is a call like any other, and another client's share is its own.
    let status = client.watch_generation(crate::node::by(crate::node::ALICE, watch)).await.unwrap_err();
    assert_eq!(reason(&status), "RATE_LIMITED");
    client.list_generations(crate::node::by(crate::node::BOB, list())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_alias_means_the_model_that_is_served() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let named = v1::GenerationSpec { model: "Carat Video".into(), ..spec(1) };
    assert_eq!(reason(&client.create_generation(create(named.clone())).await.unwrap_err()), "UNKNOWN_MODEL");
    let names = policy().names().clone().with_alias("Carat Video", LOADED).unwrap();
    node.control.set_policy(ltx_policy::PolicyConfig::new(names).with_loaded([LOADED.to_owned()]));
    let made = client.create_generation(create(named)).await.unwrap().into_inner().generation.unwrap();
    assert_eq!(made.spec.unwrap().model, LOADED);
}
