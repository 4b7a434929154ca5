//! Making, watching and fetching generations.
//!
//! Must not know how a generation is run or kept. A refusal stores nothing: policy comes first, then the fields, then the
//! jobs' own limits.

use super::{download, judge, refuse, watch};
use crate::{
    Limits,
    app::{node::Node, observer, problem::Problem},
    grpc::{
        from_proto::{self, Listing},
        to_proto::{self, Beside},
    },
    transport::auth::caller,
};
use ltx_jobs::{
    ClientId, EventKind, GenerationId, GenerationRecord, Jobs, JobsError, PageToken, State, Submission, Submitted,
    UploadId, Watched,
};
use ltx_policy::admit;
use ltx_proto::v1::{self, generation_service_server::GenerationService};
use ltx_types::{FieldError, GenerationDraft};
use prost::Message;
use std::{sync::Arc, time::Duration};
use tonic::{Request, Response, Status, async_trait};

/// Bytes of a generation's message beside its prompts, and some to spare.
const RECORD_BYTES: usize = 16 << 10;

/// The service.
pub(crate) struct Generations(pub(crate) Arc<Node>);

#[async_trait]
impl GenerationService for Generations {
    type WatchGenerationStream = watch::Stream;
    type DownloadOutputStream = download::Parts;

    async fn create_generation(
        &self,
        request: Request<v1::CreateGenerationRequest>,
    ) -> Result<Response<v1::CreateGenerationResponse>, Status> {
        let client = caller(&request)?;
        let request = request.into_inner();
        let Submitted { record, existed } =
            self.create(client, request).await.map_err(|problem| self.0.counted(problem))?;
        let generation = to_proto::generation(&record, &self.beside(None));
        Ok(Response::new(v1::CreateGenerationResponse { generation: Some(generation), existed }))
    }

    async fn get_generation(
        &self,
        request: Request<v1::GetGenerationRequest>,
    ) -> Result<Response<v1::GetGenerationResponse>, Status> {
        let client = caller(&request)?;
        let id = named(&request.into_inner().id)?;
        let generation = Some(self.get(client, id).await?);
        Ok(Response::new(v1::GetGenerationResponse { generation }))
    }

    async fn list_generations(
        &self,
        request: Request<v1::ListGenerationsRequest>,
    ) -> Result<Response<v1::ListGenerationsResponse>, Status> {
        let client = caller(&request)?;
        let request = request.into_inner();
        let listing = from_proto::listing(&request).map_err(Problem::from)?;
        let kept = self.kept();
        let room = Room::of(&self.0.config.limits);
        let page = self.0.read(move |jobs| list(jobs, &client, &listing, (kept, room))).await?;
        let next_page_token = page.next.map(|token| token.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListGenerationsResponse { generations: page.generations, next_page_token }))
    }

    async fn watch_generation(
        &self,
        request: Request<v1::WatchGenerationRequest>,
    ) -> Result<Response<watch::Stream>, Status> {
        let client = caller(&request)?;
        let request = request.into_inner();
        let id = named(&request.id)?;
        let slot = self.0.streams.open(&client).map_err(|problem| self.0.counted(problem))?;
        Ok(Response::new(watch::watch(&self.0, client, id, (request.resume_after, request.previews), slot).await?))
    }

    async fn cancel_generation(
        &self,
        request: Request<v1::CancelGenerationRequest>,
    ) -> Result<Response<v1::CancelGenerationResponse>, Status> {
        let client = caller(&request)?;
        let id = named(&request.into_inner().id)?;
        let asked = client.clone();
        let cancelled = self.0.write(move |jobs| Ok(jobs.cancel(&asked, id).map(drop))).await?;
        match cancelled {
            // Nothing to do for one that has ended.
            Ok(()) | Err(JobsError::Ended { .. }) => {}
            Err(error) => return Err(Problem::from(error).into()),
        }
        tracing::info!("asked to cancel");
        let generation = Some(self.get(client, id).await?);
        Ok(Response::new(v1::CancelGenerationResponse { generation }))
    }

    async fn delete_generation(
        &self,
        request: Request<v1::DeleteGenerationRequest>,
    ) -> Result<Response<v1::DeleteGenerationResponse>, Status> {
        let client = caller(&request)?;
        let id = named(&request.into_inner().id)?;
        self.0.write(move |jobs| Ok(jobs.delete(&client, id)?)).await?;
        Ok(Response::new(v1::DeleteGenerationResponse {}))
    }

    async fn download_output(
        &self,
        request: Request<v1::DownloadOutputRequest>,
    ) -> Result<Response<download::Parts>, Status> {
        let client = caller(&request)?;
        let request = request.into_inner();
        let id = named(&request.id)?;
        let kind = from_proto::output(request.output).map_err(Problem::from)?;
        let slot = self.0.streams.open(&client).map_err(|problem| self.0.counted(problem))?;
        Ok(Response::new(download::download(&self.0, client, (id, kind), request.offset, slot).await?))
    }
}

