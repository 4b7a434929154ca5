//! `ltxd health`: whether a node serves, for probes of containers and for scripts.
//!
//! Must not know the contract: it asks grpc.health.v1, which needs no token.

use crate::{
    client::{Connection, fault::Fault},
    exit::Code,
};
use anyhow::Result;
use std::{process::ExitCode, time::Duration};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

/// How long a node may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service that serves once a model is loaded.
const GENERATIONS: &str = "ltx.v1.GenerationService";

#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0 if it serves, 75 if it is loading its model or stopping, 69 if it cannot be reached or \
does not answer within 5 s. No token is needed."
)]
pub(crate) struct Arguments {
    /// Ask only whether it answers at all, its model loaded or not: for probes that restart what does not.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let service = if arguments.live { "" } else { GENERATIONS };
    arguments.connection.run_within(PATIENCE, async |node| {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = node.health().check(request).await.map_err(Fault::from)?.into_inner().status();
        let (word, code) = match status {
            ServingStatus::Serving => ("serving", Code::Done),
            ServingStatus::NotServing => ("not serving: it is loading its model, or stopping", Code::Busy),
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => ("unknown", Code::Failed),
        };
        println!("{word}");
        Ok(code.into())
    })
}
