//! Images of requests and uploads: files named by the digest of their bytes, kept once however often they are sent.
//!
//! Must not know requests beyond their images.

use crate::{
    JobsError, Result,
    ports::{Blobs, Shelf},
};
use ltx_media::look_at_image;
use ltx_types::{FieldError, GenerationDraft, ImageCondition, ImageSource};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fs};

/// An image that was looked at and is not kept yet.
pub(crate) struct Image<'a> {
    bytes: Cow<'a, [u8]>,
    pub(crate) sha256: String,
    notes: Vec<ltx_media::ImageNote>,
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
        let notes = look_at_image(source)?;
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        Ok(Self { bytes, sha256, notes })
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes it, unless it is there.
    ///
    /// # Errors
    /// `File`, `StorageFull`, `Unavailable`.
    pub(crate) fn keep(&self, blobs: &dyn Blobs) -> Result<()> {
        if blobs.has(&self.sha256, self.len())? {
            return Ok(());
        }
        let kept = blobs.put_whole(Shelf::Images, &self.sha256, &[&self.bytes]);
        kept.map_err(JobsError::file(blobs.path_of(Shelf::Images, &self.sha256)))
    }
}

/// An image of a request, and how the request names it.
#[derive(Debug, Clone)]
pub struct NamedImage {
    /// The name of its field.
    pub field: &'static str,
    /// Where it is.
    pub source: ImageSource,
}

impl NamedImage {
    /// The images of a request that has all it needs: one, or one for each end.
    pub(crate) fn of(draft: &GenerationDraft) -> Vec<Self> {
        let named = by_field(draft, &draft.images);
        named.map(|(field, condition)| Self { field, source: condition.source.clone() }).collect()
    }

    /// What was found wrong with it, as its field's fault.
    ///
    /// # Errors
    /// What was found is nothing that is wrong with the image.
    pub(crate) fn fault(&self, found: JobsError) -> Result<FieldError> {
        match found {
            JobsError::Media(error) if error.is_of_image() => Ok(error.in_field(self.field)),
            JobsError::Fields(errors) => {
                let mut errors = errors.into_iter().map(|error| FieldError { field: self.field, ..error });
                errors.next().ok_or(JobsError::Corrupt { what: "image" })
            }
            other => Err(other),
        }
    }
}

/// What is to be said of an image of a request, which keeps it from nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidOfImage {
    /// The name of its field.
    pub field: &'static str,
    /// What; it reads on after the image's name.
    pub note: String,
}

impl SaidOfImage {
    /// All that is to be said of the images of a request, which were read in its order.
    pub(crate) fn of(draft: &GenerationDraft, images: &[Image<'_>]) -> Vec<Self> {
        let said = |(field, image): (&'static str, &Image<'_>)| {
            image.notes.iter().map(|note| Self { field, note: note.to_string() }).collect::<Vec<_>>()
        };
        by_field(draft, images).flat_map(said).collect()
    }
}

/// What there is of each image of a request, in its order, with the name of its field.
fn by_field<'a, T>(draft: &GenerationDraft, of_each: &'a [T]) -> impl Iterator<Item = (&'static str, &'a T)> {
    let fields: &[_] = match draft.images.len() {
        1 => &["image"],
        _ => &["start_end_images.start", "start_end_images.end"],
    };
    let mut in_time: Vec<_> = draft.images.iter().map(|condition| condition.frame_index).zip(of_each).collect();
    in_time.sort_by_key(|(frame_index, _)| *frame_index);
    fields.iter().copied().zip(in_time.into_iter().map(|(_, of_it)| of_it))
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

/// The draft with every image where it can be opened, as it is run.
///
/// # Errors
/// `Unavailable`.
pub(crate) fn by_path(mut draft: GenerationDraft, blobs: &dyn Blobs) -> Result<GenerationDraft> {
    for condition in &mut draft.images {
        if let ImageSource::Path(digest) = &condition.source {
            condition.source = blobs.image(&digest.to_string_lossy())?;
        }
    }
    Ok(draft)
}
