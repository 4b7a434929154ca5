//! A look at a running generation: a small picture, while somebody wants to see it.
//!
//! Must not know who looks, or how the picture is made.

use ltx_types::{PixelShape, Progress};

/// A small picture of a clip in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The steps after which it was taken; the report of the same progress follows.
    pub after: Progress,
    /// Its size: the clip's, or smaller.
    pub pixels: PixelShape,
    /// `[height, width, 3]`, 8 bits.
    pub rgb: Vec<u8>,
}

/// Receives previews on the thread that works; must return at once.
pub trait PreviewSink {
    /// Whether anybody wants one. Asked after every step, so it must cost nothing.
    fn wanted(&self) -> bool;

    /// Takes one preview.
    fn show(&self, preview: Preview);
}

/// A sink that wants no previews.
pub struct NoPreviews;

impl PreviewSink for NoPreviews {
    fn wanted(&self) -> bool {
        false
    }

    fn show(&self, _: Preview) {}
}
