//! The jobs of a node, as its server calls them. Nothing here is async; calls that touch the disk say so.
//!
//! Must not know the wire.

use crate::{
    CacheStatus, ClientId, CurrentPolicy, Filter, GenerationId, GenerationRecord, JobsConfig, JobsError, Limits,
    Models, News, OutputKind, Page, PageToken, RateLimit, Result, ServiceStatus, Space, Swept, TensorCache, Tracer,
    UploadId, Watch,
    clock::NodeClock,
    core::{Core, CoreParts, rebuilt_line},
    device::{Device, DeviceError},
    folder::{DataFolder, Moved},
    latent,
    ports::{Backing, Blobs, CancelledWhen, EventLog, NobodyElse, Shelf, Store},
    preview::PreviewWatch,
    runner,
    sqlite::SqliteLog,
    sweep::{remove_orphans, remove_unused, sweep},
    watch::{WatchEnd, WatchedGeneration},
};
use ltx_provenance::Credentials;
use ltx_types::{ImageSource, ModelRules};
use parking_lot::Mutex;
use std::{
    fs::File,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What jobs are given beside their configuration.
pub struct Surroundings {
    /// The node's models.
    pub models: Arc<dyn Models>,
    /// The policy that requests are judged by, stored ones when they run.
    pub policy: CurrentPolicy,
    /// Says how much room there is; [`Disk`](crate::Disk) outside tests.
    pub space: Box<dyn Space>,
    /// What signs outputs; `None` where they carry the mark alone.
    pub credentials: Option<Arc<Credentials>>,
    /// Who hears of traced generations; `None` where nobody traces.
    pub tracer: Option<Arc<dyn Tracer>>,
}

/// The jobs of a node. Clones are the same jobs; when the last is dropped, what runs is saved and the threads are joined.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    device: Arc<Device>,
    runner: Mutex<Option<Runner>>,
}

/// The runner's thread.
struct Runner {
    thread: JoinHandle<()>,
    /// Closed when the thread ends, however it does; nothing is ever sent.
    ended: Receiver<()>,
}

impl Runner {
    fn start(core: &Arc<Core>, device: &Arc<Device>) -> Result<Self> {
        let (until_it_ends, ended) = channel();
        let (for_runner, its_device) = (Arc::clone(core), Arc::clone(device));
        let work = move || {
            let _until_it_ends = until_it_ends;
            runner::run(&for_runner, &its_device);
        };
        let thread = std::thread::Builder::new().name("runner".into()).spawn(work);
        Ok(Self { thread: thread.map_err(JobsError::file(&core.config.data))?, ended })
    }

    /// Waits for its end, at most until a moment; says whether it has ended.
    fn ends_by(&self, until: Option<Instant>) -> bool {
        until.is_none_or(|until| {
            let left = until.saturating_duration_since(Instant::now());
            self.ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
        })
    }
}

/// How the jobs stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Generations that wait.
    pub queued: usize,
    /// The generation on the device.
    pub running: Option<GenerationId>,
    /// The model in memory.
    pub loaded_model: Option<String>,
    /// Bytes of its weights that stay there between generations, once each part was used.
    pub resident_weight_bytes: u64,
    /// Bytes free on the data folder's disk.
    pub free_bytes: u64,
    /// Bytes of kept outputs.
    pub output_bytes: u64,
    /// Bytes of kept uploads.
    pub upload_bytes: u64,
    /// What last went wrong where nobody waited for an answer.
    pub trouble: Option<String>,
    /// How the service stands to which this node belongs; `None` for a node alone.
    pub service: Option<ServiceStatus>,
}

