//! Features of a whole clip, from which tiles are drawn.
//!
//! Must not know pixels.

use super::frames::Frames;
use std::ops::Range;

/// Features of a clip, with those of the copies behind its last frame.
#[derive(Debug, Clone)]
pub struct Features {
    pub(super) cells: Frames,
    /// Frames of cells that are the clip's own.
    pub(super) content: usize,
}

impl Features {
    /// Cells of the clip: frames, rows and columns.
    pub fn clip(&self) -> [usize; 3] {
        [self.content, self.cells.rows, self.cells.columns]
    }
}

/// A tile's cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TilePlace {
    /// Frames of cells.
    pub frames: Range<usize>,
    /// Rows of cells.
    pub rows: Range<usize>,
    /// Columns of cells.
    pub columns: Range<usize>,
}
