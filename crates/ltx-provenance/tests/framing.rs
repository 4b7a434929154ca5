//! Bytes of a PNG's credentials that no signature covers: nothing can be put there unseen, and what is signed here passes always.

mod common;

use common::{chunk, codes, picture, settings, temporary};
use ltx_provenance::{Against, ClipSeal, Credentials, Report, Verdict, verify};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use std::{fs, ops::Range, path::Path, sync::Arc};

fn signed(credentials: Credentials) -> Vec<u8> {
    picture(&ClipSeal::new(Arc::new(credentials), Vec::new()))
}

fn report(folder: &Path, png: &[u8]) -> Report {
    let file = folder.join("picture.png");
    fs::write(&file, png).unwrap();
    verify(&file, &Against::default()).unwrap()
}

/// A PNG that is signed by a certificate made in this folder, and the body of its credentials.
fn signed_in(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let png = signed(common::credentials(&folder.join("keys")));
    let Range { start, end } = chunk(&png);
    let body = png[start + 8..end - 4].to_vec();
    (png, body)
}

/// The PNG with another body of its credentials and what follows them, the length and the checksum made right.
fn with_body(png: &[u8], body: &[u8], behind: &[u8]) -> Vec<u8> {
    let Range { start, end } = chunk(png);
    [&png[..start], &whole(b"caBX", body), behind, &png[end..]].concat()
}

fn whole(name: &[u8], body: &[u8]) -> Vec<u8> {
    let named = [name, body].concat();
    [&(body.len() as u32).to_be_bytes()[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
}

/// Where the label of the fill is in the header of the signature that it does not cover; a hash before it has one of the same name.
fn fill(body: &[u8]) -> usize {
    body.windows(4).rposition(|label| label == b"\x63pad").unwrap()
}

/// Takes so many zeros out of the end of the credentials' fill, and corrects every length on the way to it.
fn shortened(body: &[u8], by: usize) -> Vec<u8> {
    let at = fill(body) + 4;
    assert_eq!(body[at], 0x59);
    let mut out = [&body[..at + 3], &body[at + 3 + by..]].concat();
    let length = u16::from_be_bytes([body[at + 1], body[at + 2]]) - by as u16;
    out[at + 1..at + 3].copy_from_slice(&length.to_be_bytes());
    // Boxes that hold the fill: from each name's beginning on, those that reach behind it.
    for begin in 0..at {
        let size = u32::from_be_bytes(body[begin..begin + 4].try_into().unwrap()) as usize;
        let is_box = [b"jumb", b"cbor"].iter().any(|name| body[begin + 4..].starts_with(*name));
        if is_box && begin + size > at && begin + size <= body.len() {
            out[begin..begin + 4].copy_from_slice(&((size - by) as u32).to_be_bytes());
        }
    }
    out
}

#[test]
fn a_chunk_in_the_room_of_a_shortened_fill_is_seen() {
    let folder = temporary("room");
    let (png, body) = signed_in(&folder);
    let stranger = whole(b"tEXt", b"Title\0A holiday");
    let changed = with_body(&png, &shortened(&body, stranger.len()), &stranger);
    assert_eq!(changed.len(), png.len());
    let seen = report(&folder, &changed);
    assert_eq!((seen.verdict, codes(&seen)), (Verdict::Changed, vec!["ltxd.rest.mismatch"]), "{seen:#?}");
}

#[test]
fn a_label_of_the_fill_that_was_renamed_is_seen() {
    let folder = temporary("label");
    let (png, mut body) = signed_in(&folder);
    let at = fill(&body);
    body[at + 3] = b'e';
    let seen = report(&folder, &with_body(&png, &body, &[]));
    assert_eq!((seen.verdict, codes(&seen)), (Verdict::Changed, vec!["ltxd.framing"]), "{seen:#?}");
}

#[test]
fn a_signature_that_is_not_found_to_hold_is_told() {
    let folder = temporary("signature");
    let (png, mut body) = signed_in(&folder);
    let at = body.windows(3).rposition(|head| head == b"\xf6\x58\x40").unwrap() + 3;
    body[at] ^= 1;
    let seen = report(&folder, &with_body(&png, &body, &[]));
    assert_eq!(seen.verdict, Verdict::Changed);
    assert!(
        ["claimSignature.mismatch", "ltxd.signature.unvalidated"].iter().all(|code| codes(&seen).contains(code)),
        "{seen:#?}"
    );
}

#[test]
fn what_is_signed_here_passes_always() {
    let folder = temporary("always");
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let given = common::pair(&folder, kind, |_| {});
        for count in 0..25 {
            let credentials = Credentials::open(&given, (Path::new("/nonexistent"), ""), None).unwrap();
            let seen = report(&folder, &signed(credentials));
            assert_eq!(seen.verdict, Verdict::Untrusted, "{kind:?} {count}: {seen:#?}");
        }
    }
    let own = report(&folder, &signed(Credentials::open(&settings(), (&folder.join("keys"), "x"), None).unwrap()));
    assert_eq!(own.verdict, Verdict::Untrusted);
}
