//! Images that travel ahead: a bounded stream of chunks, or parts that are a call each, become an image with an id.
//!
//! Must not know formats. A stream that breaks off leaves nothing behind.

mod part;

use crate::{
    app::{KeptUpload, Problem, ReceivedImage},
    face::FaceContext,
    grpc::{caller::caller, to_proto, transport_errors::decoding},
    testing,
};
use ltx_proto::v1::{self, upload_image_request::Part, upload_service_server::UploadService};
use ltx_types::{FieldError, FieldErrors};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

/// Bytes of a chunk.
const CHUNK: usize = 1 << 20;

/// The service.
pub(crate) struct Uploads(pub(crate) FaceContext);

#[async_trait]
impl UploadService for Uploads {
    async fn upload_image(
        &self,
        request: Request<Streaming<v1::UploadImageRequest>>,
    ) -> Result<Response<v1::UploadImageResponse>, Status> {
        let client = caller(&request)?;
        testing::of(&request).map_or(Ok(()), |faults| faults.at_upload())?;
        let FaceContext { node, entrance } = &self.0;
        node.takes_uploads()?;
        let limits = &node.config.limits;
        let until = Instant::now() + limits.upload_time;
        let slow = || Problem::OutOfTime { limit: limits.upload_time };
        let _room = timeout_at(until, entrance.open_upload(&client)).await.map_err(|_| slow())??;
        let mut stream = request.into_inner();
        let received = timeout_at(until, self.receive(&mut stream)).await.map_err(|_| slow())?;
        let kept = node.keep_upload(client, received?).await?;
        Ok(Response::new(answer(kept)))
    }

    async fn upload_part(
        &self,
        request: Request<v1::UploadPartRequest>,
    ) -> Result<Response<v1::UploadPartResponse>, Status> {
        let client = caller(&request)?;
        testing::of(&request).map_or(Ok(()), |faults| faults.at_upload())?;
        self.0.node.takes_uploads()?;
        Ok(Response::new(part::take(&self.0, client, request.into_inner()).await?))
    }
}

impl Uploads {
    /// The whole image.
    async fn receive(&self, stream: &mut Streaming<v1::UploadImageRequest>) -> Result<ReceivedImage, Problem> {
        let Some(Part::Header(header)) = self.next(stream).await? else {
            return Err(field("the first message", "is not a header").into());
        };
        check(&self.0, &header)?;
        let total = header.total_bytes;
        // Grows as the bytes come: a header alone takes no memory.
        let (mut bytes, mut digest) = (Vec::new(), Sha256::new());
        while let Some(part) = self.next(stream).await? {
            let Part::Chunk(chunk) = part else { return Err(field("a second header", "is one too many").into()) };
            if !(1..=CHUNK).contains(&chunk.len()) {
                let error = FieldError::new("chunk", chunk.len(), format!("bytes: a chunk has 1 to {CHUNK}"));
                return Err(error.nearest(chunk.len().clamp(1, CHUNK)).into());
            }
            if (bytes.len() + chunk.len()) as u64 > total {
                return Err(field("the chunks", format!("have more than the {total} bytes of the header")).into());
            }
            digest.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        if (bytes.len() as u64) < total {
            let rule = format!("bytes came of the {total} that the header says");
            return Err(FieldError::new("chunk", bytes.len(), rule).into());
        }
        let sha256 = format!("{:x}", digest.finalize());
        if !header.sha256.is_empty() && !header.sha256.eq_ignore_ascii_case(&sha256) {
            return Err(other_bytes(header.sha256, &sha256).into());
        }
        Ok(ReceivedImage { bytes: bytes.into(), sha256 })
    }

    /// The next part, if the client sends one soon.
    async fn next(&self, stream: &mut Streaming<v1::UploadImageRequest>) -> Result<Option<Part>, Problem> {
        let limit = self.0.node.config.limits.idle_time;
        match timeout(limit, stream.message()).await.map_err(|_| Problem::Paused { limit })? {
            Ok(Some(v1::UploadImageRequest { part: Some(part) })) => Ok(Some(part)),
            Ok(Some(v1::UploadImageRequest { part: None })) => Err(field("a message", "is empty").into()),
            Ok(None) => Ok(None),
            Err(status) if status.code() == Code::DeadlineExceeded => Err(Problem::Paused { limit }),
            Err(status) => {
                let most = self.0.node.config.limits.message_bytes.get();
                Err(decoding(&status, most).unwrap_or_else(|| field("the stream", "broke off").into()))
            }
        }
    }
}

/// # Errors
/// Every field of the header that is wrong.
fn check(face: &FaceContext, header: &v1::UploadHeader) -> Result<(), FieldErrors> {
    let mut faults = Vec::new();
    let (most, total) = (face.node.config.jobs.limits.image_bytes.get(), header.total_bytes);
    if !(1..=most).contains(&total) {
        let error = FieldError::new("header.total_bytes", total, format!("is outside 1..={most}"));
        faults.push(error.nearest(total.clamp(1, most)));
    }
    let digits = header.sha256.len() == 64 && header.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !header.sha256.is_empty() && !digits {
        faults.push(FieldError::new("header.sha256", "the text", "is not 64 hexadecimal digits"));
    }
    FieldErrors::none(faults)
}

/// What came is not what the header promised.
fn other_bytes(promised: String, sha256: &str) -> FieldError {
    FieldError::new("header.sha256", promised, format!("is not the SHA-256 of what came, which is {sha256}"))
}

fn answer(kept: KeptUpload) -> v1::UploadImageResponse {
    v1::UploadImageResponse {
        upload_id: kept.id.to_string(),
        total_bytes: kept.total_bytes,
        sha256: kept.sha256,
        width: kept.width,
        height: kept.height,
        expires: kept.expires.map(to_proto::moment),
    }
}

fn field(value: &str, rule: impl Into<String>) -> FieldError {
    FieldError::new("part", value, rule)
}
