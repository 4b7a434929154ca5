//! Decoding in tiles: a long or large latent never becomes pixels all at once.
//!
//! Must not know where the frames go.

mod tiled;
mod tiles;

pub use tiled::decode_tiled;
pub use tiles::{Axis, TileSizes};
