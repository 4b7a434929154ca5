//! Taking requests and images in: every check first, then the files, then the row, then the answer.
//!
//! Must not know how a generation is run. What is refused leaves no row and no byte.

use crate::{
    Batch, ClientId, GenerationId, GenerationRecord, Jobs, JobsError, LegalShape, Prediction, Result, RunFaults,
    TraceContext, UploadId,
    estimate::{Forecast, Workload, largest_fit},
    images::{Image, NamedImage, SaidOfImage, by_digest, check_length},
    line::Waiting,
    ports::{NeededImage, NewGeneration, NewUpload},
};
use ltx_engine::{Encodings, PromptTokens, long_prompts};
use ltx_policy::{Admitted, StoredRequest};
use ltx_types::{FieldError, FieldErrors, Generation, GenerationDraft, ImageSource, Seed};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The longest request id, in bytes.
const MAX_REQUEST_ID: usize = 200;

/// A request that policy let through.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The evidence.
    pub admitted: Admitted<GenerationDraft>,
    /// The seeds of further generations that differ from it in nothing else.
    pub further: Vec<Seed>,
    /// The client's own name for the request; used again, it names the same generations.
    pub request_id: Option<String>,
    /// Digest of the request as the client sent it, before defaults were filled in. It tells the same request from
    /// another one under the same request id.
    pub body_sha256: String,
    /// What its run meets on a node for tests, instead of what every run does; elsewhere refused.
    pub faults: Option<RunFaults>,
    /// Its context, where it is traced.
    pub trace: Option<TraceContext>,
}

/// The generations of a request that is stored.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The first, as it stands.
    pub record: GenerationRecord,
    /// The others, in the order of their seeds; of an earlier request, those that have not been deleted.
    pub further: Vec<GenerationRecord>,
    /// Whether an earlier request with the same id had made it.
    pub existed: bool,
    /// What is to be said of its images; of an earlier request nothing is said again.
    pub notes: Vec<SaidOfImage>,
}

/// What a request would take here.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Memory and time.
    pub predicted: Prediction,
    /// Bytes a generation may take; `None` without a limit.
    pub available_bytes: Option<u64>,
    /// Whether it fits, in memory and in seconds.
    pub fits: bool,
    /// Seconds a generation may take; `None` without a limit.
    pub limit_seconds: Option<u64>,
    /// When it does not: the largest legal shape that does, if any.
    pub largest: Option<LegalShape>,
    /// Seconds it would wait for the device; absent while something before it cannot be estimated.
    pub wait_seconds: Option<f64>,
}

