//! The services of the contract, one file each.
//!
//! Must not know the wire's shapes beyond taking messages apart, nor gRPC codes.

pub(crate) mod download;
pub(crate) mod generation;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod upload;
pub(crate) mod watch;

use crate::{
    app::{node::Node, problem::Problem},
    grpc::from_proto::{self, Request, Rules},
};
use ltx_policy::{Eligibility, PolicyConfig};
use ltx_proto::v1;

/// Reads a spec with the defaults of the model it will run on, and judges it.
pub(crate) fn judge(
    node: &Node,
    spec: &v1::GenerationSpec,
    policy: &PolicyConfig,
    images: bool,
) -> (Request, Eligibility) {
    let catalog = node.catalog();
    let read = |model: Option<&str>| {
        let card = catalog.card_or_default(model);
        let rules = Rules {
            defaults: card.defaults(),
            two_stages: card.two_stages,
            prompt_bytes: node.config.limits.prompt_bytes.get(),
            image_bytes: node.config.jobs.limits.image_bytes.get(),
            images,
        };
        let request = from_proto::request(spec, &rules);
        let verdict = Eligibility::of(&request.ask, &request.draft, policy);
        (request, verdict, card.manifest.name.clone())
    };
    let guess = Some(spec.model.as_str()).filter(|name| !name.trim().is_empty());
    let guess = guess.and_then(|name| policy.names().find(name)).map(|model| model.name.as_str());
    let (request, verdict, used) = read(guess.or(policy.loaded().first().copied()));
    match verdict.model() {
        // Several models answer to the name; policy took another one than the first.
        Some(model) if model != used => {
            let (request, verdict, _) = read(Some(model));
            (request, verdict)
        }
        _ => (request, verdict),
    }
}

/// Fails for a request that policy refuses, and counts it.
pub(crate) fn refuse(node: &Node, verdict: &Eligibility) -> Result<(), Problem> {
    match verdict.refusal() {
        Some(refusal) => {
            node.metrics.refused(refusal);
            Err(refusal.clone().into())
        }
        None => Ok(()),
    }
}
