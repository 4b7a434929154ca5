//! `ltxd cancel`: cancels what waits or runs.
//!
//! Must not know how soon it takes effect.

use crate::client::{Connection, fault::Fault, json, words};
use anyhow::Result;
use ltx_proto::v1::CancelGenerationRequest;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The generations' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Cancel those that their requests asked for beside them as well; what is done of them stays.
    #[arg(long)]
    batch: bool,
    /// Print each generation as a JSON object on a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.connection.run(async |node| {
        for id in &arguments.ids {
            let request = CancelGenerationRequest { id: id.clone(), batch: arguments.batch };
            let answer = node.generations().cancel_generation(request).await.map_err(Fault::from)?.into_inner();
            let generation = answer.generation.ok_or_else(|| Fault::nonsense("generation"))?;
            match arguments.json {
                true => println!("{}", json::generation(&generation)),
                false => println!("{id}  {}", words::state(generation.state())),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
