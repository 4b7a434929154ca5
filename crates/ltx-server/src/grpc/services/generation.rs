//! Making, watching and fetching generations.
//!
//! Must not know how a generation is judged, run or kept.

use super::{
    download::{self, Download},
    watch,
};
use crate::{
    app::{Order, Problem, RequestTrace, Shown, Wanted},
    face::FaceContext,
    grpc::{
        PAGE_BYTES,
        caller::caller,
        from_proto,
        to_proto::{self, Beside},
        trace_context,
    },
    testing::{self, Cut},
};
use ltx_jobs::{GenerationId, SaidOfImage, Submitted};
use ltx_proto::v1::{self, generation_service_server::GenerationService};
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

/// The call by which generations are made.
const CREATE: &str = "ltx.v1.GenerationService/CreateGeneration";

/// The service.
pub(crate) struct Generations(pub(crate) FaceContext);

#[async_trait]
impl GenerationService for Generations {
    type WatchGenerationStream = Cut<watch::Stream>;
    type DownloadOutputStream = Cut<download::Parts<v1::DownloadOutputResponse>>;
    type DownloadImageStream = Cut<download::Parts<v1::DownloadImageResponse>>;

    async fn create_generation(
        &self,
        request: Request<v1::CreateGenerationRequest>,
    ) -> Result<Response<v1::CreateGenerationResponse>, Status> {
        let client = caller(&request)?;
        let faults = testing::of(&request);
        faults.as_ref().map_or(Ok(()), |faults| faults.at_create(&self.0.node.policy().for_new()))?;
        let faults = faults.map(|faults| faults.run.clone());
        let tracer = self.0.node.jobs().tracer();
        let trace = tracer.and_then(|tracer| RequestTrace::begin(tracer, CREATE, &client, trace_context::of(&request)));
        let order = Order { faults, trace: trace.clone(), ..from_proto::order(request.into_inner()) };
        let created = self.0.node.create(client, order).await.map_err(Status::from);
        trace_context::answered(trace.as_deref(), &created);
        let Submitted { record, further, existed, notes } = created?;
        let beside = Beside { progress: None, outputs_for: self.0.outputs_for() };
        let generation = Some(to_proto::generation(&record, &beside));
        let further = further.iter().map(|record| to_proto::of_another_seed(record, &beside)).collect();
        let notes =
            notes.into_iter().map(|SaidOfImage { field, note }| v1::ImageNote { field: field.to_owned(), note });
        let notes = notes.collect();
        Ok(Response::new(v1::CreateGenerationResponse { generation, existed, further, notes }))
    }

    async fn get_generation(
        &self,
        request: Request<v1::GetGenerationRequest>,
    ) -> Result<Response<v1::GetGenerationResponse>, Status> {
        let client = caller(&request)?;
        let id = named(&request.into_inner().id)?;
        let snapshot = self.0.node.get(client, id).await?;
        let generation = Some(to_proto::snapshot(&snapshot, self.0.outputs_for()));
        Ok(Response::new(v1::GetGenerationResponse { generation }))
    }

    async fn list_generations(
        &self,
        request: Request<v1::ListGenerationsRequest>,
    ) -> Result<Response<v1::ListGenerationsResponse>, Status> {
        let client = caller(&request)?;
        let listing = from_proto::listing(&request.into_inner()).map_err(Problem::from)?;
        let outputs_for = self.0.outputs_for();
        let page = self.0.node.list(client, listing, PAGE_BYTES, move |snapshot| {
            let item = to_proto::snapshot(&snapshot, outputs_for);
            Shown { bytes: in_a_list(item.encoded_len()), item }
        });
        let page = page.await?;
        let next_page_token = page.next.map(|token| token.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListGenerationsResponse { generations: page.items, next_page_token }))
    }

    async fn watch_generation(
        &self,
        request: Request<v1::WatchGenerationRequest>,
    ) -> Result<Response<Self::WatchGenerationStream>, Status> {
        let client = caller(&request)?;
        let faults = testing::of(&request);
        let request = request.into_inner();
        let v1::WatchGenerationRequest { resume_after, previews, .. } = request;
        let wanted = Wanted { id: named(&request.id)?, resume_after, previews };
        let slot = self.0.entrance.open_stream(&client)?;
        let following = self.0.node.follow(client, wanted).await?;
        let stream = watch::stream(&self.0.node, following, slot)?;
        Ok(Response::new(Cut::watch(faults.as_deref(), stream)))
    }

    async fn cancel_generation(
        &self,
        request: Request<v1::CancelGenerationRequest>,
    ) -> Result<Response<v1::CancelGenerationResponse>, Status> {
        let client = caller(&request)?;
        let v1::CancelGenerationRequest { id, batch } = request.into_inner();
        let snapshot = self.0.node.cancel(client, named(&id)?, batch).await?;
        let generation = Some(to_proto::snapshot(&snapshot, self.0.outputs_for()));
        Ok(Response::new(v1::CancelGenerationResponse { generation }))
    }

    async fn delete_generation(
        &self,
        request: Request<v1::DeleteGenerationRequest>,
    ) -> Result<Response<v1::DeleteGenerationResponse>, Status> {
        let client = caller(&request)?;
        let id = named(&request.into_inner().id)?;
        self.0.node.delete(client, id).await?;
        Ok(Response::new(v1::DeleteGenerationResponse {}))
    }

    async fn download_output(
        &self,
        request: Request<v1::DownloadOutputRequest>,
    ) -> Result<Response<Self::DownloadOutputStream>, Status> {
        let client = caller(&request)?;
        let faults = testing::of(&request);
        let v1::DownloadOutputRequest { id, output, offset } = request.into_inner();
        let id = named(&id)?;
        let kind = from_proto::output(output).map_err(Problem::from)?;
        let slot = self.0.entrance.open_stream(&client)?;
        let output = self.0.node.open_output(client, id, kind, offset).await?;
        let stream = download::stream(&self.0.node, Download::output(kind, output, offset), slot)?;
        Ok(Response::new(Cut::download(faults.as_deref(), stream)))
    }

    async fn download_image(
        &self,
        request: Request<v1::DownloadImageRequest>,
    ) -> Result<Response<Self::DownloadImageStream>, Status> {
        let client = caller(&request)?;
        let faults = testing::of(&request);
        let v1::DownloadImageRequest { id, image, offset } = request.into_inner();
        let id = named(&id)?;
        let which = from_proto::given_image(image).map_err(Problem::from)?;
        let slot = self.0.entrance.open_stream(&client)?;
        let image = self.0.node.open_image(client, id, which, offset).await?;
        let stream = download::stream(&self.0.node, Download::image(image, offset), slot)?;
        Ok(Response::new(Cut::download(faults.as_deref(), stream)))
    }
}

/// A generation's id, which the call's span gets.
fn named(id: &str) -> Result<GenerationId, Problem> {
    let id = from_proto::generation_id(id)?;
    tracing::Span::current().record("generation", tracing::field::display(id));
    Ok(id)
}

/// Bytes that a message takes in a list of another: the field's tag, a length, and its own.
fn in_a_list(bytes: usize) -> usize {
    1 + prost::length_delimiter_len(bytes) + bytes
}
