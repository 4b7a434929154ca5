//! A kept tensor as the bytes of a file.
//!
//! Must not know where the file is.
//!
//! Layout: the frame of a [whole](crate::whole) file, then the key (32 bytes), the number of dimensions (u8), each dimension (u64), and
//! the values.

use crate::whole::{self, FRAME, Magic};
use ltx_engine::{CacheKey, CachedTensor};

const MAGIC: &Magic = b"ltxd tensor 1\r\n\0";
/// The most dimensions.
const DIMENSIONS: usize = 8;

/// Bytes of a file.
pub(super) fn file_bytes(tensor: &CachedTensor) -> u64 {
    (FRAME + CacheKey::BYTES + 1 + tensor.shape.len() * 8) as u64 + tensor.bytes()
}

/// The file's parts, one behind the other.
pub(super) fn encode(key: &CacheKey, tensor: &CachedTensor) -> impl Iterator<Item = Vec<u8>> {
    let mut head = key.bytes().to_vec();
    head.push(tensor.shape.len() as u8);
    tensor.shape.iter().for_each(|side| head.extend((*side as u64).to_le_bytes()));
    whole::framed(MAGIC, &head, &tensor.values)
}

/// The tensor of a whole file of this key.
pub(super) fn decode(key: &CacheKey, file: &[u8]) -> Option<CachedTensor> {
    let (count, rest) = whole::body(MAGIC, file)?.strip_prefix(key.bytes())?.split_first()?;
    let sides = usize::from(*count);
    if sides > DIMENSIONS {
        return None;
    }
    let (shape, values) = rest.split_at_checked(sides * 8)?;
    let shape = whole::numbers(shape)?;
    let values = whole::values(&shape, values)?;
    Some(CachedTensor { shape, values })
}
