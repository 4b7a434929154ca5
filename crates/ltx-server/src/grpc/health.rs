//! The standard health service's states, told whenever the node's own changes.
//!
//! Must not know who asks.

use crate::app::{Node, Phase};
use std::convert::Infallible;
use tonic_health::{ServingStatus, server::HealthReporter};

/// The services that have a state; the empty name is the node as a whole.
const SERVICES: [&str; 5] =
    ["", "ltx.v1.GenerationService", "ltx.v1.UploadService", "ltx.v1.PolicyService", "ltx.v1.NodeService"];
/// The service that is served only once a model is loaded.
const WAITS_FOR_A_MODEL: &str = "ltx.v1.GenerationService";

/// Tells the reporter of every change, for as long as it is polled.
pub(super) async fn tell(node: &Node, health: &HealthReporter) -> Infallible {
    while !node.life.is_in(Phase::Stopping) {
        let policy = node.policy().for_new();
        let ready = !policy.loaded().is_empty();
        for service in SERVICES {
            let serves = ready || service != WAITS_FOR_A_MODEL;
            let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            health.set_service_status(service, status).await;
        }
        tokio::select! {
            () = node.policy().differs_from(&policy) => {}
            () = node.life.reaches(Phase::Stopping) => {}
        }
    }
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    std::future::pending().await
}
