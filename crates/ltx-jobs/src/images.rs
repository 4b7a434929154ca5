//! Images of requests and uploads: files named by the digest of their bytes, kept once however often they are sent.
//!
//! Must not know requests beyond their images.

use crate::{
    JobsError, Result,
    folder::{DataFolder, sync_folder, write_atomically},
};
use ltx_media::open_image;
use ltx_types::{FieldError, GenerationDraft, ImageCondition, ImageSource};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fs};

/// An image that was looked at and is not kept yet.
pub(crate) struct Image<'a> {
    bytes: Cow<'a, [u8]>,
    pub(crate) sha256: String,
}

impl<'a> Image<'a> {
    /// Reads an image, and decodes it once to see that it is one.
    ///
    /// # Errors
    /// `Media`; `Field` when it is over `max_bytes`; `File`.
    pub(crate) fn read(source: &'a ImageSource, max_bytes: u64) -> Result<Self> {
        let length = match source {
            ImageSource::Bytes(bytes) => bytes.len() as u64,
            ImageSource::Path(path) => fs::metadata(path).map_err(JobsError::file(path))?.len(),
        };
        check_length(length, max_bytes)?;
        let bytes = match source {
            ImageSource::Bytes(bytes) => Cow::Borrowed(&**bytes),
            ImageSource::Path(path) => Cow::Owned(fs::read(path).map_err(JobsError::file(path))?),
        };
        open_image(source)?;
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        Ok(Self { bytes, sha256 })
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes it, unless it is there.
    ///
    /// # Errors
    /// `File`, `StorageFull`.
    pub(crate) fn keep(&self, folder: &DataFolder) -> Result<()> {
        let path = folder.image(&self.sha256);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == self.len()) {
            return Ok(());
        }
        write_atomically(&path, &[&self.bytes]).map_err(JobsError::file(path))?;
        sync_folder(&folder.images());
        Ok(())
    }
}

/// # Errors
/// `Field`.
pub(crate) fn check_length(length: u64, max_bytes: u64) -> Result<()> {
    if (1..=max_bytes).contains(&length) {
        return Ok(());
    }
    let rule = format!("bytes: an image has 1 to {max_bytes}");
    Err(FieldError::new("image", length, rule).nearest(max_bytes.min(length.max(1))).into())
}

/// The draft with every image named by its digest, as it is stored.
pub(crate) fn by_digest(draft: &GenerationDraft, images: &[Image<'_>]) -> GenerationDraft {
    let named = draft.images.iter().zip(images).map(|(condition, image)| ImageCondition {
        source: ImageSource::Path((&image.sha256).into()),
        ..condition.clone()
    });
    GenerationDraft { images: named.collect(), ..draft.clone() }
}

/// The draft with every image where it lies, as it is run.
pub(crate) fn by_path(mut draft: GenerationDraft, folder: &DataFolder) -> GenerationDraft {
    for condition in &mut draft.images {
        if let ImageSource::Path(digest) = &condition.source {
            condition.source = ImageSource::Path(folder.image(&digest.to_string_lossy()));
        }
    }
    draft
}
