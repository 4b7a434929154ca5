//! What the callers' side and the runner's side of the jobs share.
//!
//! Must not know either side.

use crate::{
    ClientId, GenerationId, GenerationRecord, JobsConfig, JobsError, Models, Result,
    clock::{NodeClock, Now},
    estimate::{Forecast, Workload},
    folder::{DataFolder, Space},
    preview::Previews,
    queue::{FairQueue, Place, Waiting},
    rate::RateLimit,
    store::Store,
    watch::Hub,
};
use ltx_policy::PolicyConfig;
use ltx_types::{CancelToken, Generation, Schedule, sentence};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// Shared by every thread of the jobs.
pub(crate) struct Core {
    pub(crate) config: JobsConfig,
    pub(crate) folder: DataFolder,
    pub(crate) store: Arc<Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) previews: Arc<Previews>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) space: Box<dyn Space>,
    pub(crate) clock: NodeClock,
    /// Held while a generation is admitted, so that bounds hold and a request id is given once.
    pub(crate) admission: Mutex<()>,
    /// Held while a client's image is decoded; one at a time bounds the memory that takes.
    pub(crate) decoding: Mutex<()>,
    /// Read while files are made that no row names yet; written while files without rows are removed.
    pub(crate) files: RwLock<()>,
    pub(crate) rate: Mutex<RateLimit>,
    policy: RwLock<Arc<PolicyConfig>>,
    line: Mutex<Line>,
    moved: Condvar,
}

/// Who runs and who is next.
struct Line {
    queue: FairQueue,
    running: Option<Running>,
    stopping: bool,
    trouble: Option<String>,
}

/// What is on the device.
struct Running {
    id: GenerationId,
    cancel: CancelToken,
    /// Seconds it had left then, as far as that can be estimated.
    left: Option<f64>,
    since: Instant,
}

impl Running {
    fn left(&self) -> Option<f64> {
        self.left.map(|left| (left - self.since.elapsed().as_secs_f64()).max(0.0))
    }
}

/// What a core is made of.
pub(crate) struct CoreParts {
    pub(crate) config: JobsConfig,
    pub(crate) folder: DataFolder,
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) space: Box<dyn Space>,
    pub(crate) policy: PolicyConfig,
    pub(crate) clock: NodeClock,
}