/// An output, open. It can be read to its end even if it expires meanwhile.
#[derive(Debug)]
pub struct OpenOutput {
    /// The file, at its beginning.
    pub file: File,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Jobs {
    /// What requests for a model are held against, by what it says and by what the operator allows.
    ///
    /// # Errors
    /// `ModelUnavailable`.
    pub fn rules(&self, model: &str) -> Result<ModelRules> {
        self.core().rules(model)
    }

    /// Opens the data folder (made when missing), recovers what a crash interrupted, and starts the device and the
    /// runner. What was running waits again, in front, and goes on from its saved latent.
    ///
    /// # Errors
    /// `Locked` when another node has the folder; `Moved`, `SchemaTooNew`; `Database`, `StorageFull`, `File`, `Corrupt`.
    pub fn open(config: JobsConfig, surroundings: Surroundings) -> Result<Self> {
        let folder = DataFolder::hold(&config.data)?;
        Self::open_in(folder, config, surroundings)
    }

    /// The same in the configuration's data folder, which is held already.
    ///
    /// # Errors
    /// `Moved`, `SchemaTooNew`; `Database`, `StorageFull`, `File`, `Corrupt`.
    pub fn open_in(folder: DataFolder, config: JobsConfig, surroundings: Surroundings) -> Result<Self> {
        if let Some(Moved { service, .. }) = folder.moved()? {
            return Err(JobsError::Moved { folder: config.data.clone(), service });
        }
        let folder = Arc::new(folder);
        let (store, events) = SqliteLog::open(&folder.database())?;
        let Limits { requests_per_second, request_burst, .. } = config.limits;
        let shares = RateLimit::new(requests_per_second.get(), request_burst.get());
        trace(&events, surroundings.tracer.as_ref());
        let clock = recovered(&config, &*store, &*folder)?;
        remove_orphans(&*folder, &*store)?;
        let line = Box::new(rebuilt_line(&*store, &*surroundings.models)?);
        let (events, shares, previews) = (Arc::new(events), Arc::new(shares), Arc::new(NobodyElse));
        let backing = Backing { store, events, blobs: folder, line, shares, previews };
        Self::begin(backing, clock, config, surroundings)
    }

    /// The same on a store that nodes of a service share. The configuration's data folder is still this node's own; whoever made
    /// the backing holds it.
    ///
    /// # Errors
    /// `Unavailable`; `Database`, `StorageFull`, `File`, `Corrupt`.
    pub fn open_on(backing: Backing, config: JobsConfig, surroundings: Surroundings) -> Result<Self> {
        trace(&*backing.events, surroundings.tracer.as_ref());
        let clock = recovered(&config, &*backing.store, &*backing.blobs)?;
        Self::begin(backing, clock, config, surroundings)
    }

    fn begin(backing: Backing, clock: NodeClock, config: JobsConfig, surroundings: Surroundings) -> Result<Self> {
        let Surroundings { models, policy, space, credentials, tracer } = surroundings;
        let cache = TensorCache::new(&config.data.join("cache"), &config.cache);
        cache.remove_partial();
        remove_unused(&cache, &*backing.store)?;

        let device = Device::start(Arc::clone(&models)).map_err(JobsError::file(&config.data))?;
        let device = Arc::new(device);
        let parts = CoreParts { config, backing, models, space, cache, policy, clock, credentials, tracer };
        let core = Arc::new(Core::new(parts)?);
        let runner = Runner::start(&core, &device)?;
        Ok(Self(Arc::new(Inner { core, device, runner: Mutex::new(Some(runner)) })))
    }

    /// One generation, with its place in the queue. A read of the database.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `Corrupt`.
    pub fn get(&self, client: &ClientId, id: GenerationId) -> Result<GenerationRecord> {
        Ok(self.core().placed(self.core().store.generation(client, id)?))
    }

    /// The generations of one request that are still known, in their order, if it asked for several; else the one. A read of the
    /// database.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `Corrupt`.
    pub fn with_its_batch(&self, client: &ClientId, id: GenerationId) -> Result<Vec<GenerationRecord>> {
        let core = self.core();
        let record = core.store.generation(client, id)?;
        let all = match record.batch {
            Some(batch) => core.store.batch(client, batch.id)?,
            None => vec![record],
        };
        Ok(all.into_iter().map(|record| core.placed(record)).collect())
    }

    /// A client's generations that pass the filter, newest first, `size` (1 to 1000) of them while there are so many. A
    /// read of the database.
    ///
    /// # Errors
    /// `Field` when the token was given for another filter; `Database`, `Corrupt`.
    pub fn list(&self, client: &ClientId, filter: &Filter, size: usize, after: Option<PageToken>) -> Result<Page> {
        let page = self.core().store.list(client, filter, size.clamp(1, 1000), after)?;
        let records = page.records.into_iter().map(|record| self.core().placed(record)).collect();
        Ok(Page { records, ..page })
    }

    /// Follows a generation from the event after number `resume_after` (0 for all).
    ///
    /// # Errors
    /// `NotFound`; `EventsUnknown` when there never was such a number; `Database`, `Corrupt`.
    pub fn watch(&self, client: &ClientId, id: GenerationId, resume_after: u64) -> Result<Watch> {
        let core = self.core();
        let record = core.store.generation(client, id)?;
        let last = || {
            let mut record = core.store.generation(client, id)?;
            if resume_after > record.last_event {
                core.store.confirm()?;
                record = core.store.generation(client, id)?;
            }
            let last = record.last_event;
            match resume_after > last {
                true => Err(JobsError::EventsUnknown { id, resume_after, last }),
                false => Ok((last, record.state.is_final())),
            }
        };
        let of = WatchedGeneration { id, sequence: record.sequence };
        Watch::new(Arc::clone(&core.events), of, resume_after, last)
    }

    /// Asks for previews of a generation until what comes back is dropped: pictures of the clip in the making, for
    /// whoever also [watches](Self::watch) it.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `Corrupt`.
    pub fn previews(&self, client: &ClientId, id: GenerationId) -> Result<PreviewWatch> {
        self.core().store.generation(client, id)?;
        Ok(PreviewWatch::new(&self.core().previews, id))
    }

    /// How many generations of this client wait, and the seconds that a new one would wait where that can be estimated.
    pub fn standing(&self, client: &ClientId) -> (usize, Option<f64>) {
        (self.core().line.len_of(client), self.core().line.place_of_new(client, &[]).seconds)
    }

    /// Stops a generation. One that waits is CANCELLED at once; one that runs stops within a denoising step or a decoded
    /// tile, and ends CANCELLED whatever it has reached until then. Asking again is fine until it has ended. Waits for
    /// the disk.
    ///
    /// # Errors
    /// `NotFound`; `Ended`; `Database`, `StorageFull`.
    pub fn cancel(&self, client: &ClientId, id: GenerationId) -> Result<GenerationRecord> {
        let core = self.core();
        let when = core.store.cancel(client, id, core.now())?;
        core.line.cancel(client, id);
        if when == CancelledWhen::Queued {
            // It may have run before the node was restarted.
            core.blobs.delete_of(Shelf::Latents, id)?;
        }
        self.get(client, id)
    }

    /// Forgets a generation that has ended, with its outputs and what of the cache it alone has used. Its request id can be used again. Waits for the disk.
    ///
    /// # Errors
    /// `NotFound`; `NotEnded`; `Database`, `StorageFull`, `File`.
    pub fn delete(&self, client: &ClientId, id: GenerationId) -> Result<()> {
        let core = self.core();
        core.store.delete(client, id)?;
        core.events.watchers().end(id, WatchEnd::Deleted);
        core.blobs.delete_of(Shelf::Outputs, id)?;
        remove_unused(&core.cache, &*core.store)
    }

    /// Opens an output.
    ///
    /// # Errors
    /// `NotFound`; `NoOutput`; `Database`, `Corrupt`, `File`.
    pub fn open_output(&self, client: &ClientId, id: GenerationId, kind: OutputKind) -> Result<OpenOutput> {
        let record = self.core().store.generation(client, id)?;
        let missing = |expired| JobsError::NoOutput { id, kind, state: record.state, expired };
        let outcome = record.outcome.as_ref().ok_or_else(|| missing(false))?;
        let listed = outcome.files.iter().find(|file| file.kind == kind).ok_or_else(|| missing(false))?;
        let file = match self.core().blobs.open_output(id, kind) {
            Ok(file) if record.outputs_kept => file,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let path = self.core().blobs.path_of(Shelf::Outputs, &id.to_string()).join(kind.file_name());
                return Err(JobsError::file(path)(error));
            }
            _ => return Err(missing(true)),
        };
        Ok(OpenOutput { file, bytes: listed.bytes, sha256: listed.sha256.clone() })
    }

