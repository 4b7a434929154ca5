//! The images that an output was made from, as it tells of them: by digest and relation, without their pixels.
//!
//! Must not know where they are kept.

use ltx_media::media_type;
use ltx_types::{Generation, ImageSource};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fs, io};

/// One given image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// `start image` for the first frame, `end image` for the last, else `image at frame N`.
    pub role: String,
    /// The frame that it stands for.
    pub frame: usize,
    /// SHA-256 of the encoded image as it was given, hexadecimal.
    pub sha256: String,
    /// Its media type, where it is one of those that are taken.
    pub media_type: String,
}

impl Input {
    /// The images of a request.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn of(request: &Generation) -> io::Result<Vec<Self>> {
        request
            .images
            .iter()
            .map(|image| {
                let read;
                let bytes: &[u8] = match &image.source {
                    ImageSource::Path(path) => {
                        read = fs::read(path)?;
                        &read
                    }
                    ImageSource::Bytes(bytes) => bytes,
                };
                let role = match image.frame_index {
                    0 => "start image".to_owned(),
                    frame if frame == request.frames.last() => "end image".to_owned(),
                    frame => format!("image at frame {frame}"),
                };
                let media_type = media_type(bytes).unwrap_or("application/octet-stream").to_owned();
                Ok(Self { role, frame: image.frame_index, sha256: format!("{:x}", Sha256::digest(bytes)), media_type })
            })
            .collect()
    }
}
