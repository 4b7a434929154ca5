//! `ltxd get`: one generation.
//!
//! Must not know how it is shown.

use crate::client::{Connection, fault::Fault, json, text};
use anyhow::Result;
use ltx_proto::v1::GetGenerationRequest;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The generation's id.
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.connection.run(async |node| {
        let request = GetGenerationRequest { id: arguments.id.clone() };
        let answer = node.generations().get_generation(request).await.map_err(Fault::from)?.into_inner();
        let generation = answer.generation.ok_or_else(|| Fault::nonsense("generation"))?;
        if arguments.json {
            println!("{}", json::generation(&generation));
        } else {
            println!("{}", text::generation(&generation));
        }
        Ok(ExitCode::SUCCESS)
    })
}
