//! What the callers' side and the runner's side of the jobs share.
//!
//! Must not know either side.

use crate::{
    ClientId, CurrentPolicy, GenerationRecord, JobsConfig, JobsError, Models, Result, RunFaults, TensorCache, Tracer,
    cache::SharedCache,
    clock::{NodeClock, Now},
    estimate::{Forecast, Workload},
    folder::Space,
    forecasts::Forecasts,
    line::{Line, MemoryLine, Waiting},
    ports::{Backing, Blobs, EventLog, Shares, Store},
    preview::Previews,
};
use ltx_engine::{Cache, Encodings};
use ltx_provenance::Credentials;
use ltx_types::{Generation, ModelRules, Schedule, sentence};
use parking_lot::{Mutex, RwLock};
use std::{cell::Cell, sync::Arc, time::Duration};

/// Shared by every thread of the jobs.
pub(crate) struct Core {
    pub(crate) config: JobsConfig,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) events: Arc<dyn EventLog>,
    pub(crate) previews: Arc<Previews>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) space: Box<dyn Space>,
    pub(crate) cache: TensorCache,
    pub(crate) shared: SharedCache,
    pub(crate) clock: NodeClock,
    /// Held while a generation is admitted, so that bounds hold and a request id is given once.
    pub(crate) admission: Mutex<()>,
    /// Held while a client's image is decoded; one at a time bounds the memory that takes.
    pub(crate) decoding: Mutex<()>,
    /// Read while files are made that no row names yet; written while files without rows are removed.
    pub(crate) files: RwLock<()>,
    pub(crate) shares: Arc<dyn Shares>,
    pub(crate) policy: CurrentPolicy,
    pub(crate) line: Box<dyn Line>,
    /// What signs outputs, if anything does.
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    /// The model whose run was the last, and ended well: what of it stays in memory is there.
    ran: Mutex<Option<String>>,
    /// What last went wrong where nobody waited for an answer.
    trouble: Mutex<Option<String>>,
}

/// What a core is made of.
pub(crate) struct CoreParts {
    pub(crate) config: JobsConfig,
    pub(crate) backing: Backing,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) space: Box<dyn Space>,
    pub(crate) cache: TensorCache,
    pub(crate) policy: CurrentPolicy,
    pub(crate) clock: NodeClock,
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
}

