//! Prompts that have more tokens than the model takes: refused before they are queued, by count and limit. The fake counts
//! words, and one token in front of them.
//!
//! Must not know how text becomes tokens.

use crate::node::{TestNode, Wish, create, image, reason, spec};
use ltx_proto::v1::{self, generation_spec::Images};
use ltx_testkit::fake::FakeModels;
use tonic::Code;
use tonic_types::StatusExt;

fn words(count: usize) -> String {
    "heron ".repeat(count)
}

/// A guided request with both prompts.
fn guided(prompt: usize, negative: usize) -> v1::GenerationSpec {
    v1::GenerationSpec {
        prompt: words(prompt),
        negative_prompt: Some(words(negative)),
        schedule: v1::Schedule::Guided.into(),
        guidance: Some(v1::Guidance { cfg_scale: Some(3.0), ..v1::Guidance::default() }),
        ..spec(1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_of_too_many_tokens_is_refused_before_it_is_queued() {
    let node = TestNode::start(Wish::default()).await;
    let mut client = node.generations().await;
    let most = FakeModels::TOKENS;
    let before = node.kept();
    let fields = async |client: &mut v1::generation_service_client::GenerationServiceClient<_>, spec| {
        let status = client.create_generation(create(spec)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| (violation.field, violation.description)).collect::<Vec<_>>()
    };
    let found = fields(&mut client, v1::GenerationSpec { prompt: words(2399), ..spec(1) }).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "prompt");
    assert!(found[0].1.contains("2400") && found[0].1.contains("1024"), "{found:?}");

    let found = fields(&mut client, guided(1500, 1600)).await;
    let named: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(named, ["prompt", "negative_prompt"]);
    assert!(found[1].1.contains("1601"), "{found:?}");

    // Together with what else is wrong.
    let found = fields(&mut client, v1::GenerationSpec { width: Some(130), ..guided(1500, 1) }).await;
    let named: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert!(named.contains(&"prompt") && named.contains(&"width"), "{found:?}");

    assert_eq!(node.kept(), before, "nothing was stored");
    let fits = v1::GenerationSpec { prompt: words(most - 1), ..spec(1) };
    client.create_generation(create(fits)).await.unwrap();
    client.create_generation(create(guided(most - 1, most - 1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_counts_them_too() {
    let node = TestNode::start(Wish::default()).await;
    let mut policies = node.policies().await;
    let mut check = async |spec| {
        let request = v1::CheckEligibilityRequest { spec: Some(spec) };
        policies.check_eligibility(request).await.unwrap().into_inner()
    };
    let long = check(guided(2399, 1200)).await;
    assert_eq!(long.verdict(), v1::Verdict::Unlimited);
    assert!(long.estimate.is_none());
    let named: Vec<_> = long.violations.iter().map(|it| (it.field.as_str(), it.nearest.as_str())).collect();
    assert_eq!(named, [("prompt", "1024"), ("negative_prompt", "1024")]);
    assert!(long.violations[0].description.contains("2400"), "{long:?}");
    let short = check(guided(3, 3)).await;
    assert!(short.violations.is_empty() && short.estimate.is_some(), "{short:?}");
    // What policy refuses is told about policy.
    let refused = check(v1::GenerationSpec { model: "Kling".into(), ..guided(2399, 0) }).await;
    assert!(refused.violations.is_empty() && refused.verdict() == v1::Verdict::Refused);
    let both = Images::StartEndImages(v1::StartEndImages { start: Some(image()), end: Some(image()) });
    let long = check(v1::GenerationSpec { images: Some(both), ..guided(1024, 0) }).await;
    assert_eq!(long.violations.len(), 1, "1024 words and the token in front: {long:?}");
}
