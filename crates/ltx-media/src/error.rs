//! What can go wrong between a file and pixels.
//!
//! Must not know who reads it: no gRPC codes, no advice about flags.

use crate::ColourFault;
use ltx_types::{FieldError, PixelShape, sentence};
use std::{io, path::PathBuf};

/// Everything this crate refuses or fails at. `image` names an input: its path, or how many bytes arrived.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The image's file cannot be opened or read.
    #[error("image {image}: cannot be read")]
    ImageUnreadable {
        /// Which image.
        image: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image has no bytes, or no pixels.
    #[error("image {image}: is empty")]
    ImageEmpty {
        /// Which image.
        image: String,
    },
    /// More encoded bytes than are read.
    #[error("image {image}: is over {limit_bytes} bytes")]
    ImageFileTooLarge {
        /// Which image.
        image: String,
        /// The most that is read.
        limit_bytes: u64,
    },
    /// The bytes are no PNG, JPEG or WebP.
    #[error("image {image}: is {found}; supported are PNG, JPEG and WebP{advice}")]
    ImageFormat {
        /// Which image.
        image: String,
        /// What it is instead: another format's name, what else it is, or `not an image`.
        found: String,
        /// What to do about it, as the rest of the sentence; empty where nobody knows.
        advice: &'static str,
    },
    /// Too many pixels, judged from the header.
    #[error("image {image}: {width}x{height} is over {max_side} pixels a side or {max_pixels} in all")]
    ImageTooLarge {
        /// Which image.
        image: String,
        /// Pixels across, as the header says.
        width: u32,
        /// Pixels down, as the header says.
        height: u32,
        /// The longest side taken.
        max_side: u32,
        /// The most pixels taken.
        max_pixels: u64,
    },
    /// The decoder gave up.
    #[error("image {image}: is damaged, or of a kind of {format} that is not supported")]
    ImageCorrupt {
        /// Which image.
        image: String,
        /// `PNG`, `JPEG` or `WebP`.
        format: &'static str,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// A JPEG that stops before its end marker.
    #[error("image {image}: is truncated")]
    ImageTruncated {
        /// Which image.
        image: String,
    },
    /// What the file states of its colours is damaged, does not fit its pixels, or is not supported.
    #[error("image {image}: its {part} {fault}; convert the picture to sRGB, or take that part out")]
    ImageColours {
        /// Which image.
        image: String,
        /// The part of the file: `ICC profile`, or a chunk of a PNG.
        part: &'static str,
        /// What is wrong with it.
        fault: ColourFault,
    },
    /// The FFmpeg on this machine lacks an encoder.
    #[error("FFmpeg has no {encoder} encoder; install one built with it")]
    EncoderMissing {
        /// The encoder's FFmpeg name.
        encoder: String,
    },
    /// FFmpeg failed at something that is not writing.
    #[error("FFmpeg: {step} failed")]
    Codec {
        /// What was being done.
        step: &'static str,
        /// FFmpeg's own error.
        #[source]
        source: ffmpeg_next::Error,
    },
    /// A PNG could not be encoded.
    #[error("a frame cannot be encoded as PNG")]
    PngEncoding(#[source] png::EncodingError),
    /// Frames of this size cannot be written.
    #[error("frames of {shape} {rule}")]
    FrameShape {
        /// The size.
        shape: PixelShape,
        /// The rule it breaks, as the rest of a sentence.
        rule: &'static str,
    },
    /// A frame with too few or too many bytes.
    #[error("a frame has {actual} bytes where {shape} RGB takes {expected}")]
    FrameLength {
        /// The size the writer was created with.
        shape: PixelShape,
        /// `3 · width · height`.
        expected: usize,
        /// What came.
        actual: usize,
    },
    /// The folder an output should go into does not exist.
    #[error("{}: the folder {} does not exist", path.display(), folder.display())]
    NoFolder {
        /// The output.
        path: PathBuf,
        /// The missing folder.
        folder: PathBuf,
    },
    /// The output's path is a folder where a file is wanted.
    #[error("{}: is a folder", path.display())]
    IsFolder {
        /// The output.
        path: PathBuf,
    },
    /// The output's path is a file where a folder is wanted.
    #[error("{}: is not a folder", path.display())]
    NotAFolder {
        /// The output.
        path: PathBuf,
    },
    /// The output folder holds something already.
    #[error("{}: the folder is not empty", path.display())]
    FolderNotEmpty {
        /// The output.
        path: PathBuf,
    },
    /// The output cannot be created.
    #[error("{}: cannot be created", path.display())]
    Create {
        /// The output.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The output cannot be written (disk full, file too big, …). Nothing is left behind.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The output cannot be sealed, and so is not made.
    #[error("{}: cannot be sealed", path.display())]
    Seal {
        /// The output.
        path: PathBuf,
        /// Why.
        #[source]
        source: crate::SealError,
    },
    /// A file whose pictures are asked for cannot be read as an MP4.
    #[error("{}: cannot be read as an MP4", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A clip was finished before its first frame, or after a frame that failed.
    #[error("{}: {problem}", path.display())]
    Incomplete {
        /// The output.
        path: PathBuf,
        /// What is missing.
        problem: &'static str,
    },
}

impl MediaError {
    /// Whether the fault lies in an image that was given, not in an output.
    pub fn is_of_image(&self) -> bool {
        self.image().is_some()
    }

    /// The fault of an image as that of the field which named it: the value is the image, the rule what is wrong with it and why.
    pub fn in_field(&self, field: &'static str) -> FieldError {
        let (image, whole) = (self.image().unwrap_or_default(), sentence(self));
        FieldError::new(field, image, whole.strip_prefix(&format!("image {image}: ")).unwrap_or(&whole))
    }

    /// The image that the fault lies in; `None` where it lies elsewhere.
    fn image(&self) -> Option<&str> {
        match self {
            Self::ImageUnreadable { image, .. }
            | Self::ImageEmpty { image }
            | Self::ImageFileTooLarge { image, .. }
            | Self::ImageFormat { image, .. }
            | Self::ImageTooLarge { image, .. }
            | Self::ImageCorrupt { image, .. }
            | Self::ImageTruncated { image }
            | Self::ImageColours { image, .. } => Some(image),
            Self::EncoderMissing { .. }
            | Self::Codec { .. }
            | Self::PngEncoding(_)
            | Self::FrameShape { .. }
            | Self::FrameLength { .. }
            | Self::NoFolder { .. }
            | Self::IsFolder { .. }
            | Self::NotAFolder { .. }
            | Self::FolderNotEmpty { .. }
            | Self::Create { .. }
            | Self::Write { .. }
            | Self::Seal { .. }
            | Self::Unreadable { .. }
            | Self::Incomplete { .. } => None,
        }
    }

    /// For `map_err` on an FFmpeg call.
    pub(crate) fn codec(step: &'static str) -> impl FnOnce(ffmpeg_next::Error) -> Self {
        move |source| Self::Codec { step, source }
    }
}
