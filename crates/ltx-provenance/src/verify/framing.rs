//! The bytes of credentials that no signature covers: the frames of boxes, and what fills the room that was kept. They have to be as they
//! are written here, so that nothing can be put there unseen.
//!
//! Must not know what is signed; that the C2PA library checks. Two things stay open: a signature by ES256 that holds has a twin which holds
//! as well (s and n-s), and a time-stamp can be taken out and its room filled with zeros.

/// Headers and lengths of boxes.
const BOX: usize = 8;
/// What lies between the header of a `uuid` box and the manifest: the id, version and flags, the purpose, an offset that is 0.
const MP4_HEAD: &[u8] =
    b"uuid\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81\0\0\0\0manifest\0\0\0\0\0\0\0\0\0";
/// The rest of the id of every kind of JUMBF that C2PA defines.
const ID: &[u8] = b"\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71";
/// Major types of CBOR, and its nothing.
const BYTES: u8 = 0x40;
const TEXT: u8 = 0x60;
const MAP: u8 = 0xa0;
const NULL: u8 = 0xf6;
/// What may stand in the header that no signature covers, in the order in which it is written.
const TIMES: &str = "sigTst2";
const UNPROTECTED: [&str; 3] = [TIMES, "pad", "pad2"];

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
    if whole { of_cose(cose) } else { None }
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

/// Whether a COSE_Sign1 is as it is written here, but for what the signature covers, the signature itself and the time-stamp's bytes: the
/// payload elsewhere, and in the header that no signature covers a time-stamp and zeros alone.
fn of_cose(cose: &[u8]) -> Option<()> {
    // Its tag, and an array of four.
    let rest = cose.strip_prefix(b"\xd2\x84")?;
    let (_protected, rest) = string(rest, BYTES)?;
    let (&head, mut rest) = rest.split_first()?;
    let count = head.checked_sub(MAP).filter(|count| usize::from(*count) <= UNPROTECTED.len())?;
    let mut keys = UNPROTECTED.iter();
    for _ in 0..count {
        let (key, value) = string(rest, TEXT)?;
        // Each at most once, and in this order.
        let key = keys.find(|known| known.as_bytes() == key)?;
        rest = if *key == TIMES { time_stamp(value)? } else { zeros(value)? };
    }
    let (_signature, end) = string(rest.strip_prefix(&[NULL])?, BYTES)?;
    end.is_empty().then_some(())
}

/// What follows a list of one time-stamp.
fn time_stamp(bytes: &[u8]) -> Option<&[u8]> {
    Some(string(bytes.strip_prefix(b"\xa1\x69tstTokens\x81\xa1\x63val")?, BYTES)?.1)
}

/// What follows a byte string of zeros.
fn zeros(bytes: &[u8]) -> Option<&[u8]> {
    let (fill, rest) = string(bytes, BYTES)?;
    fill.iter().all(|byte| *byte == 0).then_some(rest)
}

/// A string of CBOR of this major type, whose length is said as shortly as it can be, and what follows it.
fn string(bytes: &[u8], major: u8) -> Option<(&[u8], &[u8])> {
    let (&head, rest) = bytes.split_first()?;
    let (length, rest) = match head.checked_sub(major)? {
        short @ 0..24 => (usize::from(short), rest),
        24 => (usize::from(*rest.first()?), &rest[1..]),
        25 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        26 => (u32::from_be_bytes(*rest.first_chunk()?) as usize, &rest[4..]),
        _ => return None,
    };
    let shortest = match head - major {
        0..24 => 0,
        24 => 24,
        25 => 1 << 8,
        _ => 1 << 16,
    };
    rest.split_at_checked(length).filter(|_| length >= shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &[u8] = b"\x67sigTst2\xa1\x69tstTokens\x81\xa1\x63val\x42ab";

    fn cose(count: u8, unprotected: &[&[u8]], end: &[u8]) -> Option<()> {
        of_cose(&[b"\xd2\x84\x41a", &[MAP + count][..], &unprotected.concat(), end].concat())
    }

    #[test]
    fn the_header_that_nothing_covers_holds_a_time_stamp_and_zeros_alone() {
        let (pad, pad_2, end) = (b"\x63pad\x42\0\0".as_slice(), b"\x64pad2\x41\0".as_slice(), b"\xf6\x41s".as_slice());
        for good in [&[][..], &[pad], &[pad, pad_2], &[TOKEN, pad], &[TOKEN, pad, pad_2]] {
            assert!(cose(good.len() as u8, good, end).is_some(), "{good:?}");
        }
        let long = [b"\x63pad\x59\x01\0".as_slice(), &[0; 256]].concat();
        assert!(cose(1, &[&long], end).is_some());
        let bad: [(u8, &[&[u8]]); 9] = [
            (1, &[b"\x63pae\x42\0\0"]),
            (1, &[b"\x63pad\x42\0\x01"]),
            (1, &[b"\x63pad\x58\x02\0\0"]),
            (1, &[b"\x63pad\x62\0\0"]),
            (2, &[pad, pad]),
            (2, &[pad_2, pad]),
            (1, &[b"\x66sigTst\x42\0\0"]),
            (1, &[b"\x67sigTst2\xa1\x69tstTokens\x82\xa1\x63val\x41a\xa1\x63val\x41a"]),
            (0, &[pad]),
        ];
        for (count, unprotected) in bad {
            assert!(cose(count, unprotected, end).is_none(), "{unprotected:?}");
        }
        for end in [b"\x41p\x41s".as_slice(), b"\xf6\x41s\0", b"\xf6", b"\xf6\x61s"] {
            assert!(cose(1, &[pad], end).is_none(), "{end:?}");
        }
        assert!(of_cose(b"\x84\x41a\xa0\xf6\x41s").is_none(), "without its tag");
    }
}
