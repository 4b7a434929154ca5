//! What all use cases share: the jobs, the policy of the moment, the models, the phase of the node, and how to ask the jobs.
//!
//! Must not know a face.

use super::{Catalog, Metrics, Problem, life::Life, observer};
use crate::ServerConfig;
use ltx_jobs::{CurrentPolicy, Jobs, JobsError};
use parking_lot::RwLock;
use std::{sync::Arc, time::SystemTime};
use tokio::sync::Semaphore;

/// Questions that may be with the jobs at once. A question takes microseconds; more threads would only wait for each other.
const READERS: usize = 4;
/// Orders that may be with the jobs at once: they decode images and wait for the disk.
const WRITERS: usize = 8;

/// A node, as every face of it uses it.
pub(crate) struct Node {
    pub(crate) config: ServerConfig,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) life: Life,
    pub(super) started: SystemTime,
    jobs: Jobs,
    policy: CurrentPolicy,
    catalog: RwLock<Arc<Catalog>>,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
}

impl Node {
    /// Puts a node together; from now on what happens to generations is counted.
    pub(crate) fn new(config: ServerConfig, jobs: Jobs, catalog: Catalog) -> Self {
        let metrics = Arc::new(Metrics::new());
        jobs.listen(observer::of(Arc::clone(&metrics)));
        Self {
            config,
            metrics,
            life: Life::new(),
            started: SystemTime::now(),
            policy: jobs.policy().clone(),
            jobs,
            catalog: RwLock::new(Arc::new(catalog)),
            readers: Arc::new(Semaphore::new(READERS)),
            writers: Arc::new(Semaphore::new(WRITERS)),
        }
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

    /// A problem, counted if it is one of the node's limits.
    pub(super) fn counted(&self, problem: Problem) -> Problem {
        self.metrics.limited(&problem);
        problem
    }

    /// The jobs themselves, for what must not wait for a place.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The policy of the moment.
    pub(crate) fn policy(&self) -> &CurrentPolicy {
        &self.policy
    }

    /// The models as they are known now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// Changes what is known of the models.
    pub(crate) fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        let mut catalog = self.catalog.write();
        change(Arc::make_mut(&mut catalog));
    }
}
