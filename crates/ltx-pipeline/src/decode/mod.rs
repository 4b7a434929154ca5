//! Decoding in tiles: a long or large latent never becomes pixels all at once.
//!
//! Must not know where the frames go.

mod cells;
mod choice;
mod diffusion;
mod footprint;
mod lengths;
mod noise;
mod seams;
mod tiled;
mod tiles;
mod tone_map;

pub(crate) use cells::tiles_for;
pub(crate) use choice::{Smallest, chosen};
pub(crate) use footprint::DecodedClip;
pub(crate) use lengths::tile_lengths;
pub use noise::DecodeNoise;
pub use tiled::decode_tiled;
pub(crate) use tiles::Cut;
pub(crate) use tone_map::behind_second_pass;
