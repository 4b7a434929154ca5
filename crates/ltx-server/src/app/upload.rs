//! Keeping an image that travelled ahead of its request.
//!
//! Must not know how it came, nor formats; the jobs say whether it is an image.

use super::{Node, Phase, Problem};
use ltx_jobs::{ClientId, Jobs, JobsError, UploadId};
use ltx_media::shown_size;
use ltx_types::ImageSource;
use std::{fs, io::ErrorKind, sync::Arc, time::SystemTime};

/// An image that came in whole.
pub(crate) struct ReceivedImage {
    /// The encoded image.
    pub(crate) bytes: Arc<[u8]>,
    /// SHA-256 of the bytes.
    pub(crate) sha256: String,
}

/// An image that is kept.
pub(crate) struct KeptUpload {
    /// Its name in requests.
    pub(crate) id: UploadId,
    /// Its encoded size.
    pub(crate) total_bytes: u64,
    /// SHA-256 of the bytes.
    pub(crate) sha256: String,
    /// Pixels across, the right way up.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
    /// Until when it is kept at least; `None` where no clock reaches so far.
    pub(crate) expires: Option<SystemTime>,
}

impl Node {
    /// Fails while the node stops: no upload need begin then. It is counted.
    ///
    /// # Errors
    /// `Stopping`.
    pub(crate) fn takes_uploads(&self) -> Result<(), Problem> {
        if self.life.is_in(Phase::Stopping) { Err(self.counted(Problem::Stopping)) } else { Ok(()) }
    }

    /// The image that this client has uploaded before, from now on kept as long as a new one.
    ///
    /// # Errors
    /// `RateLimited`, `Stopping`, which are counted; `StorageFull`, `Database`, `Corrupt`, `File`.
    pub(crate) async fn known_upload(&self, client: ClientId, sha256: String) -> Result<Option<KeptUpload>, Problem> {
        let digest = sha256.clone();
        let known = self.write(move |jobs| {
            let Some(id) = jobs.known_upload(&client, &digest)? else { return Ok(None) };
            let bytes = match jobs.uploaded(&client, id)? {
                ImageSource::Path(path) => match fs::read(&path) {
                    Ok(bytes) => bytes,
                    // Gone from the folder: sent again, it is put there again.
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(source) => return Err(JobsError::File { path, source }.into()),
                },
                ImageSource::Bytes(bytes) => bytes.to_vec(),
            };
            Ok(Some((id, bytes.len() as u64, shown_size(&bytes).unwrap_or((0, 0)))))
        });
        let known = known.await.map_err(|problem| self.counted(problem))?;
        let expires = self.upload_expires();
        Ok(known.map(|(id, total_bytes, (width, height))| KeptUpload {
            id,
            total_bytes,
            sha256,
            width,
            height,
            expires,
        }))
    }

    /// Until when an upload is kept that is made now.
    fn upload_expires(&self) -> Option<SystemTime> {
        SystemTime::now().checked_add(self.config.jobs.retention.uploads_for)
    }

    /// Keeps an image for later requests of this client.
    ///
    /// # Errors
    /// `Stopping`, `RateLimited`, `StorageFull`, which are counted; `Field`, `Media`, `Database`, `File`.
    pub(crate) async fn keep_upload(&self, client: ClientId, image: ReceivedImage) -> Result<KeptUpload, Problem> {
        let ReceivedImage { bytes, sha256 } = image;
        let total_bytes = bytes.len() as u64;
        let keep = move |jobs: &Jobs| {
            // The jobs have decoded it once this returns, so its header can be believed.
            let id = jobs.upload(&client, Arc::clone(&bytes))?;
            Ok((id, shown_size(&bytes).unwrap_or((0, 0))))
        };
        let (id, (width, height)) = self.write(keep).await.map_err(|problem| self.counted(problem))?;
        let expires = self.upload_expires();
        Ok(KeptUpload { id, total_bytes, sha256, width, height, expires })
    }
}
