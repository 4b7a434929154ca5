//! What every output has in common: frames go in one by one, and only a finished, marked output can be seen.
//!
//! Must not know containers or codecs.

use crate::MediaError;
use ltx_policy::UsageMark;
use ltx_types::PixelShape;
use std::path::Path;

/// Takes the frames of one clip in order.
///
/// Until [`finish`](Self::finish) the output lies under a hidden name beside its own; a writer dropped before that
/// leaves nothing behind.
pub trait FrameWriter: Send {
    /// Takes the next frame.
    ///
    /// # Shapes
    /// `rgb` is `[height, width, 3]`, 8-bit sRGB, of the shape given at creation.
    ///
    /// # Errors
    /// `FrameLength` (the frame is not taken, the writer goes on); `Write` when the disk does not take it; `Codec` or
    /// `PngEncoding` when it cannot be encoded. After the latter three the output can no longer be finished.
    fn write(&mut self, rgb: &[u8]) -> Result<(), MediaError>;

    /// Completes the output with its mark and moves it to its own name.
    ///
    /// # Errors
    /// `Write` when the disk does not take the rest; `Codec`; `Incomplete` without frames or after a failed one. The
    /// output is gone then.
    fn finish(self: Box<Self>, mark: &UsageMark) -> Result<(), MediaError>;
}

/// # Errors
/// `FrameLength`.
pub(crate) fn check_length(rgb: &[u8], shape: PixelShape) -> Result<(), MediaError> {
    let (expected, actual) = (shape.width * shape.height * 3, rgb.len());
    if expected == actual { Ok(()) } else { Err(MediaError::FrameLength { shape, expected, actual }) }
}

/// The longest side an encoder here is asked for, in pixels.
const MAX_SIDE: usize = 16_384;

/// # Errors
/// `FrameShape` when a side is 0 or over 16384.
pub(crate) fn check_shape(shape: PixelShape) -> Result<(), MediaError> {
    match shape.width.min(shape.height) {
        0 => Err(MediaError::FrameShape { shape, rule: "have no pixels" }),
        _ if shape.width.max(shape.height) > MAX_SIDE => {
            Err(MediaError::FrameShape { shape, rule: "are over 16384 pixels a side" })
        }
        _ => Ok(()),
    }
}

/// # Errors
/// `Incomplete` without frames or after a failed one.
pub(crate) fn check_complete(frames: usize, failed: bool, path: &Path) -> Result<(), MediaError> {
    let problem = match (frames, failed) {
        (_, true) => "a frame could not be written",
        (0, false) => "has no frames",
        _ => return Ok(()),
    };
    Err(MediaError::Incomplete { path: path.to_owned(), problem })
}
