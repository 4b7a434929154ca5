//! Decoding in tiles: a long or large latent never becomes pixels all at once.
//!
//! Must not know where the frames go.

mod choice;
mod footprint;
mod noise;
mod seams;
mod tiled;
mod tiles;
mod tone_map;

pub(crate) use choice::{Smallest, chosen};
pub(crate) use footprint::DecodedClip;
pub use noise::DecodeNoise;
pub use tiled::decode_tiled;
pub(crate) use tiles::Cut;
pub(crate) use tone_map::behind_second_pass;
