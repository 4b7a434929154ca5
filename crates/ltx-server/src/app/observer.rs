//! What happens to every generation, counted for the metrics and written to the log as the jobs tell it.
//!
//! Must not know clients' streams, and asks the jobs nothing: it is told while they write.

use super::Metrics;
use ltx_jobs::{EventKind, News, State};
use std::sync::Arc;

/// A listener that counts and logs. It holds no part of the node but its counters.
pub(super) fn of(metrics: Arc<Metrics>) -> impl Fn(&News<'_>) + Send + Sync + 'static {
    move |news| observe(&metrics, news)
}

fn observe(metrics: &Metrics, news: &News<'_>) {
    let id = news.generation;
    match &news.event.kind {
        EventKind::Running { attempt } => {
            tracing::info!(parent: None, generation = %id, attempt, "on the device");
        }
        EventKind::Progress { stage, done, total, .. } if *done > 0 => {
            metrics.stepped(*stage);
            tracing::debug!(parent: None, generation = %id, stage = stage.label(), done, total, "step");
        }
        EventKind::Done => ended(metrics, news, State::Done, None),
        EventKind::Failed(failure) => ended(metrics, news, State::Failed, Some(failure.message.as_str())),
        EventKind::Cancelled => ended(metrics, news, State::Cancelled, None),
        EventKind::Queued { .. } | EventKind::Progress { .. } | EventKind::Cancelling => {}
    }
}

fn ended(metrics: &Metrics, news: &News<'_>, state: State, failure: Option<&str>) {
    metrics.ended(state, news.outcome);
    let (id, client, state) = (news.generation, &news.client, state.as_str());
    let seconds = news.outcome.map(|outcome| outcome.measured_seconds);
    tracing::info!(parent: None, generation = %id, %client, state, seconds, failure, "ended");
}
