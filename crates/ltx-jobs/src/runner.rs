//! The runner: takes the next generation, judges it again, has the device make it, publishes it, and settles how it ended.
//!
//! Must not know callers.

use crate::{
    EventKind, Failure, FailureCode, Finished, GenerationRecord, JobsError, Result, StageTime, State,
    cache::RunCache,
    core::{Core, in_milliseconds},
    device::{Device, DeviceError, Made, Task, panic_message},
    estimate::{Forecast, Workload},
    images::by_path,
    latent::{LatentFile, Owner},
    lifecycle::Ending,
    line::{Claim, Waiting},
    memory,
    output::{Outputs, Published, Story},
    ports::Shelf,
    preview::RunPreviews,
    testing::Disturbed,
    trace::{AttemptTrace, Deed},
};
use ltx_engine::{Encodings, LatentStore};
use ltx_media::{FrameWriter, MediaError};
use ltx_policy::{Admitted, StoredRequest, readmit};
use ltx_types::{CancelToken, Generation, Progress, ProgressSink, Stage, UnixMillis};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

/// The longest pause between tries to store how a generation ended.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs generations until the node stops.
pub(crate) fn run(core: &Arc<Core>, device: &Device) {
    while let Some(claim) = core.line.claim() {
        match serve(core, device, &claim) {
            Some(record) => {
                let waiting = Waiting { id: claim.id, work: core.workload(&record), seconds: None };
                core.line.back(&record.client, waiting);
            }
            None => {
                core.line.ack(claim.id);
                // The next of another request would end it, too.
                if core.line.is_empty() {
                    core.shared.end();
                }
            }
        }
    }
}

/// One generation from QUEUED to wherever it ends. Returns its record if it waits again.
fn serve(core: &Arc<Core>, device: &Device, Claim { id, cancel }: &Claim) -> Option<GenerationRecord> {
    let id = *id;
    // No attempt also when it was cancelled between the line and here.
    persist(core, || core.store.start(id, core.now()))??;
    let record = persist(core, || core.store.any_generation(id))?;
    let trace = AttemptTrace::of(core.tracer.as_ref(), &record);
    let attempt = AssertUnwindSafe(|| Attempt { core, device, record: &record, cancel, trace }.run());
    let ending = catch_unwind(attempt).unwrap_or_else(|panic| {
        let message = format!("the runner panicked: {}", panic_message(&*panic));
        Ending::Failed(Failure { code: FailureCode::Panicked, message })
    });
    // Whoever sees it end and asks what waits behind it must not be told that nobody knows.
    core.line.extend(id, Some(0.0));
    // Unsettled only when the node stops with its disk full; the next start finds it running and goes on.
    // Where another node has taken it over, everything of it is that one's by now.
    let state = persist(core, || core.store.settle(id, &ending, core.now()))??;
    if state == State::Queued {
        return Some(record);
    }
    let latent = core.blobs.delete_of(Shelf::Latents, id);
    // Outputs may be there although a cancel won.
    let outputs = if state == State::Done { Ok(()) } else { core.blobs.delete_of(Shelf::Outputs, id) };
    for error in [latent, outputs].into_iter().filter_map(Result::err) {
        core.note(&error);
    }
    None
}

