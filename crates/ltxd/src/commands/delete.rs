//! `ltxd delete`: forgets generations that have ended.
//!
//! Must not know what they leave behind.

use crate::client::{Connection, fault::Fault};
use anyhow::Result;
use ltx_proto::v1::DeleteGenerationRequest;
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The generations' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Print a JSON object for each on a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.connection.run(async |node| {
        for id in &arguments.ids {
            let request = DeleteGenerationRequest { id: id.clone() };
            node.generations().delete_generation(request).await.map_err(Fault::from)?;
            match arguments.json {
                true => println!("{}", json!({ "id": id, "deleted": true })),
                false => println!("{id}  deleted"),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
