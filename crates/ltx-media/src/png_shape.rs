//! What a PNG states of its pictures and its pixels' shape, which its decoder passes over.
//!
//! Must not know what is said of it.

use crate::png_file::chunks;

/// Whether it is an animation with more than the picture that a still decoder shows.
pub(crate) fn is_animation(bytes: &[u8]) -> bool {
    let before_pixels = || chunks(bytes).take_while(|chunk| chunk.name != b"IDAT");
    let control = before_pixels().find(|chunk| chunk.name == b"acTL" && chunk.is_sound());
    let frames = control.and_then(|chunk| chunk.body.first_chunk()).map_or(0, |&frames| u32::from_be_bytes(frames));
    // Without this chunk before its pixels, the still picture is none of the frames.
    let begins_with_still = before_pixels().any(|chunk| chunk.name == b"fcTL");
    frames > 1 || frames == 1 && !begins_with_still
}

/// Pixels to the same length, across and down, as pHYs has them.
pub(crate) fn density(bytes: &[u8]) -> Option<[u32; 2]> {
    let stated = chunks(bytes).find(|chunk| chunk.name == b"pHYs" && chunk.is_sound())?;
    let (across, rest) = stated.body.split_first_chunk()?;
    Some([u32::from_be_bytes(*across), u32::from_be_bytes(*rest.first_chunk()?)])
}
