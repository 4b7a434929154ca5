//! Files that carry their own digest, so that one is read whole or not at all: a magic, the SHA-256 of everything after itself, and a
//! body, whose numbers are little-endian and whose last part is values as f32.
//!
//! Must not know what they mean, or where the file is.

use sha2::{Digest, Sha256};
use std::iter;

/// What tells one kind of file from another.
pub(crate) type Magic = [u8; 16];

/// Bytes of a digest.
pub(crate) const DIGEST: usize = 32;
/// Bytes in front of a body.
pub(crate) const FRAME: usize = size_of::<Magic>() + DIGEST;
/// Values that become bytes at a time: there is no second copy of a large tensor.
const PIECE: usize = 16 << 10;

/// A whole file's parts, one behind the other; its body is `head` and then the values.
pub(crate) fn framed<'a>(magic: &Magic, head: &[u8], values: &'a [f32]) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let pieces = move || values.chunks(PIECE).map(|piece| piece.iter().flat_map(|value| value.to_le_bytes()).collect());
    let mut digest = Sha256::new_with_prefix(head);
    pieces().for_each(|piece: Vec<u8>| digest.update(piece));
    let front = [magic, digest.finalize().as_slice(), head].concat();
    iter::once(front).chain(pieces())
}

/// The body of a whole file of this kind.
pub(crate) fn body<'a>(magic: &Magic, file: &'a [u8]) -> Option<&'a [u8]> {
    let (digest, body) = file.strip_prefix(magic)?.split_at_checked(DIGEST)?;
    (digest == Sha256::digest(body).as_slice()).then_some(body)
}

/// As many numbers of 8 bytes, if this machine has sizes of their size.
pub(crate) fn numbers(bytes: &[u8]) -> Option<Vec<usize>> {
    bytes.as_chunks().0.iter().map(|number| usize::try_from(u64::from_le_bytes(*number)).ok()).collect()
}

/// The values of a shape, if they are as many as that asks for.
pub(crate) fn values(shape: &[usize], bytes: &[u8]) -> Option<Vec<f32>> {
    let expected = shape.iter().try_fold(4_usize, |product, side| product.checked_mul(*side))?;
    let values = || bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    (expected == bytes.len()).then(values)
}
