//! Taking a request for a generation in.
//!
//! Must not know how a generation is run or kept. A refusal stores nothing: policy comes first, then the fields, then the jobs'
//! own limits, and behind them what takes work to see: the tokens of prompts, and what is in images.

use super::{
    Given, Node, Phase, Problem, Request, RequestTrace, Specification,
    judge::{Judged, add_faults, in_request},
};
use ltx_jobs::{
    ClientId, GenerationId, Jobs, JobsError, RunFaults, SaidOfImage, Submission, Submitted, TraceContext, UploadId,
};
use ltx_policy::{Ask, PolicyConfig, admit};
use ltx_types::{FieldError, GenerationDraft, Outputs, Seed};
use std::sync::Arc;

/// The longest request id, in bytes.
const REQUEST_ID_BYTES: usize = 128;

/// What a client orders.
pub(crate) struct Order<S> {
    /// The client's own name for the request; used again, it names the same generation. Empty for none.
    pub(crate) request_id: String,
    /// The generation that it asks for.
    pub(crate) spec: S,
    /// How many of it; what is wrong with that is said with the spec's faults.
    pub(crate) outputs: Result<Outputs, FieldError>,
    /// SHA-256 of the request as the client sent it: what tells it from another one under the same request id.
    pub(crate) body_sha256: String,
    /// What its run meets on a node for tests.
    pub(crate) faults: Option<RunFaults>,
    /// Whom to tell how it goes, where it is traced.
    pub(crate) trace: Option<Arc<RequestTrace>>,
}

impl Node {
    /// Stores a request and queues its generations. Once this has returned, they survive the node.
    ///
    /// # Errors
    /// `Refused`, `Stopping`, `Fields`, `StorageFull`, and what [`Jobs::submit`] fails with. Limits of the node are counted.
    pub(crate) async fn create<S: Specification>(
        &self,
        client: ClientId,
        order: Order<S>,
    ) -> Result<Submitted, Problem> {
        self.take(&client, order).await.map_err(|problem| self.counted(problem))
    }

    async fn take<S: Specification>(&self, client: &ClientId, order: Order<S>) -> Result<Submitted, Problem> {
        let Order { request_id, spec, outputs, body_sha256, faults, trace } = order;
        let request_id = checked(request_id);
        // What was accepted stays accepted: a request that comes again is answered before anybody judges it.
        if let Ok(Some(request_id)) = &request_id {
            let (asked, request_id, body) = (client.clone(), request_id.clone(), body_sha256.clone());
            if let Some(submitted) = self.read(move |jobs| jobs.submitted(&asked, &request_id, &body)).await? {
                note_id(submitted.record.id);
                return Ok(submitted);
            }
        }
        let policy = self.policy().for_new();
        let Judged { mut request, verdict, rules } = self.judge(&spec, &policy, true);
        if let Some(refusal) = verdict.refusal() {
            return Err(self.refused(refusal.clone()));
        }
        if self.life.is_in(Phase::Stopping) {
            return Err(Problem::Stopping);
        }
        let request_id = request_id.unwrap_or_else(|fault| {
            request.faults.push(fault);
            None
        });
        let most = self.config.jobs.limits.outputs_at_once();
        let outputs = outputs.and_then(|outputs| outputs.check(most).map(|()| outputs)).unwrap_or_else(|fault| {
            request.faults.push(fault);
            Outputs::One
        });
        let whole = verdict.method().map(|method| request.draft.clone().check_by(&rules, method));
        if let Some(Err(faults)) = whole {
            add_faults(&mut request.faults, faults);
        }
        if !request.faults.is_empty() {
            // Long prompts and bad images are among what is told at once. Of a request without other faults, the jobs look at them.
            self.add_slow_faults(client.clone(), verdict.model(), &mut request).await?;
            return Err(Problem::Fields(request.faults));
        }
        if let Some(trace) = &trace {
            trace.is_judged();
        }
        // Its images are in the draft now.
        drop(spec);
        let prompt = self.config.log_prompts.then(|| request.draft.prompt.clone());
        let Request { ask, draft, images, .. } = request;
        let (seed, further) = outputs.seeds(draft.seed);
        let draft = GenerationDraft { seed, ..draft };
        let trace = trace.map(|trace| trace.context().clone());
        let accepted = Accepted { ask, draft, further, images, request_id, body_sha256, policy, faults, trace };
        let asked = client.clone();
        let submitted = self.write(move |jobs| accepted.submit(jobs, &asked)).await?;
        let (id, model) = (submitted.record.id, &submitted.record.model);
        note_id(id);
        if !submitted.existed {
            let count = 1 + submitted.further.len();
            (0..count).for_each(|_| self.metrics.accepted());
            tracing::info!(generation = %id, count, %client, model, prompt, "accepted");
            for SaidOfImage { field, note } in &submitted.notes {
                tracing::info!(generation = %id, "{field} {note}");
            }
        }
        Ok(submitted)
    }
}

