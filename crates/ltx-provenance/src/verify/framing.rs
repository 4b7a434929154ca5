//! The bytes of credentials that no signature covers: the frames of boxes, and what fills the room that was kept. They have to be as they
//! are written here, so that not one byte of an output can be changed unseen.
//!
//! Must not know what is signed; that the C2PA library checks.

/// Headers and lengths of boxes.
const BOX: usize = 8;
/// What lies between the header of a `uuid` box and the manifest: the id, version and flags, the purpose, an offset that is 0.
const MP4_HEAD: &[u8] =
    b"uuid\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81\0\0\0\0manifest\0\0\0\0\0\0\0\0\0";
/// The rest of the id of every kind of JUMBF that C2PA defines.
const ID: &[u8] = b"\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71";

/// Whether a `uuid` box of an MP4 is framed as it is written here.
pub(super) fn of_mp4(bytes: &[u8]) -> bool {
    let store = bytes.get(4..).and_then(|rest| rest.strip_prefix(MP4_HEAD));
    store.is_some_and(|store| of_store(store).is_some())
}

/// Whether a `caBX` chunk of a PNG is, its checksum included.
pub(super) fn of_png(bytes: &[u8]) -> bool {
    let parts = || {
        let body = bytes.get(BOX..bytes.len().checked_sub(4)?)?;
        let mut sum = crc32fast::Hasher::new();
        sum.update(bytes.get(4..bytes.len() - 4)?);
        (bytes.ends_with(&sum.finalize().to_be_bytes())).then(|| of_store(body))?
    };
    parts().is_some()
}

/// A store of one manifest, and zeros behind it.
fn of_store(bytes: &[u8]) -> Option<()> {
    let (store, fill) = split(bytes, b"jumb")?;
    let zeros = fill.iter().all(|byte| *byte == 0);
    let manifests = described(store, b"c2pa", |label| label == b"c2pa")?;
    let (manifest, more) = split(manifests, b"jumb")?;
    let parts = described(manifest, b"c2ma", |label| label.starts_with(b"urn:c2pa:"))?;
    let (assertions, parts) = split(parts, b"jumb")?;
    let (claim, parts) = split(parts, b"jumb")?;
    let (signature, last) = split(parts, b"jumb")?;
    described(assertions, b"c2as", |label| label == b"c2pa.assertions")?;
    let claim = described(claim, b"c2cl", |label| label == b"c2pa.claim.v2")?;
    let signature = described(signature, b"c2cs", |label| label == b"c2pa.signature")?;
    let (_, behind_claim) = split(claim, b"cbor")?;
    let (cose, behind_signature) = split(signature, b"cbor")?;
    let whole = zeros && more.is_empty() && last.is_empty() && behind_claim.is_empty() && behind_signature.is_empty();
    (whole && filled_with_zeros(cose)).then_some(())
}

/// A box of this kind in front, without its header, and what follows it.
fn split<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<(&'a [u8], &'a [u8])> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let this = bytes.get(..size).filter(|this| this.get(4..BOX) == Some(kind.as_slice()))?;
    Some((&this[BOX..], &bytes[size..]))
}

/// What follows the description of a superbox, if that says just this.
fn described<'a>(superbox: &'a [u8], kind: &[u8; 4], is_label: impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
    let (description, rest) = split(superbox, b"jumd")?;
    let label = description.strip_prefix(kind)?.strip_prefix(ID)?.strip_prefix(&[3])?.strip_suffix(&[0])?;
    (is_label(label) && !label.contains(&0)).then_some(rest)
}

/// Whether what fills a COSE signature up to the room that was kept for it is zeros.
fn filled_with_zeros(cose: &[u8]) -> bool {
    // Text of three characters, `pad`, and a byte string behind it.
    let Some(at) = cose.windows(4).position(|window| window == b"\x63pad") else { return true };
    let rest = &cose[at + 4..];
    let (length, head): (usize, usize) = match rest.first() {
        Some(short @ 0x40..=0x57) => (usize::from(short - 0x40), 1),
        Some(0x58) => (rest.get(1).map_or(0, |byte| usize::from(*byte)), 2),
        Some(0x59) => (rest.get(1..3).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1])), 3),
        Some(0x5a) => {
            (rest.get(1..5).map_or(0, |four| four.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))), 5)
        }
        _ => return false,
    };
    rest.get(head..head.saturating_add(length)).is_some_and(|fill| fill.iter().all(|byte| *byte == 0))
}
