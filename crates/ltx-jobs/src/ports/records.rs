//! The records of generations: every change of one, and every question about them.
//!
//! Must not know how they are kept. Every change goes through [`decide`](crate::lifecycle::decide) and is durable when it
//! returns.

use crate::{
    Batch, ClientId, Filter, GenerationId, GenerationRecord, Page, PageToken, Prediction, Result, RunFaults, State,
    TraceContext, clock::Now, lifecycle::Ending,
};
use ltx_policy::StoredRequest;
use ltx_types::Method;

/// A generation that was admitted and is not stored yet.
pub struct NewGeneration<'a> {
    /// Its id.
    pub id: GenerationId,
    /// Whose it is.
    pub client: &'a ClientId,
    /// The name that its client gave the request, if any.
    pub request_id: Option<&'a str>,
    /// The digest of the request as it was sent.
    pub body_sha256: &'a str,
    /// Its place among those of its request.
    pub batch: Option<Batch>,
    /// What is asked.
    pub request: &'a StoredRequest,
    /// The images that it needs.
    pub images: &'a [NeededImage<'a>],
    /// The method that it was admitted under.
    pub method: Method,
    /// The model that it runs on.
    pub model: &'a str,
    /// What it is predicted to take.
    pub predicted: Prediction,
    /// Generations before it in the line.
    pub position: usize,
    /// Seconds until it would begin, where that can be estimated.
    pub wait_seconds: Option<f64>,
    /// The context of its request, where that is traced.
    pub trace: Option<&'a TraceContext>,
    /// What its run meets on purpose, where that was asked for.
    pub faults: Option<&'a RunFaults>,
}

/// An image of a generation, which is kept as long as it may be needed.
pub struct NeededImage<'a> {
    /// The digest of its bytes.
    pub sha256: &'a str,
    /// How many those are.
    pub bytes: u64,
}

/// Where a cancel found its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelledWhen {
    /// It will not run.
    Queued,
    /// It has to be told.
    Running,
}

/// What was found running at the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// These wait again and go on where they were.
    pub requeued: Vec<GenerationId>,
    /// These had been cancelled, or crashed too often.
    pub ended: Vec<GenerationId>,
}

/// What can happen to a record.
pub trait Changes {
    /// Stores generations as queued, all of them or none. Once this has returned they may be acknowledged. A store that several
    /// nodes share holds the bounds of the queue once more, and says so where another node was first with the request id.
    ///
    /// # Errors
    /// `AlreadyExists`, `QueueFull`, `Database`, `StorageFull`, `Unavailable`.
    fn insert(&self, new: &[NewGeneration<'_>], now: Now) -> Result<()>;

    /// Takes a generation onto the device, and returns the number of the attempt, from 1; `None` when it is not queued any
    /// more.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    fn start(&self, id: GenerationId, now: Now) -> Result<Option<u32>>;

    /// Ends an attempt. A cancel that was acknowledged wins over everything else; an attempt that was stopped without one
    /// waits again. `None` where another node has taken the generation over meanwhile: what this attempt made counts nothing then.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `StorageFull`.
    fn settle(&self, id: GenerationId, ending: &Ending, now: Now) -> Result<Option<State>>;

    /// Notes that a client wants a generation stopped. A queued one has ended then.
    ///
    /// # Errors
    /// `NotFound`, `Ended`, `Database`, `StorageFull`.
    fn cancel(&self, client: &ClientId, id: GenerationId, now: Now) -> Result<CancelledWhen>;

    /// Forgets a generation that has ended.
    ///
    /// # Errors
    /// `NotFound`, `NotEnded`, `Database`, `StorageFull`.
    fn delete(&self, client: &ClientId, id: GenerationId) -> Result<()>;

    /// What was running when the node died waits again, unless its client had cancelled it or it has crashed
    /// `max_fruitless` times in a row without a new step. `reach` says how far a generation's saved latent is.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `Corrupt`.
    fn recover(&self, max_fruitless: u32, reach: &dyn Fn(GenerationId) -> u64, now: Now) -> Result<Recovered>;
}

/// Questions about generations. Those of a client name it; another client's generation is not there.
pub trait Records {
    /// Returns once what is read from here on is as new as whatever was acknowledged before, by any node. Asked before somebody is told
    /// that something never was.
    ///
    /// # Errors
    /// `Unavailable` where that cannot be known now.
    fn confirm(&self) -> Result<()> {
        Ok(())
    }

    /// One generation of a client.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `Corrupt`.
    fn generation(&self, client: &ClientId, id: GenerationId) -> Result<GenerationRecord>;

    /// One generation, for the runner, which serves every client.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `Corrupt`.
    fn any_generation(&self, id: GenerationId) -> Result<GenerationRecord>;

    /// The generation a client gave this request id, and the digest of the body it had.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn by_request_id(&self, client: &ClientId, request_id: &str) -> Result<Option<(GenerationRecord, String)>>;

    /// The generations of a client's request that are still known, in their order; `batch` is the id of the first.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn batch(&self, client: &ClientId, batch: GenerationId) -> Result<Vec<GenerationRecord>>;

    /// One page of a client's generations, newest first.
    ///
    /// # Errors
    /// `Field` when the token was given for another filter; `Database`, `Corrupt`.
    fn list(&self, client: &ClientId, filter: &Filter, size: usize, after: Option<PageToken>) -> Result<Page>;

    /// What waits: first what was running already, then in the order it came.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn queued(&self) -> Result<Vec<GenerationRecord>>;
}
