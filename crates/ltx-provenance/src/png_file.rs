//! Credentials in a PNG: chunks behind its header.
//!
//! Must not know what they say.

use std::ops::Range;

/// Signature and header chunk.
const HEAD: usize = 8 + 25;

/// The most chunks of a file.
const CHUNKS: usize = 1 << 20;

/// A chunk's name and where it lies, length and checksum included.
pub(crate) type Chunk = ([u8; 4], Range<usize>);

/// The chunks of a PNG, in their order; `None` where it is none, has too many, or something follows its end.
pub(crate) fn chunks(png: &[u8]) -> Option<Vec<Chunk>> {
    if !png.starts_with(b"\x89PNG\r\n\x1a\n") {
        return None;
    }
    let (mut at, mut chunks) = (8, Vec::new());
    while at < png.len() {
        if chunks.len() == CHUNKS {
            return None;
        }
        let length = u32::from_be_bytes(*png.get(at..)?.first_chunk()?) as usize;
        let name: [u8; 4] = *png.get(at + 4..)?.first_chunk()?;
        let end = at.checked_add(12)?.checked_add(length).filter(|end| *end <= png.len())?;
        chunks.push((name, at..end));
        at = end;
    }
    (chunks.last()?.0 == *b"IEND").then_some(chunks)
}

/// The keyword of XMP.
pub(crate) const XMP: &str = "XML:com.adobe.xmp";

/// Text as a chunk.
pub(crate) fn text_chunk(keyword: &str, text: &str) -> Vec<u8> {
    // Neither compressed nor translated.
    chunk(b"iTXt", &[keyword.as_bytes(), b"\0\0\0\0\0", text.as_bytes()].concat())
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(body);
    [&(body.len() as u32).to_be_bytes()[..], name, body, &sum.finalize().to_be_bytes()].concat()
}

/// The PNG with further chunks behind its header, and where they begin; `None` where it is none.
pub(crate) fn with_chunks(png: &[u8], further: &[u8]) -> Option<(Vec<u8>, usize)> {
    let head = png.get(..HEAD).filter(|head| head.ends_with(&png[29..33]) && head[12..16] == *b"IHDR")?;
    Some(([head, further, &png[HEAD..]].concat(), HEAD))
}
