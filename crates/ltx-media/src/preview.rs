//! Previews as PNG: small pictures of a running generation, labelled as such and kept in no file.
//!
//! Must not know how they are made or who sees them.

use crate::{MediaError, png_frames, writer};
use ltx_policy::PreviewLabel;
use ltx_types::PixelShape;

/// Encodes a preview as PNG (8-bit RGB) with its label as iTXt chunks, one per entry, and no mark.
///
/// # Shapes
/// `rgb` is `[height, width, 3]`, 8-bit sRGB.
///
/// # Errors
/// `FrameShape`, `FrameLength`, `PngEncoding`.
pub fn encode_preview(rgb: &[u8], shape: PixelShape, label: &PreviewLabel) -> Result<Vec<u8>, MediaError> {
    writer::check_shape(shape)?;
    writer::check_length(rgb, shape)?;
    let entries = label.entries().map(|(key, value)| (key.to_owned(), value.replace('\0', " ")));
    png_frames::encode(rgb, shape, &entries).map_err(MediaError::PngEncoding)
}
