//! Credentials in an MP4: two boxes between `ftyp` and `moov`, and the offsets of samples corrected by their length. The index stays in
//! front of the video.
//!
//! Must not know what they say.

use crate::bytes::{self, make_room};
use sha2::{Digest, Sha256};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

/// What a `uuid` box of C2PA is called, and one of XMP.
pub(crate) const C2PA_UUID: [u8; 16] =
    [0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81];
pub(crate) const XMP_UUID: [u8; 16] =
    [0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac];
/// The most boxes of a file's outermost level.
const PARTS: usize = 1 << 16;
/// The most bytes of an index that are taken into memory.
const INDEX_BYTES: u64 = 256 << 20;
/// Boxes that hold boxes, on the way to the offsets of samples.
const HOLDERS: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];

/// A box of the file's outermost level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: [u8; 4],
    /// Of a `uuid` box.
    pub(crate) uuid: Option<[u8; 16]>,
    /// From its header's first byte.
    pub(crate) range: Range<u64>,
    /// Bytes of its header.
    header: u64,
}

/// The boxes of a file's outermost level, in their order.
///
/// # Errors
/// The file cannot be read, has too many of them, or is no row of boxes that ends with it.
pub(crate) fn parts(file: &File) -> io::Result<Vec<Part>> {
    let (parts, are_all) = leading_parts(file)?;
    if are_all { Ok(parts) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "it is no MP4")) }
}

/// The boxes of a file's outermost level as far as there are any, and whether they end with the file.
///
/// # Errors
/// The file cannot be read, or has too many of them.
pub(crate) fn leading_parts(file: &File) -> io::Result<(Vec<Part>, bool)> {
    let length = file.metadata()?.len();
    let (mut at, mut parts) = (0, Vec::new());
    while at < length {
        let mut head = [0; 16];
        let there = (length - at).min(16) as usize;
        file.read_exact_at(&mut head[..there], at)?;
        let kind = [head[4], head[5], head[6], head[7]];
        let (size, header) = match be32(&head[..4]) {
            0 => (length - at, 8),
            1 if there == 16 => {
                (u64::from_be_bytes([head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15]]), 16)
            }
            size => (size, 8),
        };
        if there < 8 || size < header || size > length - at {
            return Ok((parts, false));
        }
        if parts.len() == PARTS {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {PARTS} boxes side by side"),
            ));
        }
        let uuid = (kind == *b"uuid" && size >= header + 16).then(|| {
            let mut uuid = [0; 16];
            file.read_exact_at(&mut uuid, at + header).map(|()| uuid)
        });
        parts.push(Part { kind, uuid: uuid.transpose()?, range: at..at + size, header });
        at += size;
    }
    Ok((parts, true))
}

/// Digests of a file with credentials at `credentials`.
#[derive(Debug)]
pub(crate) struct Digests {
    /// SHA-256 of everything else, hexadecimal.
    pub(crate) rest_sha256: String,
    /// The hash that C2PA defines for boxes (`c2pa.hash.bmff.v3`): of the offset and the bytes of every outermost box but `ftyp`, `mfra` and the
    /// credentials.
    pub(crate) boxes: Vec<u8>,
}

/// Both digests in one pass. The C2PA library would hold 256 MiB of the file at once.
///
/// # Errors
/// The file cannot be read, or is no row of boxes.
pub(crate) fn digests(file: &File, credentials: &Range<u64>) -> io::Result<Digests> {
    let (mut rest, mut boxes) = (Sha256::new(), Sha256::new());
    for part in parts(file)? {
        if part.range == *credentials {
            continue;
        }
        let counts = part.uuid != Some(C2PA_UUID) && ![*b"ftyp", *b"mfra"].contains(&part.kind);
        if counts {
            boxes.update(part.range.start.to_be_bytes());
        }
        bytes::read(file, part.range, |piece| {
            rest.update(piece);
            if counts {
                boxes.update(piece);
            }
        })?;
    }
    Ok(Digests { rest_sha256: format!("{:x}", rest.finalize()), boxes: boxes.finalize().to_vec() })
}

/// An XMP packet as a box.
pub(crate) fn xmp_box(packet: &str) -> Vec<u8> {
    let length = (8 + 16 + packet.len()) as u32;
    [&length.to_be_bytes()[..], b"uuid", &XMP_UUID, packet.as_bytes()].concat()
}

