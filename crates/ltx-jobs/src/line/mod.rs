//! The line of generations that wait for the device, and the claim of the one that is taken out of it.
//!
//! Must not know records, or how a generation is run. What waits is known to the store as well: a line that lives in
//! memory is filled from there at every start.

mod fair;
mod memory;

pub use fair::FairQueue;
pub(crate) use memory::MemoryLine;

use crate::{ClientId, GenerationId, estimate::Workload};
use ltx_types::CancelToken;
use std::time::Duration;

/// A generation that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Which.
    pub id: GenerationId,
    /// What its time depends on; `None` when that cannot be told.
    pub work: Option<Workload>,
    /// Seconds on the device, as far as this node knows.
    pub seconds: Option<f64>,
}

impl Waiting {
    /// The model that it runs on, where that is known.
    fn model(&self) -> Option<&str> {
        self.work.as_ref().map(|work| work.model.as_str())
    }
}

/// What is ahead of a generation that waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Generations that would run before it if nothing else came.
    pub before: usize,
    /// Their seconds, and those that the one on the device has left; `None` while one of them cannot be estimated.
    pub seconds: Option<f64>,
}

/// A generation that was taken out of the line. Whoever holds it says how it went on: [`Line::extend`] while it runs, then
/// [`Line::ack`] or [`Line::back`].
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which.
    pub id: GenerationId,
    /// Cancelled when its client or the node wants it stopped.
    pub cancel: CancelToken,
}

/// How a service stands, as one of its nodes sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Whether what its nodes share can be reached.
    pub connected: bool,
    /// Nodes that have been heard of lately, this one included.
    pub nodes: usize,
    /// Those of them that compute.
    pub workers: usize,
    /// Generations that wait.
    pub queued: usize,
    /// Generations that run.
    pub running: usize,
}

/// Where generations wait for the device.
pub trait Line: Send + Sync {
    /// Puts a generation at the end of its client's part of the line.
    fn push(&self, client: &ClientId, waiting: Waiting);

    /// Waits for the next generation and takes it; `None` once the line is closed.
    fn claim(&self) -> Option<Claim>;

    /// Says that a claimed generation is being worked on, and how many seconds it has left, where that is known.
    fn extend(&self, id: GenerationId, seconds_left: Option<f64>);

    /// Says that a claimed generation has ended.
    fn ack(&self, id: GenerationId);

    /// Gives a claimed generation back: it waits again, at the end of its client's part of the line.
    fn back(&self, client: &ClientId, waiting: Waiting);

    /// Takes a generation out of the line; one that is claimed is told to stop.
    fn cancel(&self, client: &ClientId, id: GenerationId);

    /// What is ahead of a generation; `None` when it does not wait.
    fn place(&self, client: &ClientId, id: GenerationId) -> Option<Place>;

    /// What would be ahead of a new generation of this client behind others of it that come with it and take these seconds each.
    fn place_of_new(&self, client: &ClientId, with_it: &[Option<f64>]) -> Place;

    /// Generations that wait.
    fn len(&self) -> usize;

    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Generations of one client that wait.
    fn len_of(&self, client: &ClientId) -> usize;

    /// The generation that is claimed.
    fn claimed(&self) -> Option<GenerationId>;

    /// Estimates what waits again, now that more is known; `None` keeps the estimate there was.
    fn estimate_again(&self, seconds: &dyn Fn(&Workload) -> Option<f64>);

    /// How the service stands to which this node belongs; `None` for a node alone.
    fn service(&self) -> Option<ServiceStatus> {
        None
    }

    /// Closes the line: nothing is claimed any more, and what is claimed is told to stop.
    fn close(&self);

    /// Waits until the line is closed, at most that long. Returns whether it is.
    fn closed_within(&self, time: Duration) -> bool;
}
