//! Keeping an image that travelled ahead of its request.
//!
//! Must not know how it came, nor formats; the jobs say whether it is an image.

use super::{Node, Phase, Problem};
use ltx_jobs::{ClientId, Jobs, UploadId};
use ltx_media::shown_size;
use std::{sync::Arc, time::SystemTime};

/// An image that came in whole.
pub(crate) struct ReceivedImage {
    /// The encoded image.
    pub(crate) bytes: Vec<u8>,
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

    /// Keeps an image for later requests of this client.
    ///
    /// # Errors
    /// `Stopping`, `RateLimited`, `StorageFull`, which are counted; `Field`, `Media`, `Database`, `File`.
    pub(crate) async fn keep_upload(&self, client: ClientId, image: ReceivedImage) -> Result<KeptUpload, Problem> {
        let ReceivedImage { bytes, sha256 } = image;
        let total_bytes = bytes.len() as u64;
        let keep = move |jobs: &Jobs| {
            let bytes: Arc<[u8]> = bytes.into();
            // The jobs have decoded it once this returns, so its header can be believed.
            let id = jobs.upload(&client, Arc::clone(&bytes))?;
            Ok((id, shown_size(&bytes).unwrap_or((0, 0))))
        };
        let (id, (width, height)) = self.write(keep).await.map_err(|problem| self.counted(problem))?;
        let expires = SystemTime::now().checked_add(self.config.jobs.retention.uploads_for);
        Ok(KeptUpload { id, total_bytes, sha256, width, height, expires })
    }
}