    /// Where an uploaded image lies, for the draft of a request.
    ///
    /// # Errors
    /// `UploadNotFound`, `Database`.
    pub fn uploaded(&self, client: &ClientId, id: UploadId) -> Result<ImageSource> {
        let sha256 = self.core().store.upload(client, id)?;
        self.core().blobs.image(&sha256)
    }

    /// Removes what has been kept long enough. To be called now and then (every minute, say). Waits for the disk.
    ///
    /// # Errors
    /// `Database`, `StorageFull`, `File`.
    pub fn sweep(&self) -> Result<Swept> {
        sweep(self.core())
    }

    /// How things stand.
    ///
    /// # Errors
    /// `Database`, `File`.
    pub fn status(&self) -> Result<Status> {
        let core = self.core();
        let root = &core.config.data;
        let free_bytes = core.space.free_bytes(root).map_err(JobsError::file(root))?;
        let kept = core.store.kept_bytes()?;
        let loaded_model = self.0.device.loaded();
        let resident_weight_bytes = loaded_model.as_deref().map_or(0, |model| core.models.resident_bytes(model));
        Ok(Status {
            queued: core.line.len(),
            running: core.line.claimed(),
            loaded_model,
            resident_weight_bytes,
            free_bytes,
            output_bytes: kept.outputs,
            upload_bytes: kept.uploads,
            trouble: core.trouble(),
            service: core.line.service(),
        })
    }

