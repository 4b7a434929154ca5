//! What of a WebP its decoder does not tell behind [`ImageDecoder`](image::ImageDecoder).
//!
//! Must not know what is said of it.

/// The flag of an animation in the extended header.
const ANIMATION: u8 = 1 << 1;

/// Whether it is an animation of more than one frame.
pub(crate) fn is_animation(bytes: &[u8]) -> bool {
    let is_extended = bytes.get(12..16).is_some_and(|name| name == b"VP8X");
    let is_flagged = is_extended && bytes.get(20).is_some_and(|flags| flags & ANIMATION != 0);
    is_flagged && chunk_names(bytes).filter(|name| *name == b"ANMF").nth(1).is_some()
}

/// The names of the chunks, in their order; fewer where the file breaks off.
fn chunk_names(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 12_usize;
    std::iter::from_fn(move || {
        let head = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_le_bytes(*head[4..].first_chunk()?) as usize;
        at = at.checked_add(8)?.checked_add(length)?.checked_add(length % 2)?;
        Some(&head[..4])
    })
}