impl Core {
    /// Rebuilds the queue from the database.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn new(parts: CoreParts) -> Result<Self> {
        let CoreParts { config, folder, store, hub, models, space, policy, clock } = parts;
        let mut queue = FairQueue::default();
        for record in store.queued()? {
            queue.push(&record.client, Waiting { id: record.id, work: Workload::of(&record), seconds: None });
        }
        queue.estimate_again(|work| forecast(&store, work).ok().flatten().map(|forecast| forecast.total()));
        let line = Line { queue, running: None, stopping: false, trouble: None };
        let limits = &config.limits;
        Ok(Self {
            rate: Mutex::new(RateLimit::new(limits.requests_per_second.get(), limits.request_burst.get())),
            config,
            folder,
            store: Arc::new(store),
            hub,
            previews: Arc::default(),
            models,
            space,
            clock,
            admission: Mutex::new(()),
            decoding: Mutex::new(()),
            files: RwLock::new(()),
            policy: RwLock::new(Arc::new(policy)),
            line: Mutex::new(line),
            moved: Condvar::new(),
        })
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn policy(&self) -> Arc<PolicyConfig> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_policy(&self, policy: PolicyConfig) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// # Errors
    /// `Stopping`.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.line().stopping { Err(JobsError::Stopping) } else { Ok(()) }
    }

    /// # Errors
    /// `QueueFull`.
    pub(crate) fn check_room(&self, client: &ClientId) -> Result<()> {
        let line = self.line();
        let (all, own) = (self.config.limits.queued.get(), self.config.limits.queued_per_client.get());
        if line.queue.len_of(client) >= own {
            return Err(JobsError::QueueFull { limit: own, of_client: true });
        }
        if line.queue.len() >= all {
            return Err(JobsError::QueueFull { limit: all, of_client: false });
        }
        Ok(())
    }

    /// # Errors
    /// `RateLimited`.
    pub(crate) fn check_rate(&self, client: &ClientId) -> Result<()> {
        let taken = lock(&self.rate).take(client, Instant::now());
        taken.map_err(|retry_after| JobsError::RateLimited { retry_after })
    }

    /// # Errors
    /// `StorageFull` when less than the reserve and `bytes` is free; `File`.
    pub(crate) fn check_space(&self, bytes: u64) -> Result<()> {
        let root = self.folder.root();
        let free = self.space.free_bytes(root).map_err(JobsError::file(root))?;
        let needed = self.config.limits.reserve_bytes.get().saturating_add(bytes);
        if free < needed { Err(JobsError::StorageFull { free, needed, source: None }) } else { Ok(()) }
    }

    /// Seconds of a request's stages, as far as this node knows.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn forecast(&self, model: &str, request: &Generation) -> Result<Option<Forecast>> {
        forecast(&self.store, &Workload::new(model, request))
    }

    /// Estimates again what waits for this model and schedule, now that a run of them was measured.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn estimate_again(&self, model: &str, schedule: Schedule) -> Result<()> {
        let per_unit = self.store.seconds_per_unit(model, schedule)?;
        self.line().queue.estimate_again(|work| {
            let same = work.model == model && work.schedule == schedule;
            same.then(|| Forecast::new(work, &per_unit)).flatten().map(|forecast| forecast.total())
        });
        Ok(())
    }

    /// Puts a stored generation into the queue.
    pub(crate) fn enqueue(&self, client: &ClientId, waiting: Waiting) {
        self.line().queue.push(client, waiting);
        self.moved.notify_all();
    }

    /// What a new generation of this client would wait for, that on the device included in the seconds.
    pub(crate) fn place_of_new(&self, client: &ClientId) -> Place {
        let line = self.line();
        line.with_running(line.queue.place_of_new(client))
    }

    /// What a queued generation waits for, likewise.
    pub(crate) fn place(&self, client: &ClientId, id: GenerationId) -> Option<Place> {
        let line = self.line();
        line.queue.place(client, id).map(|place| line.with_running(place))
    }

    /// A record with its place in the queue.
    pub(crate) fn placed(&self, record: GenerationRecord) -> GenerationRecord {
        let place = self.place(&record.client, record.id);
        let wait_seconds = place.and_then(|place| place.seconds);
        GenerationRecord { position: place.map(|place| place.before), wait_seconds, ..record }
    }

    /// Generations of one client that wait.
    pub(crate) fn queued_of(&self, client: &ClientId) -> usize {
        self.line().queue.len_of(client)
    }

    /// What runs has this much left, or nobody knows.
    pub(crate) fn left(&self, id: GenerationId, seconds: Option<f64>) {
        if let Some(running) = self.line().running.as_mut().filter(|running| running.id == id) {
            (running.left, running.since) = (seconds, Instant::now());
        }
    }

    /// Waits for a generation to run; `None` once the node stops.
    pub(crate) fn next(&self) -> Option<(GenerationId, CancelToken)> {
        let mut line = self.line();
        loop {
            if line.stopping {
                return None;
            }
            if let Some(Waiting { id, seconds, .. }) = line.queue.pop() {
                let cancel = CancelToken::new();
                line.running = Some(Running { id, cancel: cancel.clone(), left: seconds, since: Instant::now() });
                return Some((id, cancel));
            }
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The device is free again.
    pub(crate) fn ended(&self) {
        self.line().running = None;
    }

    /// Takes a cancelled generation out of the queue, or tells it to stop.
    pub(crate) fn cancel(&self, client: &ClientId, id: GenerationId) {
        let mut line = self.line();
        line.queue.remove(client, id);
        if let Some(running) = line.running.as_ref().filter(|running| running.id == id) {
            running.cancel.cancel();
        }
    }

    /// Admits nothing more and stops what runs.
    pub(crate) fn stop(&self) {
        let mut line = self.line();
        line.stopping = true;
        if let Some(running) = &line.running {
            running.cancel.cancel();
        }
        self.moved.notify_all();
    }

    /// Waits a while, or until the node stops; `true` then.
    pub(crate) fn stops_within(&self, time: Duration) -> bool {
        let waited = self.moved.wait_timeout_while(self.line(), time, |line| !line.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    /// Remembers what went wrong where nobody waits for an answer.
    pub(crate) fn note(&self, error: &(dyn std::error::Error + 'static)) {
        self.line().trouble = Some(sentence(error));
    }

    /// Generations waiting, the one running, and the last trouble.
    pub(crate) fn overview(&self) -> (usize, Option<GenerationId>, Option<String>) {
        let line = self.line();
        (line.queue.len(), line.running.as_ref().map(|running| running.id), line.trouble.clone())
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }
}

impl Line {
    /// Adds the seconds that what runs has left. Whole milliseconds: told live or read back, the number is the same.
    fn with_running(&self, place: Place) -> Place {
        let running = self.running.as_ref().map_or(Some(0.0), Running::left);
        let seconds = place.seconds.zip(running).map(|(queued, running)| in_milliseconds(queued + running));
        Place { seconds, ..place }
    }
}

fn forecast(store: &Store, work: &Workload) -> Result<Option<Forecast>> {
    Ok(Forecast::new(work, &store.seconds_per_unit(&work.model, work.schedule)?))
}

/// Seconds in whole milliseconds.
pub(crate) fn in_milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Every guarded value here is whole between statements, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
