//! An image that a generation was given, opened.
//!
//! Must not know how it is kept, nor how a face sends it.

use super::{Node, Problem};
use ltx_jobs::{ClientId, GenerationId, GivenImage};
use ltx_media::{media_type, shown_size};
use std::{
    fs::File,
    io::{Read, Seek},
};

/// An image that a generation was given, open.
#[derive(Debug)]
pub(crate) struct OpenImage {
    /// Which.
    pub(crate) image: GivenImage,
    /// The encoded image.
    pub(crate) file: File,
    /// Its size.
    pub(crate) bytes: u64,
    /// SHA-256 of its bytes.
    pub(crate) sha256: String,
    /// Its media type.
    pub(crate) media_type: &'static str,
    /// Pixels across, the right way up.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
}

impl Node {
    /// Opens an image of a generation, as it was sent, that is to be read from `offset`.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `NotFound`, `NoImage`, `Database`, `Corrupt`, `File`.
    pub(crate) async fn open_image(
        &self,
        client: ClientId,
        id: GenerationId,
        image: GivenImage,
        offset: u64,
    ) -> Result<OpenImage, Problem> {
        // Its size in pixels is in the file.
        let open = self.write(move |jobs| {
            let ltx_jobs::OpenImage { mut file, bytes, sha256 } = jobs.open_image(&client, id, image)?;
            if offset > bytes {
                return Err(Problem::OffsetOutOfRange { offset, total_bytes: bytes });
            }
            let mut encoded = Vec::new();
            // One that cannot be read here fails again where it is sent, which says so.
            let read = file.read_to_end(&mut encoded).and_then(|_| file.rewind());
            let (width, height) = read.ok().and_then(|()| shown_size(&encoded)).unwrap_or((0, 0));
            let media_type = media_type(&encoded).unwrap_or("application/octet-stream");
            Ok(OpenImage { image, file, bytes, sha256, media_type, width, height })
        });
        open.await
    }
}
