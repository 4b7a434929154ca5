//! What all services share: the jobs, the policy of the moment, the models, the limits, and how to ask the jobs.
//!
//! Must not know messages.

use crate::{
    Catalog, ServerConfig,
    app::{metrics::Metrics, problem::Problem},
    config,
    grpc::status,
    transport::streams::Streams,
};
use ltx_jobs::{ClientId, Jobs, JobsError, RateLimit};
use ltx_policy::PolicyConfig;
use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};
use tokio::sync::Semaphore;

/// Questions that may be with the jobs at once. A question takes microseconds; more threads would only wait for each other.
const READERS: usize = 4;
/// Orders that may be with the jobs at once: they decode images and wait for the disk.
const WRITERS: usize = 8;

/// Shared by every service.
pub(crate) struct Node {
    pub(crate) config: ServerConfig,
    pub(crate) metrics: Metrics,
    /// Watches and downloads.
    pub(crate) streams: Streams,
    /// Uploads, by client.
    pub(crate) uploads: Streams,
    /// Uploads, all together.
    pub(crate) upload_places: Arc<Semaphore>,
    /// Large request bodies; each holds up to a message in memory.
    pub(crate) intake_places: Arc<Semaphore>,
    pub(crate) started: SystemTime,
    calls: Mutex<RateLimit>,
    jobs: Jobs,
    policy: RwLock<Arc<PolicyConfig>>,
    catalog: RwLock<Arc<Catalog>>,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    stopping: AtomicBool,
}

impl Node {
    pub(crate) fn new(config: ServerConfig, jobs: Jobs, policy: PolicyConfig, catalog: Catalog) -> Self {
        Self {
            metrics: Metrics::new(),
            streams: Streams::new(config.limits.streams_per_client.get()),
            uploads: Streams::new(config::UPLOADS_PER_CLIENT),
            upload_places: Arc::new(Semaphore::new(config::UPLOADS)),
            intake_places: Arc::new(Semaphore::new(config.limits.large_requests.get())),
            started: SystemTime::now(),
            calls: Mutex::new(RateLimit::new(config.limits.calls_per_second.get(), config.limits.call_burst.get())),
            jobs,
            policy: RwLock::new(Arc::new(policy)),
            catalog: RwLock::new(Arc::new(catalog)),
            readers: Arc::new(Semaphore::new(READERS)),
            writers: Arc::new(Semaphore::new(WRITERS)),
            stopping: AtomicBool::new(false),
            config,
        }
    }

    /// Counts a call against its client's share.
    ///
    /// # Errors
    /// The share is used up; how long to wait.
    pub(crate) fn count_call(&self, client: &ClientId) -> Result<(), Problem> {
        let taken = self.calls.lock().unwrap_or_else(PoisonError::into_inner).take(client, Instant::now());
        taken.map_err(|retry_after| self.counted(JobsError::RateLimited { retry_after }.into()))
    }

    /// The same problem, counted if it is one of the node's limits.
    pub(crate) fn counted(&self, problem: Problem) -> Problem {
        status::limit(&problem).into_iter().for_each(|reason| self.metrics.limited(reason));
        problem
    }

    /// Asks the jobs something that takes microseconds to milliseconds.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Jobs) -> Result<T, JobsError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking(&self.readers, |jobs| question(jobs).map_err(Problem::from)).await
    }

    /// Has the jobs do something that may take a while.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        order: impl FnOnce(&Jobs) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking(&self.writers, order).await
    }

    /// An order goes on to its end even when the caller is gone: it is whole or it is not there.
    async fn blocking<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl FnOnce(&Jobs) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(places).acquire_owned().await;
        let jobs = self.jobs.clone();
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            span.in_scope(|| work(&jobs))
        });
        done.await.unwrap_or_else(|error| Err(Problem::fault(format!("a call of the jobs did not end: {error}"))))
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(crate) fn policy(&self) -> Arc<PolicyConfig> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on requests are judged by this policy, and stored ones when they run.
    pub(crate) fn set_policy(&self, policy: PolicyConfig) {
        self.jobs.set_policy(policy.clone());
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut catalog));
    }

    /// Whether a model is loaded.
    pub(crate) fn is_ready(&self) -> bool {
        !self.policy().loaded().is_empty()
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