impl Jobs {
    /// Stores a request and queues its generations, all or none. Once this has returned, they survive the node. Decodes the images
    /// and waits for the disk.
    ///
    /// # Errors
    /// `Stopping`; `AlreadyExists`; `RateLimited`, `QueueFull`, `StorageFull`, `DoesNotFit`, `TakesTooLong`; `Fields` for everything that is
    /// wrong with the request itself, its images among it; `NoModel`, `ModelUnavailable`; `Database`, `File`, `Corrupt`.
    pub fn submit(&self, client: &ClientId, submission: Submission) -> Result<Submitted> {
        let core = self.core();
        core.check_open()?;
        let Submission { admitted, further, request_id, body_sha256, faults, trace } = submission;
        check_request_id(request_id.as_deref())?;
        if let Some(submitted) = self.resubmitted(client, request_id.as_deref(), &body_sha256)? {
            return Ok(submitted);
        }
        let count = 1 + further.len();
        core.check_rate(client)?;
        core.check_room(client, count)?;
        let stored = admitted.to_stored();
        let model = admitted.model().ok_or(JobsError::NoModel)?;
        let (rules, long) = (core.rules(model)?, self.long_prompts(model, &stored.draft));
        let checked = match admitted.with_faults(long).check(&rules) {
            Ok(checked) => checked,
            Err(faults) => {
                let of_images = self.image_faults(&NamedImage::of(&stored.draft))?;
                let all = faults.into_iter().chain(of_images).collect();
                return Err(FieldErrors::none(all).err().map_or(JobsError::Corrupt { what: "request" }, Into::into));
            }
        };
        let model = checked.model().ok_or(JobsError::NoModel)?;
        self.check_faults(faults.as_ref(), checked.request())?;
        let mut expected = vec![self.predicted_to_fit(client, &checked)?];
        if count > 1 {
            let further_ones = self.further(&expected[0], checked.request())?;
            expected.resize(count, further_ones);
        }
        let images = self.read_images(&stored.draft)?;
        let outputs = output_bytes(checked.request()) * count as u64;
        core.check_space(images.iter().map(Image::len).sum::<u64>() + outputs)?;
        let notes = SaidOfImage::of(&stored.draft, &images);
        let StoredRequest { ask, model: given, draft } = &stored;
        let draft = by_digest(draft, &images).settled(checked.request());
        let seeds = std::iter::once(draft.seed).chain(further);
        let requests = seeds.map(|seed| StoredRequest {
            ask: ask.clone(),
            model: given.clone(),
            draft: GenerationDraft { seed, ..draft.clone() },
        });
        let requests: Vec<_> = requests.collect();

        let _admission = core.admission.lock();
        core.check_open()?;
        if let Some(submitted) = self.resubmitted(client, request_id.as_deref(), &body_sha256)? {
            return Ok(submitted);
        }
        core.check_room(client, count)?;
        let ids: Vec<_> = (0..count).map(|_| GenerationId::new()).collect();
        {
            let seconds: Vec<_> = expected.iter().map(|(predicted, _)| predicted.seconds).collect();
            let _files = core.files.read();
            images.iter().try_for_each(|image| image.keep(&*core.blobs))?;
            let needed = images.iter().map(|image| NeededImage { sha256: &image.sha256, bytes: image.len() });
            let needed: Vec<_> = needed.collect();
            let new = |(at, batch): (usize, Option<Batch>)| {
                let place = core.line.place_of_new(client, &seconds[..at]);
                NewGeneration {
                    id: ids[at],
                    client,
                    request_id: request_id.as_deref().filter(|_| at == 0),
                    body_sha256: &body_sha256,
                    batch,
                    request: &requests[at],
                    images: &needed,
                    method: checked.method(),
                    model,
                    predicted: expected[at].0.clone(),
                    position: place.before,
                    wait_seconds: place.seconds,
                    trace: trace.as_ref(),
                    faults: faults
                        .as_ref()
                        .filter(|asked| core.config.testing.as_ref().is_some_and(|every| every != *asked)),
                }
            };
            let new: Vec<_> = Batch::of(&ids).into_iter().enumerate().map(new).collect();
            match core.store.insert(&new, core.now()) {
                // Another node was first with this request id.
                Err(refused @ JobsError::AlreadyExists { .. }) => {
                    let first = self.resubmitted(client, request_id.as_deref(), &body_sha256)?;
                    return first.ok_or(refused);
                }
                inserted => inserted?,
            }
        }
        for (&id, (predicted, work)) in ids.iter().zip(expected) {
            core.line.push(client, Waiting { id, work: Some(work), seconds: predicted.seconds });
        }
        let further = ids[1..].iter().map(|id| self.get(client, *id)).collect::<Result<_>>()?;
        Ok(Submitted { record: self.get(client, ids[0])?, further, existed: false, notes })
    }

    /// What the further generations of a request take, for which the first has everything encoded and what stays is loaded; and their
    /// work.
    fn further(&self, (first, work): &(Prediction, Workload), request: &Generation) -> Result<(Prediction, Workload)> {
        let kept = Encodings { cached: 1, encoded: 0 };
        let counted = self.core().models.work(&work.model, request, true);
        let work = Workload::new(&work.model, request, kept, counted).with_encodings(kept, kept);
        let forecast = self.core().forecast(&work)?;
        Ok((Prediction::of(first.peak_bytes, forecast.as_ref()), work))
    }

    fn long_prompts(&self, model: &str, draft: &GenerationDraft) -> Vec<FieldError> {
        long_prompts(draft, |text| self.core().models.prompt_tokens(model, text))
    }