/// Repeats what the disk or the database refuses, until they take it or the node stops.
fn persist<T>(core: &Core, write: impl Fn() -> Result<T>) -> Option<T> {
    let mut pause = Duration::from_millis(20);
    loop {
        let error = match write() {
            Ok(written) => return Some(written),
            Err(error) => error,
        };
        core.note(&error);
        let may_pass = matches!(
            error,
            JobsError::StorageFull { .. }
                | JobsError::Database(_)
                | JobsError::File { .. }
                | JobsError::Unavailable { .. }
        );
        if !may_pass || core.line.closed_within(pause) {
            return None;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One attempt at a generation.
struct Attempt<'a> {
    core: &'a Arc<Core>,
    device: &'a Device,
    record: &'a GenerationRecord,
    cancel: &'a CancelToken,
    trace: AttemptTrace,
}

impl Attempt<'_> {
    fn run(&self) -> Ending {
        match self.generate() {
            Ok(finished) => Ending::Done(Box::new(finished)),
            Err(Some(failure)) => Ending::Failed(failure),
            Err(None) => Ending::Stopped,
        }
    }

    /// The whole attempt; the error is `None` when it was told to stop.
    fn generate(&self) -> Result<Finished, Option<Failure>> {
        let Self { core, record, .. } = self;
        let began = Instant::now();
        memory::reset_peak();
        let admitted = self.readmitted()?;
        let request = admitted.request();
        let identity = core.models.identity(&record.model, request).ok_or_else(|| {
            let error = JobsError::ModelUnavailable { model: record.model.clone() };
            Failure::new(FailureCode::ModelUnavailable, &error)
        })?;
        let failed = |error: JobsError| {
            let of_the_seal = matches!(error, JobsError::Media(MediaError::Seal { .. }));
            Failure::new(if of_the_seal { FailureCode::Signature } else { FailureCode::Engine }, &error)
        };
        let (outputs, writer) =
            Outputs::begin(&core.blobs, record.id, request, core.credentials.as_ref()).map_err(failed)?;
        let stored = serde_json::to_string(&record.request).map_err(|_| JobsError::Corrupt { what: "request" });
        // Not the digest of the whole file: it is computed while generations run.
        let weights = &identity.weights.header_sha256;
        let owner = Owner::new(&[&stored.map_err(failed)?, &record.model, &identity.version, weights]);
        let latents = LatentFile::new(Arc::clone(&core.blobs), record.id, owner);
        let resumed = latents.saved().is_some();
        let work = core.workload_of(&record.model, request, Encodings::default());
        let made = self.on_device(&admitted, &work, (writer, latents));
        core.has_run(made.is_ok().then_some(&record.model));
        let (mut outcome, writers) = made?;

        self.check_cancelled()?;
        let finished_ms = core.now().wall_ms;
        let identity = core.models.identity(&record.model, request).unwrap_or(identity);
        let mark = admitted.mark(&identity, &core.config.node);
        let mark = if core.config.testing.is_some() { mark.of_a_test() } else { mark };
        let mark = mark.completed(&outcome.frames_sha256, Some(UnixMillis(finished_ms)));
        let finishing = Instant::now();
        let finish = || writers.into_iter().try_for_each(|writer| writer.finish(&mark));
        let finish = self.trace.doing(Deed::Finish, finish);
        finish.map_err(|error| failed(error.into()))?;
        // The encoder holds frames back; what it does with them is the last of this stage.
        if let Some(decoding) = outcome.seconds.iter_mut().find(|time| time.stage == Stage::Decoding) {
            decoding.seconds += finishing.elapsed().as_secs_f64();
        }
        if !resumed {
            let rates = core.models.rates();
            let work = work.with_encodings(outcome.contexts, outcome.images);
            let basis = work.basis(rates.as_deref());
            let measured = work.measured(&outcome, rates.as_deref());
            let calibrated = core.store.calibrate(&record.model, request.schedule, (&basis, &measured));
            let estimated = calibrated.and_then(|()| core.estimate_again(&record.model, request.schedule));
            estimated.unwrap_or_else(|error| core.note(&error));
        }
        self.check_cancelled()?;
        let measured_peak_bytes = memory::peak_bytes();
        let measured_seconds = began.elapsed().as_secs_f64();
        let story = Story {
            record,
            mark: &mark,
            admitted: &admitted,
            outcome: &outcome,
            measured_peak_bytes,
            measured_seconds,
            finished_ms,
            faults: core.faults_of(record),
        };
        let published = self.trace.doing(Deed::Publish, || outputs.publish(&story)).map_err(failed)?;
        let Published { mark, files, first_frame, last_frame } = published;
        Ok(Finished {
            frames: outcome.frames,
            frames_sha256: outcome.frames_sha256,
            latent_sha256: outcome.latent_sha256,
            mark,
            files,
            first_frame,
            last_frame,
            measured_peak_bytes,
            measured_seconds,
            stages: outcome.seconds.iter().map(|t| StageTime { stage: t.stage, seconds: t.seconds }).collect(),
            resumed,
        })
    }

    /// Finishing the files takes a moment too.
    fn check_cancelled(&self) -> Result<(), Option<Failure>> {
        self.cancel.check().map_err(|_| None)
    }

    /// The stored request is plain data; only the policy makes it evidence again.
    fn readmitted(&self) -> Result<Admitted<Generation>, Failure> {
        let StoredRequest { ask, model, draft } = self.record.request.clone();
        let draft = by_path(draft, &*self.core.blobs).map_err(|error| Failure::new(FailureCode::Engine, &error))?;
        let stored = StoredRequest { ask, model, draft };
        let admitted = readmit(stored, &self.core.policy.for_stored());
        let admitted = admitted.map_err(|refusal| Failure::new(FailureCode::Refused, &refusal))?;
        let rules = self.core.rules(&self.record.model);
        let rules = rules.map_err(|error| Failure::new(FailureCode::ModelUnavailable, &error))?;
        admitted.check(&rules.of_accepted()).map_err(|error| Failure::new(FailureCode::Invalid, &error))
    }

    fn on_device(
        &self,
        admitted: &Admitted<Generation>,
        work: &Workload,
        (writer, latents): (Box<dyn FrameWriter>, LatentFile),
    ) -> Result<Made, Option<Failure>> {
        let Self { core, record, .. } = self;
        let request = admitted.request();
        let contexts = core.contexts(&record.model, request);
        let work = work.clone().with_encodings(contexts, Encodings::default());
        let forecast = core.forecast(&work).unwrap_or_default();
        core.line.extend(record.id, forecast.as_ref().map(Forecast::total));
        let progress =
            EventProgress { core: Arc::clone(core), record: (*record).clone(), cancel: self.cancel.clone(), forecast };
        let label = admitted.preview_label(&record.model, &core.config.node);
        let previews = RunPreviews { previews: Arc::clone(&core.previews), id: record.id, label };
        let disturbed = core.faults_of(record).map(|faults| Disturbed::new(faults, request, record.attempts <= 1));
        let latents = self.trace.around(Box::new(latents));
        let store = match &disturbed {
            None => latents,
            Some(disturbed) => disturbed.around(latents, self.cancel),
        };
        let task = Task {
            model: record.model.clone(),
            request: admitted.clone(),
            writers: vec![writer],
            progress: Box::new(progress),
            cancel: self.cancel.clone(),
            store,
            previews: Box::new(previews),
            cache: Box::new(RunCache::new(core, record)),
        };
        let reply = self.device.generate(task).recv().unwrap_or(Err(DeviceError::Gone));
        let made_to = disturbed.and_then(|disturbed| disturbed.failure());
        reply.map_err(|error| made_to.or_else(|| Failure::from_device(&error)))
    }
}

/// Progress becomes numbered events. Behind a stored cancel none does, and the run is told to stop. One that cannot be stored is
/// left out, and its number with it.
struct EventProgress {
    core: Arc<Core>,
    record: GenerationRecord,
    cancel: CancelToken,
    forecast: Option<Forecast>,
}

impl ProgressSink for EventProgress {
    fn report(&self, progress: Progress) {
        // Whole milliseconds: told live or read back from the database, the number is the same to the last bit.
        let left = self.forecast.as_ref().and_then(|forecast| forecast.left(progress));
        self.core.line.extend(self.record.id, left);
        let seconds_left = left.map(in_milliseconds);
        let Progress { stage, done, total } = progress;
        let kind = EventKind::Progress { stage, done, total, seconds_left };
        match self.core.events.append(&self.record, kind, self.core.now()) {
            Ok(asked_to_stop) if asked_to_stop => self.cancel.cancel(),
            Ok(_) => {}
            Err(error) => self.core.note(&error),
        }
    }
}
