//! What happened to a generation, one numbered event after another.
//!
//! Must not know who watches.

use crate::Failure;
use ltx_types::Stage;
use serde::{Deserialize, Serialize};

/// One event. Numbers begin at 1 for every generation and have no gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place among the generation's events.
    pub number: u64,
    /// When, in milliseconds since 1970 by the node's clock. For people; order is by number.
    pub at_ms: i64,
    /// What happened.
    #[serde(rename = "event")]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// It waits. `GetGeneration` tells the position as it changes; here it is as it was then.
    Queued {
        /// Generations that would run before it.
        position: usize,
        /// Whether it had been running already, and goes on from its last step.
        resumed: bool,
        /// Seconds until it would begin, as it was then; absent while one before it cannot be estimated.
        #[serde(default)]
        seconds_left: Option<f64>,
    },
    /// The device took it.
    Running {
        /// 1 for the first time.
        attempt: u32,
    },
    /// A part of the work is done.
    Progress {
        /// The stage.
        stage: Stage,
        /// Finished steps of it.
        done: usize,
        /// All steps of it.
        total: usize,
        /// Seconds until the end, from the node's own finished runs; absent until there is one like it.
        seconds_left: Option<f64>,
    },
    /// Its client asked to stop it; it stops within a step.
    Cancelling,
    /// Its outputs are there.
    Done,
    /// It ended without outputs.
    Failed(Failure),
    /// It was stopped.
    Cancelled,
}

impl EventKind {
    /// Whether it is the last one of its generation.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_) | Self::Cancelled)
    }
}