    /// What takes work to see of a draft that is wrong anyway and will not be submitted, each as its field's fault:
    /// [`submit`](Self::submit) looks for itself. Prompts that have more tokens than the model takes, but for those that no pass would
    /// read; and these of its images, which are decoded. It counts as one request of its client; where the client's share is used up,
    /// nothing is looked at.
    ///
    /// # Errors
    /// `File`, `Unavailable`.
    pub fn faults_of_refused(
        &self,
        client: &ClientId,
        (model, draft): (&str, &GenerationDraft),
        images: &[NamedImage],
    ) -> Result<Vec<FieldError>> {
        if self.core().check_rate(client).is_err() {
            return Ok(Vec::new());
        }
        let mut faults = self.long_prompts(model, draft);
        faults.extend(self.image_faults(images)?);
        Ok(faults)
    }

    /// What is wrong with images, each as its field's fault.
    fn image_faults(&self, images: &[NamedImage]) -> Result<Vec<FieldError>> {
        let found = images.iter().filter_map(|image| Some((image, self.read_image(&image.source).err()?)));
        found.map(|(image, error)| image.fault(error)).collect()
    }

    /// How many tokens a prompt has for a model, and how many it takes; `None` where the model is not here. Takes
    /// milliseconds, and touches no disk.
    pub fn prompt_tokens(&self, model: &str, prompt: &str) -> Option<PromptTokens> {
        self.core().models.prompt_tokens(model, prompt)
    }

    /// What a request of this client would take, and whether it fits. Keeps nothing.
    ///
    /// # Errors
    /// `NoModel`, `ModelUnavailable`; `Database`, `Corrupt`.
    pub fn estimate(&self, client: &ClientId, admitted: &Admitted<Generation>) -> Result<Estimate> {
        self.estimated(client, admitted).map(|(estimate, _)| estimate)
    }

    /// The estimate, and the work that it is of.
    fn estimated(&self, client: &ClientId, admitted: &Admitted<Generation>) -> Result<(Estimate, Workload)> {
        let core = self.core();
        let (model, request) = (admitted.model().ok_or(JobsError::NoModel)?, admitted.request());
        let plan = |request: &Generation| core.models.plan(model, request).map(|plan| plan.peak());
        let peak = plan(request).ok_or_else(|| JobsError::ModelUnavailable { model: model.to_owned() })?;
        let contexts = core.contexts(model, request);
        let work = core.workload_of(model, request, contexts);
        let forecasts = core.forecasts();
        let forecast = forecasts.of(&work)?;
        let predicted = Prediction::of(peak, forecast.as_ref());
        let available_bytes = core.config.limits.memory_bytes;
        let allowed = available_bytes.unwrap_or(u64::MAX);
        let limit_seconds = core.config.limits.seconds;
        let in_time = |forecast: Option<&Forecast>| match (forecast, limit_seconds) {
            (Some(forecast), Some(limit)) => forecast.total() <= limit as f64,
            _ => true,
        };
        let is_in_time = |request: &Generation| {
            limit_seconds.is_none()
                || forecasts.of(&core.workload_of(model, request, contexts)).is_ok_and(|it| in_time(it.as_ref()))
        };
        let fits = |request: &Generation| plan(request).is_some_and(|peak| peak <= allowed) && is_in_time(request);
        let it_fits = peak <= allowed && in_time(forecast.as_ref());
        let largest = if it_fits { None } else { largest_fit(request, &core.rules(model)?.sizes, fits) };
        let wait_seconds = core.line.place_of_new(client, &[]).seconds;
        let estimate = Estimate { predicted, available_bytes, fits: it_fits, limit_seconds, largest, wait_seconds };
        Ok((estimate, work))
    }

    /// The generations that an earlier request with this id made, if there was one: whatever today's policy says of it.
    /// A read of the database.
    ///
    /// # Errors
    /// `AlreadyExists` when it had another body; `Database`, `Corrupt`.
    pub fn submitted(&self, client: &ClientId, request_id: &str, body_sha256: &str) -> Result<Option<Submitted>> {
        self.resubmitted(client, Some(request_id), body_sha256)
    }