    /// How the cache stands. Lists its folder.
    pub fn cache_status(&self) -> CacheStatus {
        self.core().cache.status()
    }

    /// The policy of the moment: the node's one cell.
    pub fn policy(&self) -> &CurrentPolicy {
        &self.core().policy
    }

    /// Tells a listener of every event of every generation from now on, once it was written and in the order in which it was.
    /// Nothing else is written meanwhile: the listener must be quick, and must neither ask the jobs nor hold them.
    pub fn listen(&self, listener: impl Fn(&News<'_>) + Send + Sync + 'static) {
        self.core().events.listeners().add(Box::new(listener));
    }

    /// Who hears of traced generations, if anybody does.
    pub fn tracer(&self) -> Option<&Arc<dyn Tracer>> {
        self.core().tracer.as_ref()
    }

    /// Loads a model before anybody asks for it; waits until it is loaded, behind whatever runs.
    ///
    /// # Errors
    /// `Load`, `Panicked`, `Gone`.
    pub fn preload(&self, model: &str) -> Result<(), DeviceError> {
        self.0.device.load(model.to_owned()).recv().unwrap_or(Err(DeviceError::Gone))
    }

    /// Measures the rates of where models compute, if they are not known, while nothing runs; what waits is estimated anew with
    /// them, and `then` is called. Returns at once.
    pub fn measure_rates(&self, then: impl FnOnce() + Send + 'static) {
        let core = Arc::downgrade(self.core());
        self.0.device.measure(move || {
            if let Some(core) = core.upgrade() {
                core.estimate_all_again().unwrap_or_else(|error| core.note(&error));
            }
            then();
        });
    }

    /// Stops admitting, saves what runs, and ends the threads. Returns whether all of it was done within `deadline`;
    /// otherwise the step on the device goes on, and the process may simply end: nothing acknowledged is lost.
    pub fn shutdown(&self, deadline: Duration) -> bool {
        self.0.stop(Some(Instant::now() + deadline))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }
}

/// From now on a tracer hears of what happens to traced generations: also of what a start finds.
fn trace(events: &dyn EventLog, tracer: Option<&Arc<dyn Tracer>>) {
    if let Some(tracer) = tracer.map(Arc::clone) {
        events.listeners().add(Box::new(move |news| {
            if let Some(traced) = &news.traced {
                tracer.news(news, traced);
            }
        }));
    }
}

/// Has the store take up again what was running here, and its clock go on.
fn recovered(config: &JobsConfig, store: &dyn Store, blobs: &dyn Blobs) -> Result<NodeClock> {
    let clock = NodeClock::resume(store.stored_clock()?);
    let reach = |id| latent::reach(blobs, id);
    store.recover(config.limits.fruitless_crashes.get(), &reach, clock.now())?;
    store.store_clock(clock.now())?;
    Ok(clock)
}

impl Inner {
    fn stop(&self, until: Option<Instant>) -> bool {
        self.core.line.close();
        let mut runner = self.runner.lock();
        if runner.as_ref().is_some_and(|runner| !runner.ends_by(until)) {
            self.core.events.watchers().stop();
            return false;
        }
        let Some(Runner { thread, .. }) = runner.take() else { return true };
        // Panics of the runner are caught inside it.
        let _ = thread.join();
        self.core.events.watchers().stop();
        for stored in [self.core.store.store_clock(self.core.now()), self.core.store.checkpoint()] {
            stored.unwrap_or_else(|error| self.core.note(&error));
        }
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop(None);
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("data", &self.core().config.data).finish_non_exhaustive()
    }
}