impl Generations {
    async fn create(&self, client: ClientId, request: v1::CreateGenerationRequest) -> Result<Submitted, Problem> {
        let node = &self.0;
        let spec = request.spec.unwrap_or_default();
        let request_id = from_proto::request_id(&request.request_id);
        // What was accepted stays accepted: a request that comes again is answered before anybody judges it.
        if let Ok(Some(request_id)) = &request_id {
            let (asked, request_id, body) = (client.clone(), request_id.clone(), from_proto::digest(&spec));
            if let Some(submitted) = node.read(move |jobs| jobs.submitted(&asked, &request_id, &body)).await? {
                tracing::Span::current().record("generation", tracing::field::display(submitted.record.id));
                return Ok(submitted);
            }
        }
        let policy = node.policy();
        let (read, verdict) = judge(node, &spec, &policy, true);
        refuse(node, &verdict)?;
        if node.is_stopping() {
            return Err(Problem::Stopping);
        }
        let from_proto::Request { ask, draft, uploads, faults } = read;
        let (request_id, faults) = match request_id {
            Ok(request_id) => (request_id, faults),
            Err(error) => (None, faults.into_iter().chain([error]).collect()),
        };
        let faults = with_check(faults, &draft, &verdict);
        if !faults.is_empty() {
            return Err(Problem::Fields(faults));
        }
        let body_sha256 = from_proto::digest(&spec);
        drop(spec);
        let prompt = node.config.log_prompts.then(|| draft.prompt.clone());
        let asked = client.clone();
        let submitted = node
            .write(move |jobs| {
                let (draft, missing) = with_uploads(jobs, &asked, draft, &uploads)?;
                let admitted = admit(&ask, draft, &policy)?;
                let submitted = jobs.submit(&asked, Submission { admitted, request_id, body_sha256 });
                match (submitted, missing) {
                    (Ok(submitted), _) => Ok(submitted),
                    (Err(error @ JobsError::AlreadyExists { .. }), _) => Err(error.into()),
                    // A request that was accepted may come again after its upload has expired; a new one may not.
                    (Err(_), Some(upload)) => Err(upload.into()),
                    (Err(JobsError::StorageFull { .. }), None) => Err(storage_full(jobs)),
                    (Err(JobsError::Field(field)), None) => Err(from_proto::in_spec(field).into()),
                    (Err(error), None) => Err(error.into()),
                }
            })
            .await?;
        let id = submitted.record.id;
        tracing::Span::current().record("generation", tracing::field::display(id));
        if !submitted.existed {
            node.metrics.accepted();
            tracing::info!(generation = %id, %client, model = submitted.record.model, prompt, "accepted");
            observer::follow(node, &client, id, 0);
        }
        Ok(submitted)
    }

    async fn get(&self, client: ClientId, id: GenerationId) -> Result<v1::Generation, Problem> {
        let kept = self.kept();
        self.0.read(move |jobs| Ok(with_progress(jobs, &jobs.get(&client, id)?, kept))).await
    }

    fn beside(&self, progress: Option<v1::Progress>) -> Beside {
        Beside { progress, outputs_for: self.kept() }
    }

