//! A kept tensor as the bytes of a file.
//!
//! Must not know where the file is.
//!
//! Layout: magic, SHA-256 of everything after itself, then little-endian: the key (32 bytes), the number of dimensions (u8), each
//! dimension (u64), and the values as f32.

use ltx_engine::{CacheKey, CachedTensor};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 16] = b"ltxd tensor 1\r\n\0";
const DIGEST: usize = 32;
/// The most dimensions.
const DIMENSIONS: usize = 8;

/// Bytes of a file.
pub(super) fn file_bytes(tensor: &CachedTensor) -> u64 {
    (MAGIC.len() + DIGEST + CacheKey::BYTES + 1 + tensor.shape.len() * 8) as u64 + tensor.bytes()
}

/// The file's parts, one behind the other.
pub(super) fn encode(key: &CacheKey, tensor: &CachedTensor) -> [Vec<u8>; 2] {
    let mut body = Vec::with_capacity(file_bytes(tensor) as usize);
    body.extend(key.bytes());
    body.push(tensor.shape.len() as u8);
    tensor.shape.iter().for_each(|side| body.extend((*side as u64).to_le_bytes()));
    body.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
    let mut head = MAGIC.to_vec();
    head.extend(Sha256::digest(&body));
    [head, body]
}

/// The tensor of a whole file of this key.
pub(super) fn decode(key: &CacheKey, file: &[u8]) -> Option<CachedTensor> {
    let (digest, body) = file.strip_prefix(MAGIC)?.split_at_checked(DIGEST)?;
    if digest != Sha256::digest(body).as_slice() {
        return None;
    }
    let (count, rest) = body.strip_prefix(key.bytes())?.split_first()?;
    let sides = usize::from(*count);
    if sides > DIMENSIONS {
        return None;
    }
    let (shape, values) = rest.split_at_checked(sides * 8)?;
    let side = |bytes: &[u8]| usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok();
    let shape: Vec<usize> = shape.chunks_exact(8).map(side).collect::<Option<_>>()?;
    let expected = shape.iter().try_fold(4_usize, |product, side| product.checked_mul(*side))?;
    if expected != values.len() {
        return None;
    }
    let values = values.chunks_exact(4).map(|v| f32::from_le_bytes([v[0], v[1], v[2], v[3]])).collect();
    Some(CachedTensor { shape, values })
}