/// A request that policy lets through and whose fields are right, before the jobs have seen it.
struct Accepted {
    ask: Ask,
    draft: GenerationDraft,
    further: Vec<Seed>,
    images: Vec<Given>,
    request_id: Option<String>,
    body_sha256: String,
    policy: Arc<PolicyConfig>,
    faults: Option<RunFaults>,
    trace: Option<TraceContext>,
}

impl Accepted {
    fn submit(self, jobs: &Jobs, client: &ClientId) -> Result<Submitted, Problem> {
        let Self { ask, draft, further, images, request_id, body_sha256, policy, faults, trace } = self;
        let (draft, missing) = with_uploads(jobs, client, draft, &images)?;
        let admitted = admit(&ask, draft, &policy)?;
        let submitted = jobs.submit(client, Submission { admitted, further, request_id, body_sha256, faults, trace });
        let is_missing = |fault: &FieldError| missing.iter().any(|(given, _)| given.field == fault.field);
        match (submitted, missing.first()) {
            (Ok(submitted), _) => Ok(submitted),
            (Err(error @ JobsError::AlreadyExists { .. }), _) => Err(error.into()),
            // A request that was accepted may come again after its upload has expired; a new one may not.
            (Err(JobsError::Fields(fields)), Some(_)) if fields.iter().any(|fault| !is_missing(fault)) => {
                let others = fields.into_iter().filter(|fault| !is_missing(fault)).map(in_request);
                let uploads = missing.iter().map(|(given, upload)| given.not_found(*upload));
                Err(Problem::Fields(others.chain(uploads).collect()))
            }
            (Err(_), Some((_, id))) => Err(JobsError::UploadNotFound { id: *id }.into()),
            (Err(JobsError::StorageFull { .. }), None) => Err(storage_full(jobs)),
            (Err(JobsError::Fields(fields)), None) => Err(fields.map(in_request).into()),
            (Err(error), None) => Err(error.into()),
        }
    }
}

/// The call's span gets the generation's id.
fn note_id(id: GenerationId) {
    tracing::Span::current().record("generation", tracing::field::display(id));
}

/// A request id, if there is one.
///
/// # Errors
/// It is too long, or has other characters than ASCII letters, digits and `-_.:`.
fn checked(request_id: String) -> Result<Option<String>, FieldError> {
    if request_id.len() > REQUEST_ID_BYTES {
        let rule = format!("bytes are more than {REQUEST_ID_BYTES}");
        return Err(FieldError::new("request_id", request_id.len(), rule).nearest(REQUEST_ID_BYTES));
    }
    match request_id.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c)) {
        Some(other) => {
            let rule = "is none of the ASCII letters, digits and `-_.:`";
            Err(FieldError::new("request_id", format!("{other:?}"), rule))
        }
        None => Ok(Some(request_id).filter(|id| !id.is_empty())),
    }
}

/// Uploads that are not there any more, and how they were given.
type Missing<'a> = Vec<(&'a Given, UploadId)>;

/// The draft with uploaded images where they lie, and those that are not there any more.
fn with_uploads<'a>(
    jobs: &Jobs,
    client: &ClientId,
    mut draft: GenerationDraft,
    images: &'a [Given],
) -> Result<(GenerationDraft, Missing<'a>), JobsError> {
    let mut missing = Vec::new();
    for (image, given) in draft.images.iter_mut().zip(images) {
        let Some(upload) = given.upload else { continue };
        match jobs.uploaded(client, upload) {
            Ok(source) => image.source = source,
            // It keeps no bytes, which the jobs never take.
            Err(JobsError::UploadNotFound { id }) => missing.push((given, id)),
            Err(error) => return Err(error),
        }
    }
    Ok((draft, missing))
}

fn storage_full(jobs: &Jobs) -> Problem {
    let room_comes = jobs.status().is_ok_and(|status| status.output_bytes + status.upload_bytes > 0);
    Problem::StorageFull { room_comes }
}