    fn kept(&self) -> Duration {
        self.0.config.jobs.retention.outputs_for
    }
}

/// A generation's id, which the call's span gets.
fn named(id: &str) -> Result<GenerationId, Problem> {
    let id = from_proto::generation_id(id)?;
    tracing::Span::current().record("generation", tracing::field::display(id));
    Ok(id)
}

/// The single fields' faults, and the first that shows only when the draft is looked at as a whole.
fn with_check(
    mut faults: Vec<FieldError>,
    draft: &GenerationDraft,
    verdict: &ltx_policy::Eligibility,
) -> Vec<FieldError> {
    let checked = verdict.method().map(|method| draft.clone().check(method));
    if let Some(Err(error)) = checked {
        let error = from_proto::in_spec(error);
        if !faults.iter().any(|fault| fault.field == error.field) {
            faults.push(error);
        }
    }
    faults
}

/// The draft with uploaded images where they lie, and the first that is not there any more.
fn with_uploads(
    jobs: &Jobs,
    client: &ClientId,
    mut draft: GenerationDraft,
    uploads: &[Option<UploadId>],
) -> Result<(GenerationDraft, Option<JobsError>), JobsError> {
    let mut missing = None;
    for (image, upload) in draft.images.iter_mut().zip(uploads) {
        let Some(upload) = upload else { continue };
        match jobs.uploaded(client, *upload) {
            Ok(source) => image.source = source,
            // It keeps no bytes, which the jobs never take.
            Err(error @ JobsError::UploadNotFound { .. }) => missing = missing.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Ok((draft, missing))
}

fn storage_full(jobs: &Jobs) -> Problem {
    let room_comes = jobs.status().is_ok_and(|status| status.output_bytes + status.upload_bytes > 0);
    Problem::StorageFull { room_comes }
}

/// A record's message, with the latest progress of one that runs.
fn with_progress(jobs: &Jobs, record: &GenerationRecord, outputs_for: Duration) -> v1::Generation {
    let progress = if record.state == State::Running { latest_progress(jobs, record) } else { None };
    to_proto::generation(record, &Beside { progress, outputs_for })
}

/// The progress among the last two events: only a request to cancel comes behind it.
fn latest_progress(jobs: &Jobs, record: &GenerationRecord) -> Option<v1::Progress> {
    let mut watch = jobs.watch(&record.client, record.id, record.last_event.saturating_sub(2)).ok()?;
    let mut latest = None;
    while let Ok(Watched::Event(event)) = watch.poll() {
        if let EventKind::Progress { .. } = event.kind {
            latest = to_proto::progress(&event.kind);
        }
    }
    latest
}

/// A page as it is sent.
struct Listed {
    generations: Vec<v1::Generation>,
    next: Option<PageToken>,
}

/// How much of a page fits into a message.
#[derive(Clone, Copy)]
struct Room {
    /// No more records at once, so that they fit behind `bytes` however long their prompts are.
    records: usize,
    /// After so many bytes the page is over.
    bytes: usize,
}

impl Room {
    fn of(limits: &Limits) -> Self {
        let longest = 2 * limits.prompt_bytes.get() + RECORD_BYTES;
        let message = limits.message_bytes.get();
        Self { records: (message / 2 / longest).max(1), bytes: message / 4 }
    }
}

/// One page; shorter than asked for only where a message has no room for more.
fn list(
    jobs: &Jobs,
    client: &ClientId,
    Listing { size, after, filter }: &Listing,
    (kept, room): (Duration, Room),
) -> Result<Listed, JobsError> {
    let (mut generations, mut bytes, mut after): (Vec<v1::Generation>, usize, _) = (Vec::new(), 0, *after);
    loop {
        let page = jobs.list(client, filter, room.records.min(size - generations.len()), after)?;
        for record in &page.records {
            let generation = with_progress(jobs, record, kept);
            bytes += generation.encoded_len();
            generations.push(generation);
        }
        after = page.next;
        if after.is_none() || generations.len() >= *size || bytes >= room.bytes {
            return Ok(Listed { generations, next: after });
        }
    }
}