    /// Keeps an image for later requests of this client. The same bytes again are the same upload, kept from now on as
    /// long as a new one, also after a restart. Decodes it and waits for the disk.
    ///
    /// # Errors
    /// `Stopping`, `RateLimited`, `StorageFull`; `Fields` when it is too large, `Media` when it is no image; `Database`,
    /// `File`.
    pub fn upload(&self, client: &ClientId, bytes: Arc<[u8]>) -> Result<UploadId> {
        let core = self.core();
        core.check_open()?;
        core.check_rate(client)?;
        check_length(bytes.len() as u64, core.config.limits.image_bytes.get())?;
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        // One that is gone from the folder is put there again.
        let is_there = core.blobs.has(&sha256, bytes.len() as u64)?;
        if is_there && let Some(id) = core.store.renew_upload(client, &sha256, core.now())? {
            return Ok(id);
        }
        core.check_space(bytes.len() as u64)?;
        let source = ImageSource::Bytes(bytes);
        let image = self.read_image(&source)?;
        let _files = core.files.read();
        image.keep(&*core.blobs)?;
        let new = NewUpload { id: UploadId::new(), client, sha256: &image.sha256, bytes: image.len() };
        core.store.insert_upload(&new, core.now())
    }

    /// The generation that a request id already has.
    fn resubmitted(&self, client: &ClientId, request_id: Option<&str>, body: &str) -> Result<Option<Submitted>> {
        let Some(request_id) = request_id else { return Ok(None) };
        match self.core().store.by_request_id(client, request_id)? {
            None => Ok(None),
            Some((record, stored)) if stored == body => {
                let mut further = self.with_its_batch(client, record.id)?;
                further.retain(|other| other.id != record.id);
                Ok(Some(Submitted { record: self.core().placed(record), further, existed: true, notes: Vec::new() }))
            }
            Some((GenerationRecord { id, .. }, _)) => {
                Err(JobsError::AlreadyExists { request_id: request_id.to_owned(), generation: id })
            }
        }
    }

    /// Whether a generation reaches the steps of the faults that it is going to meet.
    fn check_faults(&self, faults: Option<&RunFaults>, request: &Generation) -> Result<()> {
        match (&self.core().config.testing, faults) {
            (None, None) => Ok(()),
            (None, Some(faults)) => {
                let rule = "are for a node with testing.enabled";
                Err(FieldError::new("ltxd-testing", faults.words().join(", "), rule).into())
            }
            (Some(every), faults) => Ok(faults.unwrap_or(every).check(request)?),
        }
    }

    fn predicted_to_fit(&self, client: &ClientId, admitted: &Admitted<Generation>) -> Result<(Prediction, Workload)> {
        let (Estimate { predicted, available_bytes, fits, limit_seconds, largest, .. }, work) =
            self.estimated(client, admitted)?;
        let Prediction { peak_bytes: needed, seconds, counted, .. } = predicted;
        match (available_bytes, seconds.zip(limit_seconds)) {
            (Some(available), _) if !fits && needed > available => {
                Err(JobsError::DoesNotFit { needed, available, largest })
            }
            (_, Some((seconds, limit))) if !fits => Err(JobsError::TakesTooLong { seconds, limit, counted, largest }),
            _ => Ok((predicted, work)),
        }
    }

    /// # Errors
    /// `Fields`, with every image that cannot be used; `File`.
    fn read_images<'a>(&self, draft: &'a GenerationDraft) -> Result<Vec<Image<'a>>> {
        let read: Result<_> = draft.images.iter().map(|condition| self.read_image(&condition.source)).collect();
        match read {
            Err(JobsError::Media(_) | JobsError::Fields(_)) => {
                FieldErrors::none(self.image_faults(&NamedImage::of(draft))?)?;
                read
            }
            read => read,
        }
    }

    fn read_image<'a>(&self, source: &'a ImageSource) -> Result<Image<'a>> {
        let _alone = self.core().decoding.lock();
        Image::read(source, self.core().config.limits.image_bytes.get())
    }
}

fn check_request_id(request_id: Option<&str>) -> Result<()> {
    match request_id {
        Some(id) if id.is_empty() || id.len() > MAX_REQUEST_ID => {
            let rule = format!("bytes: a request id has 1 to {MAX_REQUEST_ID}");
            Err(FieldError::new("request_id", id.len(), rule).into())
        }
        _ => Ok(()),
    }
}

/// A generous guess at the outputs' size: a quarter of a byte a pixel.
fn output_bytes(request: &Generation) -> u64 {
    (request.pixels.width * request.pixels.height * request.frames.get()) as u64 / 4
}
