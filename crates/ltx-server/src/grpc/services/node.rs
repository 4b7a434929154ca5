//! `GetNode`: everything a client may know of the node.
//!
//! Must not know how the node finds it out.

use crate::{
    app::{About, NodeState},
    face::FaceContext,
    grpc::{caller::caller, to_proto},
    testing::Testing,
};
use ltx_jobs::ClientId;
use ltx_media::MAX_PIXELS;
use ltx_proto::v1::{self, node_service_server::NodeService};
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct Nodes(pub(crate) FaceContext);

#[async_trait]
impl NodeService for Nodes {
    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Result<Response<v1::GetNodeResponse>, Status> {
        let client = caller(&request)?;
        let about = self.0.node.about(client.clone()).await?;
        Ok(Response::new(v1::GetNodeResponse { node: Some(self.message(about, &client)) }))
    }
}

impl Nodes {
    fn message(&self, about: About, client: &ClientId) -> v1::Node {
        let config = &self.0.node.config;
        let (settings, device) = (&config.jobs, &config.device);
        let state = match about.state {
            NodeState::Loading => v1::NodeState::Loading,
            NodeState::Ready => v1::NodeState::Ready,
            NodeState::Stopping => v1::NodeState::Stopping,
        };
        v1::Node {
            id: settings.node.clone(),
            version: concat!("ltxd ", env!("CARGO_PKG_VERSION")).to_owned(),
            started: Some(to_proto::moment(about.started)),
            state: state.into(),
            device: Some(v1::Device {
                kind: device.kind.clone(),
                name: device.name.clone(),
                dtype: device.dtype.clone(),
                threads: device.threads,
            }),
            memory: Some(v1::Memory {
                total_bytes: about.memory_bytes,
                available_bytes: about.available_bytes,
                resident_bytes: about.resident_bytes,
                resident_weight_bytes: about.jobs.resident_weight_bytes,
            }),
            queue: Some(v1::Queue {
                queued: to_proto::count(about.jobs.queued),
                running: u32::from(about.jobs.running.is_some()),
                capacity: to_proto::count(settings.limits.queued.get()),
                own_queued: to_proto::count(about.own_queued),
                own_capacity: to_proto::count(settings.limits.queued_per_client.get()),
                wait_seconds: about.wait_seconds,
            }),
            models: about.models.iter().map(to_proto::model).collect(),
            limits: Some(to_proto::limits(config, MAX_PIXELS)),
            policy: Some(v1::PolicySettings { plans: about.plans, external_models: about.external_models }),
            client: client.to_string(),
            testing: self.0.entrance.testing().map(|on| v1::Testing { faults: on.words(), names: Testing::names() }),
        }
    }
}
