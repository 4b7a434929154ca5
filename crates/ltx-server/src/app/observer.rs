//! Watches every generation until it ends, for the metrics and the log.
//!
//! Must not know clients' streams. A watch costs a few hundred bytes and sleeps while nothing happens.

use crate::{
    app::{node::Node, problem::Problem},
    transport::auth::clients,
};
use ltx_jobs::{ClientId, Event, EventKind, Filter, GenerationId, GenerationRecord, State, Watch, Watched};
use std::sync::Arc;

/// Generations asked for at once when a node starts.
const PAGE: usize = 500;

/// Follows what was waiting or running when the node started.
pub(crate) async fn follow_unfinished(node: Arc<Node>) {
    for client in clients(&node) {
        let mut after = None;
        loop {
            let (asked, filter) =
                (client.clone(), Filter { states: vec![State::Queued, State::Running], ..Filter::default() });
            let page = match node.read(move |jobs| jobs.list(&asked, &filter, PAGE, after)).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "unfinished generations cannot be listed"),
            };
            for record in page.records {
                follow(&node, &client, record.id, record.last_event);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
}

/// Follows one generation from behind an event.
pub(crate) fn follow(node: &Arc<Node>, client: &ClientId, id: GenerationId, seen: u64) {
    let (node, client) = (Arc::clone(node), client.clone());
    tokio::spawn(async move {
        if let Err(error) = observe(&node, client, id, seen).await {
            tracing::debug!(generation = %id, %error, "not followed to its end");
        }
    });
}

async fn observe(node: &Arc<Node>, client: ClientId, id: GenerationId, seen: u64) -> Result<(), Problem> {
    let asked = client.clone();
    let mut watch = node.read(move |jobs| jobs.watch(&asked, id, seen)).await?;
    loop {
        let (back, events, ended) = node.read(move |_| drain(watch)).await?;
        watch = back;
        for event in events {
            note(node, id, &event);
            if event.kind.is_final() {
                let asked = client.clone();
                let record = node.read(move |jobs| jobs.get(&asked, id)).await?;
                node.metrics.ended(&record);
                log_end(&record);
            }
        }
        if ended {
            return Ok(());
        }
        watch.changed().await;
    }
}

fn drain(mut watch: Watch) -> Result<(Watch, Vec<Arc<Event>>, bool), ltx_jobs::JobsError> {
    let mut events = Vec::new();
    loop {
        match watch.poll()? {
            Watched::Event(event) => events.push(event),
            Watched::Pending => return Ok((watch, events, false)),
            Watched::End(_) => return Ok((watch, events, true)),
        }
    }
}

fn note(node: &Node, id: GenerationId, event: &Event) {
    match &event.kind {
        EventKind::Running { attempt } => tracing::info!(generation = %id, attempt, "on the device"),
        EventKind::Progress { stage, done, total, .. } if *done > 0 => {
            node.metrics.stepped(*stage);
            tracing::debug!(generation = %id, stage = stage.label(), done, total, "step");
        }
        _ => {}
    }
}

fn log_end(record: &GenerationRecord) {
    let (id, client, state) = (record.id, &record.client, record.state.as_str());
    let seconds = record.outcome.as_ref().map(|outcome| outcome.measured_seconds);
    let failure = record.failure.as_ref().map(|failure| failure.message.as_str());
    tracing::info!(generation = %id, %client, state, seconds, failure, "ended");
}