/// Puts boxes behind `ftyp`, corrects the offsets of samples, and completes words of the metadata by others of their length. Returns where
/// the boxes begin.
///
/// # Errors
/// The disk refuses, or it is no MP4 of one index in front of its video.
pub(crate) fn insert(file: &File, boxes: &[u8], (word, complete): (&str, &str)) -> io::Result<u64> {
    let invalid = |rule| io::Error::new(io::ErrorKind::InvalidData, rule);
    let parts = parts(file)?;
    let at = parts
        .first()
        .filter(|part| part.kind == *b"ftyp")
        .ok_or_else(|| invalid("it has no ftyp box in front"))?
        .range
        .end;
    let index = parts.iter().find(|part| part.kind == *b"moov").ok_or_else(|| invalid("it has no index"))?;
    let length = index.range.end - index.range.start;
    if length > INDEX_BYTES {
        return Err(invalid("its index is too large"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, index.range.start)?;
    let room = boxes.len() as u64;
    shift_offsets(&mut bytes[index.header as usize..], room)
        .ok_or_else(|| invalid("the offsets of its samples cannot be moved"))?;
    replace(&mut bytes, word.as_bytes(), complete.as_bytes());
    make_room(file, at, room)?;
    file.write_all_at(&bytes, index.range.start + room)?;
    file.write_all_at(boxes, at)?;
    Ok(at)
}

/// Puts a word in the place of every other one of its length.
fn replace(bytes: &mut [u8], word: &[u8], by: &[u8]) {
    debug_assert_eq!(word.len(), by.len());
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + word.len()) {
        if window == word {
            window.copy_from_slice(by);
            at += word.len();
        } else {
            at += 1;
        }
    }
}

/// Adds to every offset of samples in the boxes of `bytes`; `None` where one is damaged, or grows beyond what it can hold.
fn shift_offsets(bytes: &mut [u8], by: u64) -> Option<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = usize::try_from(be32(rest.get(..4)?)).ok().filter(|size| (8..=rest.len()).contains(size))?;
        let (this, after) = rest.split_at_mut(size);
        let kind: [u8; 4] = this.get(4..8)?.try_into().ok()?;
        let body = &mut this[8..];
        if HOLDERS.contains(&&kind) {
            shift_offsets(body, by)?;
        } else if kind == *b"stco" || kind == *b"co64" {
            let count = be32(body.get(4..8)?) as usize;
            let width = if kind == *b"stco" { 4 } else { 8 };
            let entries = body.get_mut(8..)?;
            if entries.len() != count.checked_mul(width)? {
                return None;
            }
            for entry in entries.chunks_exact_mut(width) {
                let offset = entry.iter().fold(0_u64, |offset, byte| offset << 8 | u64::from(*byte)).checked_add(by)?;
                let moved = offset.to_be_bytes();
                if moved[..8 - width].iter().any(|byte| *byte != 0) {
                    return None;
                }
                entry.copy_from_slice(&moved[8 - width..]);
            }
        }
        rest = after;
    }
    Some(())
}

fn be32(bytes: &[u8]) -> u64 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(8 + body.len() as u32).to_be_bytes()[..], kind, body].concat()
    }

    fn index(entries: &[u8], kind: &[u8; 4], count: u32) -> Vec<u8> {
        let offsets = of(kind, &[&[0; 4], &count.to_be_bytes()[..], entries].concat());
        of(b"trak", &of(b"mdia", &of(b"minf", &of(b"stbl", &[of(b"stsz", &[1, 2]), offsets].concat()))))
    }

    #[test]
    fn offsets_move_in_both_widths_and_overflow_is_seen() {
        let mut narrow = index(&[0, 0, 1, 0, 0, 0, 2, 0], b"stco", 2);
        shift_offsets(&mut narrow, 0x10).unwrap();
        assert!(narrow.ends_with(&[0, 0, 1, 0x10, 0, 0, 2, 0x10]));
        let mut wide = index(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], b"co64", 1);
        shift_offsets(&mut wide, 1).unwrap();
        assert!(wide.ends_with(&[0, 0, 0, 1, 0, 0, 0, 0]));
        assert_eq!(shift_offsets(&mut index(&[0xff; 4], b"stco", 1), 1), None);
        assert_eq!(shift_offsets(&mut index(&[0; 4], b"stco", 2), 1), None, "fewer entries than it says");
    }

    #[test]
    fn boxes_without_end_are_not_counted_to_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&of(b"free", b"").repeat(PARTS), 0).unwrap();
        assert_eq!(parts(&file).unwrap().len(), PARTS);
        file.write_all_at(b"\0\0\0\x09free", 8 * PARTS as u64).unwrap();
        assert_eq!(leading_parts(&file).map(|(parts, are_all)| (parts.len(), are_all)).unwrap(), (PARTS, false));
        assert_eq!(parts(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
        file.write_all_at(&of(b"free", b""), 8 * PARTS as u64).unwrap();
        assert!(parts(&file).unwrap_err().to_string().contains("more than 65536 boxes"));
    }

    #[test]
    fn boxes_go_behind_ftyp_and_all_else_moves_whole() {
        let mut file = tempfile::tempfile().unwrap();
        let ftyp = of(b"ftyp", b"isom");
        let moov = of(b"moov", &index(&[0, 0, 0, 90], b"stco", 1));
        let mdat = of(b"mdat", &vec![7; 3 << 20]);
        io::Write::write_all(&mut file, &[&ftyp[..], &moov, &mdat].concat()).unwrap();
        let added = xmp_box("<x/>");
        assert_eq!(insert(&file, &added, ("stsz", "stsz")).unwrap(), ftyp.len() as u64);
        let kinds: Vec<_> = parts(&file).unwrap().into_iter().map(|part| (part.kind, part.uuid)).collect();
        assert_eq!(kinds, [(*b"ftyp", None), (*b"uuid", Some(XMP_UUID)), (*b"moov", None), (*b"mdat", None)]);
        let mut bytes = vec![0; mdat.len()];
        let at = (ftyp.len() + added.len() + moov.len()) as u64;
        file.read_exact_at(&mut bytes, at).unwrap();
        assert!(bytes == mdat);
        let mut offset = [0; 4];
        file.read_exact_at(&mut offset, at - 4).unwrap();
        assert_eq!(u64::from(u32::from_be_bytes(offset)), 90 + added.len() as u64);
    }
}
