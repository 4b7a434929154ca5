//! `ltxd node`: what a node is and how busy.
//!
//! Must not know how it is shown.

use crate::client::{Connection, fault::Fault, json, text};
use anyhow::Result;
use ltx_proto::v1::GetNodeRequest;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.connection.run(async |client| {
        let answer = client.node().get_node(GetNodeRequest {}).await.map_err(Fault::from)?.into_inner();
        let node = answer.node.ok_or_else(|| Fault::nonsense("node"))?;
        match arguments.json {
            true => println!("{}", json::node(&node)),
            false => println!("{}", text::node(&node)),
        }
        Ok(ExitCode::SUCCESS)
    })
}