impl Core {
    /// Estimates what waits.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn new(parts: CoreParts) -> Result<Self> {
        let CoreParts { config, backing, models, space, cache, policy, clock, credentials, tracer } = parts;
        let Backing { store, events, blobs, line, shares, previews } = backing;
        let forecasts = Forecasts::new(&*store, models.rates());
        line.estimate_again(&|work| forecasts.of(work).ok().flatten().map(|forecast| forecast.total()));
        Ok(Self {
            shares,
            config,
            blobs,
            store,
            events,
            previews: Arc::new(Previews::new(previews)),
            models,
            space,
            cache,
            shared: SharedCache::default(),
            clock,
            admission: Mutex::new(()),
            decoding: Mutex::new(()),
            files: RwLock::new(()),
            policy,
            line,
            credentials,
            tracer,
            ran: Mutex::new(None),
            trouble: Mutex::new(None),
        })
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// # Errors
    /// `Stopping`.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.line.closed_within(Duration::ZERO) { Err(JobsError::Stopping) } else { Ok(()) }
    }

    /// Whether so many more of this client's have room in the line.
    ///
    /// # Errors
    /// `QueueFull`.
    pub(crate) fn check_room(&self, client: &ClientId, count: usize) -> Result<()> {
        let (all, own) = (self.config.limits.queued.get(), self.config.limits.queued_per_client.get());
        if self.line.len_of(client) + count > own {
            return Err(JobsError::QueueFull { limit: own, of_client: true });
        }
        if self.line.len() + count > all {
            return Err(JobsError::QueueFull { limit: all, of_client: false });
        }
        Ok(())
    }

    /// # Errors
    /// `RateLimited`.
    pub(crate) fn check_rate(&self, client: &ClientId) -> Result<()> {
        self.shares.take(client)
    }

    /// # Errors
    /// `StorageFull` when less than the reserve and `bytes` is free; `File`.
    pub(crate) fn check_space(&self, bytes: u64) -> Result<()> {
        let root = &self.config.data;
        let free = self.space.free_bytes(root).map_err(JobsError::file(root))?;
        let needed = self.config.limits.reserve_bytes.get().saturating_add(bytes);
        if free < needed { Err(JobsError::StorageFull { free, needed, source: None }) } else { Ok(()) }
    }

    /// What requests for a model are held against, by what it says and by what the operator allows.
    ///
    /// # Errors
    /// `ModelUnavailable`.
    pub(crate) fn rules(&self, model: &str) -> Result<ModelRules> {
        let rules = self.models.rules(model);
        let rules = rules.ok_or_else(|| JobsError::ModelUnavailable { model: model.to_owned() })?;
        Ok(ModelRules { beyond_trained_length: self.config.limits.beyond_trained_length, ..rules })
    }

    /// What a stored generation's time depends on.
    pub(crate) fn workload(&self, record: &GenerationRecord) -> Option<Workload> {
        self.rules(&record.model).ok().and_then(|rules| Workload::of(record, &rules, &*self.models))
    }

    /// What the time of a request depends on that would run now, with contexts that come from there.
    pub(crate) fn workload_of(&self, model: &str, request: &Generation, contexts: Encodings) -> Workload {
        let loaded = self.ran.lock().as_deref() == Some(model);
        Workload::new(model, request, contexts, self.models.work(model, request, loaded))
    }

    /// Seconds of some work's stages, as far as this node knows.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn forecast(&self, work: &Workload) -> Result<Option<Forecast>> {
        self.forecasts().of(work)
    }

    /// Forecasts of several works, as far as this node knows now.
    pub(crate) fn forecasts(&self) -> Forecasts<'_> {
        Forecasts::new(&*self.store, self.models.rates())
    }

    /// Says whose run was the last; nobody's where it did not end well.
    pub(crate) fn has_run(&self, model: Option<&String>) {
        *self.ran.lock() = model.cloned();
    }

    /// Where the contexts of a request's prompts would come from now; nothing is known where nothing is kept. Looks at files, and at
    /// samples of a LoRA's that counts for text.
    pub(crate) fn contexts(&self, model: &str, request: &Generation) -> Encodings {
        let keys = if self.cache.keeps() { self.models.context_keys(model, request) } else { Vec::new() };
        let cached = keys.iter().filter(|key| self.cache.holds(key)).count();
        Encodings { cached, encoded: keys.len() - cached }
    }

    /// Estimates again what waits for this model and schedule, now that a run of them was measured.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn estimate_again(&self, model: &str, schedule: Schedule) -> Result<()> {
        self.estimate_those_again(&|work| work.model == model && work.schedule == schedule)
    }

    /// Estimates again all that waits, now that the machine's rates are known.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn estimate_all_again(&self) -> Result<()> {
        self.estimate_those_again(&|_| true)
    }

    fn estimate_those_again(&self, are_meant: &dyn Fn(&Workload) -> bool) -> Result<()> {
        let (forecasts, failed) = (self.forecasts(), Cell::new(Ok(())));
        self.line.estimate_again(&|work| {
            let forecast = if are_meant(work) { forecasts.of(work) } else { Ok(None) };
            let forecast = forecast.unwrap_or_else(|error| {
                failed.set(Err(error));
                None
            });
            forecast.map(|forecast| forecast.total())
        });
        failed.into_inner()
    }

    /// What the run of a generation meets on purpose: what was asked for it, or what this node's runs meet. `None` but on a node for
    /// tests.
    pub(crate) fn faults_of(&self, record: &GenerationRecord) -> Option<RunFaults> {
        let every = self.config.testing.as_ref()?;
        Some(record.faults.as_ref().unwrap_or(every).clone())
    }

    /// A record with its place in the queue.
    pub(crate) fn placed(&self, record: GenerationRecord) -> GenerationRecord {
        let place = self.line.place(&record.client, record.id);
        let wait_seconds = place.and_then(|place| place.seconds);
        GenerationRecord { position: place.map(|place| place.before), wait_seconds, ..record }
    }

    /// Remembers what went wrong where nobody waits for an answer.
    pub(crate) fn note(&self, error: &(dyn std::error::Error + 'static)) {
        *self.trouble.lock() = Some(sentence(error));
    }

    /// What last went wrong where nobody waited for an answer.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }
}

/// The line of a node alone, rebuilt from its database.
///
/// # Errors
/// `Database`, `Corrupt`.
pub(crate) fn rebuilt_line(store: &dyn Store, models: &dyn Models) -> Result<MemoryLine> {
    let line = MemoryLine::default();
    for record in store.queued()? {
        let work = models.rules(&record.model).and_then(|rules| Workload::of(&record, &rules, models));
        line.push(&record.client, Waiting { id: record.id, work, seconds: None });
    }
    Ok(line)
}

/// Seconds in whole milliseconds.
pub(crate) fn in_milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
