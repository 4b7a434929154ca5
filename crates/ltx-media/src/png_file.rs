//! A PNG as a row of chunks.
//!
//! Must not know what a chunk means.

use flate2::Crc;

/// One chunk.
pub(crate) struct Chunk<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) body: &'a [u8],
    /// The checksum that is stored behind it.
    sum: u32,
}

impl Chunk<'_> {
    /// Whether it is as its checksum says.
    pub(crate) fn is_sound(&self) -> bool {
        let mut crc = Crc::new();
        crc.update(self.name);
        crc.update(self.body);
        crc.sum() == self.sum
    }
}

/// The chunks of the whole file; fewer where it breaks off.
pub(crate) fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = 8_usize;
    std::iter::from_fn(move || {
        let head = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_be_bytes(*head.first_chunk()?) as usize;
        let body = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        at = at.checked_add(12)?.checked_add(length)?;
        let sum = bytes.get(at - 4..at).and_then(<[u8]>::first_chunk).map_or(0, |&sum| u32::from_be_bytes(sum));
        Some(Chunk { name: &head[4..], body, sum })
    })
}
