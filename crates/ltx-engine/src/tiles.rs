//! The sizes of the tiles in which a clip is decoded.
//!
//! Must not know how a clip is cut into them.

use serde::Serialize;

/// Tile size and overlap of one axis, in frames or pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// Size of a tile.
    pub size: usize,
    /// What neighbours share.
    pub overlap: usize,
}

/// Tile sizes of all axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TileSizes {
    /// Frames.
    pub frames: Axis,
    /// Pixels down.
    pub height: Axis,
    /// Pixels across.
    pub width: Axis,
}

impl Default for TileSizes {
    /// The official pipelines': 80 frames sharing 24, 768 pixels sharing 64.
    fn default() -> Self {
        let space = Axis { size: 768, overlap: 64 };
        Self { frames: Axis { size: 80, overlap: 24 }, height: space, width: space }
    }
}
