//! The tags of an ICC profile.
//!
//! Must not know what is in them.

use super::icc::HEADER;

/// The most tags that a profile is read with, by either library.
pub(super) const TAGS: usize = 100;

/// One of a profile's tags.
pub(super) struct Tag<'a> {
    pub(super) name: &'a [u8],
    /// Its type first.
    pub(super) bytes: &'a [u8],
}

/// The tags that lie within the profile.
pub(super) fn tags(profile: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let word = |at: usize| profile.get(at..at + 4)?.first_chunk().map(|&word| u32::from_be_bytes(word) as usize);
    let count = word(HEADER).unwrap_or(0).min(TAGS);
    (0..count).map(|tag| HEADER + 4 + 12 * tag).filter_map(move |at| {
        let (start, length) = (word(at + 4)?, word(at + 8)?);
        Some(Tag { name: profile.get(at..at + 4)?, bytes: profile.get(start..start.checked_add(length)?)? })
    })
}
