//! `ltxd list`: this client's generations, page by page.
//!
//! Must not know how they are shown.

use crate::client::{Connection, fault::Fault, json, text};
use anyhow::Result;
use ltx_proto::v1::{GenerationState, ListGenerationsRequest, Method};
use std::process::ExitCode;

/// Generations of one page.
const PAGE: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these states: queued, running, done, failed, cancelled.
    #[arg(long, value_name = "STATES", value_delimiter = ',',
        value_parser = ["queued", "running", "done", "failed", "cancelled"])]
    state: Vec<String>,
    /// Only this method.
    #[arg(long, value_parser = ["image_to_video", "start_end_frames"])]
    method: Option<String>,
    /// Only those of this model, by its own name.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    model: String,
    /// Only those whose prompt contains this; upper and lower case of A to Z are the same.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    text: String,
    /// Only those of one request that asked for several, by the id of the first.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    batch: String,
    /// At most this many; 0 is all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Print a JSON object for each on a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let state = |name: &String| match name.as_str() {
        "queued" => GenerationState::Queued,
        "running" => GenerationState::Running,
        "done" => GenerationState::Done,
        "failed" => GenerationState::Failed,
        _ => GenerationState::Cancelled,
    };
    let method = match arguments.method.as_deref() {
        Some("image_to_video") => Method::ImageToVideo,
        Some(_) => Method::StartEndFrames,
        None => Method::Unspecified,
    };
    let mut left = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let mut request = ListGenerationsRequest {
        states: arguments.state.iter().map(|name| state(name).into()).collect(),
        method: method.into(),
        model: arguments.model.clone(),
        text: arguments.text.clone(),
        batch_id: arguments.batch.clone(),
        ..ListGenerationsRequest::default()
    };
    arguments.connection.run(async |node| {
        if !arguments.json {
            println!("{}", text::HEADING);
        }
        loop {
            request.page_size = left.min(PAGE) as i32;
            let answer = node.generations().list_generations(request.clone()).await.map_err(Fault::from)?;
            let page = answer.into_inner();
            for generation in page.generations.iter().take(left) {
                match arguments.json {
                    true => println!("{}", json::generation(generation)),
                    false => println!("{}", text::row(generation)),
                }
            }
            left = left.saturating_sub(page.generations.len());
            if left == 0 || page.next_page_token.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            request.page_token = page.next_page_token;
        }
    })
}
