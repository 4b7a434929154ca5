//! One part of an image that comes in parts: put behind what has come before, and kept as an image once it is whole.
//!
//! Must not know formats. The same part again does no harm, nor does one that ends further than the last.

use super::{CHUNK, answer, check, other_bytes};
use crate::{
    app::{Problem, ReceivedImage},
    face::FaceContext,
    transport::parts::{Coming, Whole},
};
use ltx_jobs::ClientId;
use ltx_proto::v1;
use ltx_types::FieldError;
use std::sync::Arc;

/// Takes a part in, and says how far the image is.
///
/// # Errors
/// `Fields`, `PartBeyond`; `TooManyStreams`, `UploadsFull`; those of keeping an image.
pub(super) async fn take(
    face: &FaceContext,
    client: ClientId,
    request: v1::UploadPartRequest,
) -> Result<v1::UploadPartResponse, Problem> {
    let v1::UploadPartRequest { header, offset, data } = request;
    let header = header.ok_or_else(|| FieldError::new("header", "nothing", "is not a header"))?;
    check(face, &header)?;
    if header.sha256.is_empty() {
        return Err(FieldError::new("header.sha256", "nothing", "does not say which image this is a part of").into());
    }
    if data.len() > CHUNK {
        return Err(FieldError::new("data", data.len(), format!("bytes are more than {CHUNK}")).nearest(CHUNK).into());
    }
    let total_bytes = header.total_bytes;
    if offset.checked_add(data.len() as u64).is_none_or(|end| end > total_bytes) {
        let rule = format!("and {} bytes of data end beyond the {total_bytes} that the header says", data.len());
        return Err(FieldError::new("offset", offset, rule).into());
    }
    let whole = Whole { client, sha256: header.sha256.to_ascii_lowercase(), total_bytes };
    let parts = face.entrance.parts();
    let coming = match parts.find(&whole) {
        Some(coming) => coming,
        None => {
            let kept = face.node.known_upload(whole.client.clone(), whole.sha256.clone()).await?;
            if let Some(kept) = kept.filter(|kept| kept.total_bytes == total_bytes) {
                return Ok(v1::UploadPartResponse { received_bytes: total_bytes, upload: Some(answer(kept)) });
            }
            match offset {
                0 if data.is_empty() => return Ok(v1::UploadPartResponse { received_bytes: 0, upload: None }),
                0 => parts.begin(whole.clone(), face.entrance.open_upload_at_once(&whole.client)?),
                offset => return Err(Problem::PartBeyond { offset, received_bytes: 0 }),
            }
        }
    };
    append(face, &whole, &coming, Part { offset, data: &data }).await
}

/// Some bytes, and where they belong.
struct Part<'a> {
    offset: u64,
    data: &'a [u8],
}

async fn append(
    face: &FaceContext,
    whole: &Whole,
    coming: &Arc<Coming>,
    Part { offset, data }: Part<'_>,
) -> Result<v1::UploadPartResponse, Problem> {
    let mut received = coming.received.lock().await;
    let received_bytes = received.bytes().len() as u64;
    let known = received_bytes.checked_sub(offset).ok_or(Problem::PartBeyond { offset, received_bytes })?;
    // What has come already is passed over.
    received.extend(data.get(known as usize..).unwrap_or_default());
    coming.goes_on();
    let received_bytes = received.bytes().len() as u64;
    if received_bytes < whole.total_bytes {
        return Ok(v1::UploadPartResponse { received_bytes, upload: None });
    }
    let sha256 = received.sha256();
    if sha256 != whole.sha256 {
        face.entrance.parts().forget(whole, coming);
        return Err(other_bytes(whole.sha256.clone(), &sha256).into());
    }
    let image = ReceivedImage { bytes: received.bytes().into(), sha256 };
    let kept = face.node.keep_upload(whole.client.clone(), image).await;
    // What stands against it now may not in a moment: then the last part comes again.
    if !kept.as_ref().is_err_and(|problem| problem.limit().is_some()) {
        face.entrance.parts().forget(whole, coming);
    }
    Ok(v1::UploadPartResponse { received_bytes, upload: Some(answer(kept?)) })
}
