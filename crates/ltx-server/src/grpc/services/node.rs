//! `GetNode`: everything a client may know of the node.
//!
//! Must not tell of other clients' generations.

use crate::{
    app::{node::Node, problem::Problem},
    grpc::to_proto,
    transport::auth::caller,
};
use ltx_jobs::{ClientId, memory};
use ltx_media::MAX_PIXELS;
use ltx_proto::v1::{self, node_service_server::NodeService};
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct About(pub(crate) Arc<Node>);

#[async_trait]
impl NodeService for About {
    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Result<Response<v1::GetNodeResponse>, Status> {
        let client = caller(&request)?;
        Ok(Response::new(v1::GetNodeResponse { node: Some(self.node(client).await?) }))
    }
}

impl About {
    async fn node(&self, client: ClientId) -> Result<v1::Node, Problem> {
        let node = &self.0;
        let settings = &node.config.jobs;
        let (status, (own, wait_seconds)) = node.read(move |jobs| Ok((jobs.status()?, jobs.standing(&client)))).await?;
        let policy = node.policy();
        let loaded = policy.loaded();
        let catalog = node.catalog();
        let default = loaded.first().copied();
        let mut cards: Vec<_> = catalog.cards().iter().collect();
        cards.sort_by_key(|card| Some(card.manifest.name.as_str()) != default);
        let first = cards.first().map(|card| card.manifest.name.as_str());
        let models = cards.iter().map(|card| {
            let name = card.manifest.name.as_str();
            to_proto::model(card, loaded.contains(&name), Some(name) == default.or(first))
        });
        let models = models.collect();
        let state = match (node.is_stopping(), loaded.is_empty()) {
            (true, _) => v1::NodeState::Stopping,
            (false, true) => v1::NodeState::Loading,
            (false, false) => v1::NodeState::Ready,
        };
        let device = &node.config.device;
        let available = settings.limits.memory_bytes.or_else(memory::available_bytes);
        Ok(v1::Node {
            id: settings.node.clone(),
            version: concat!("ltxd ", env!("CARGO_PKG_VERSION")).to_owned(),
            started: Some(to_proto::moment(node.started)),
            state: state.into(),
            device: Some(v1::Device {
                kind: device.kind.clone(),
                name: device.name.clone(),
                dtype: device.dtype.clone(),
                threads: device.threads,
            }),
            memory: Some(v1::Memory {
                total_bytes: device.memory_bytes.or_else(memory::total_bytes).unwrap_or(0),
                available_bytes: available.unwrap_or(0),
                resident_bytes: memory::resident_bytes().unwrap_or(0),
                resident_weight_bytes: status.resident_weight_bytes,
            }),
            queue: Some(v1::Queue {
                queued: to_proto::count(status.queued),
                running: u32::from(status.running.is_some()),
                capacity: to_proto::count(settings.limits.queued.get()),
                own_queued: to_proto::count(own),
                own_capacity: to_proto::count(settings.limits.queued_per_client.get()),
                wait_seconds,
            }),
            models,
            limits: Some(to_proto::limits(&node.config, MAX_PIXELS)),
            policy: Some(v1::PolicySettings { plans: policy.plans().to_vec(), external_models: self.external() }),
        })
    }

    fn external(&self) -> Vec<String> {
        let own = ltx_policy::ModelNames::EXTERNAL.into_iter().map(str::to_owned);
        own.chain(self.0.config.external_models.iter().cloned()).collect()
    }
}
