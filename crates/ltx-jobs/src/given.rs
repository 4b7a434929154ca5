//! Images as they were given: those of a generation, and an upload that a client made before.
//!
//! Must not know what is in them.

use crate::{ClientId, GenerationId, Jobs, JobsError, Result, UploadId, ports::Shelf};
use ltx_types::ImageSource;
use std::{fs::File, io::ErrorKind};

/// Which of a generation's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenImage {
    /// The start image, or the only one.
    Start,
    /// The end image.
    End,
}

impl GivenImage {
    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

/// An image that was given, open. It can be read to its end even if it goes meanwhile.
#[derive(Debug)]
pub struct OpenImage {
    /// The file, at its beginning.
    pub file: File,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Jobs {
    /// Opens an image of a generation, as it was sent. It is kept until the generation has ended and, if it is done, as long as
    /// its outputs; longer where an upload of the same bytes is.
    ///
    /// # Errors
    /// `NotFound`; `NoImage`; `Database`, `Corrupt`, `File`.
    pub fn open_image(&self, client: &ClientId, id: GenerationId, image: GivenImage) -> Result<OpenImage> {
        let core = self.core();
        let record = core.store.generation(client, id)?;
        let mut images: Vec<_> = record.request.draft.images.iter().collect();
        images.sort_by_key(|condition| condition.frame_index);
        let found = match image {
            GivenImage::Start => images.first(),
            GivenImage::End => images.get(1),
        };
        let missing = |expired| JobsError::NoImage { id, image, expired };
        let condition = found.ok_or_else(|| missing(false))?;
        let ImageSource::Path(digest) = &condition.source else { return Err(JobsError::Corrupt { what: "image" }) };
        let sha256 = digest.to_string_lossy().into_owned();
        let failed = |error| JobsError::file(core.blobs.path_of(Shelf::Images, &sha256))(error);
        match core.blobs.open(Shelf::Images, &sha256) {
            Ok(file) => {
                let bytes = file.metadata().map_err(failed)?.len();
                Ok(OpenImage { file, bytes, sha256 })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(true)),
            Err(error) => Err(failed(error)),
        }
    }

    /// The upload of these bytes that this client has made before, from now on kept as long as a new one. It counts as an
    /// upload; nothing is counted where there is none. Waits for the disk.
    ///
    /// # Errors
    /// `Stopping`, `RateLimited`; `StorageFull`, `Database`, `Corrupt`.
    pub fn known_upload(&self, client: &ClientId, sha256: &str) -> Result<Option<UploadId>> {
        let core = self.core();
        core.check_open()?;
        if !core.store.has_upload(client, sha256)? {
            return Ok(None);
        }
        core.check_rate(client)?;
        core.store.renew_upload(client, sha256, core.now())
    }
}
