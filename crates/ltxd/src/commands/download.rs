//! `ltxd download`: one output of a finished generation into a file.
//!
//! Must not know how it is transferred.

use crate::{
    client::{Connection, fetch::Fetch},
    outputs::Written,
};
use anyhow::Result;
use ltx_proto::v1::Output;
use serde_json::json;
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The generation's id.
    id: String,
    /// Which file.
    #[arg(long, default_value = "mp4", value_parser = ["mp4", "poster", "sidecar"])]
    output: String,
    /// Where to, a name with the output's ending; ID.mp4, ID.png or ID.json here without it. A file of that name is replaced once the new one is whole.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// For how long a node that goes away is tried again.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (output, written, extension) = match arguments.output.as_str() {
        "poster" => (Output::Poster, Written::Png, "png"),
        "sidecar" => (Output::Sidecar, Written::Json, "json"),
        _ => (Output::Mp4, Written::Mp4, "mp4"),
    };
    let named = || {
        let plain = arguments.id.chars().filter(char::is_ascii_alphanumeric);
        PathBuf::from(format!("{}.{extension}", plain.collect::<String>()))
    };
    let to = arguments.out.clone().unwrap_or_else(named);
    written.check("out", &to)?;
    let patience = Duration::from_secs(arguments.patience);
    arguments.connection.run(async |node| {
        let file = Fetch { id: &arguments.id, output, to: &to, patience }.run(&node).await?;
        match arguments.json {
            true => println!(
                "{}",
                json!({
                    "generation": arguments.id, "output": arguments.output, "file": to,
                    "bytes": file.total_bytes, "sha256": file.sha256,
                })
            ),
            false => println!("{}: {} bytes, SHA-256 {}", to.display(), file.total_bytes, file.sha256),
        }
        Ok(ExitCode::SUCCESS)
    })
}
