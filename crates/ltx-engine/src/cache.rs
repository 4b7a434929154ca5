//! What was computed once and is needed again, such as the context of a prompt: kept by the digest of everything that decides it.
//!
//! Must not know what is kept, or where; `ltx-jobs` gives it memory and a folder.

use std::{fmt, str::FromStr, sync::Arc};

/// SHA-256 of everything that decides a tensor. Nothing can be read out of it; whoever knows all of it can tell that it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey([u8; Self::BYTES]);

impl CacheKey {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// Of a digest.
    pub fn new(digest: [u8; Self::BYTES]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits in lower case")]
pub struct NotAKey;

impl FromStr for CacheKey {
    type Err = NotAKey;
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let digits = text.len() == 2 * Self::BYTES && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let mut key = [0; Self::BYTES];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)).filter(|_| digits) {
            let pair = std::str::from_utf8(digits).map_err(|_| NotAKey)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAKey)?;
        }
        digits.then_some(Self(key)).ok_or(NotAKey)
    }
}

/// A tensor off its device.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedTensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values, the last dimension's next to each other: as many as the product of `shape`.
    pub values: Vec<f32>,
}

impl CachedTensor {
    /// Bytes of its values.
    pub fn bytes(&self) -> u64 {
        self.values.len() as u64 * 4
    }
}

/// Keeps tensors by their keys. What comes back is bit for bit what was put there.
pub trait Cache {
    /// Whether anything is kept at all. Where nothing is, no key is computed and no value taken off the device.
    fn keeps(&self) -> bool;

    /// Whether a tensor seems to be there: damage shows only when it is taken.
    fn holds(&self, key: &CacheKey) -> bool;

    /// A tensor, if it is there and whole. Called on the thread that works.
    fn get(&self, key: &CacheKey) -> Option<Arc<CachedTensor>>;

    /// Keeps a tensor if there is room. What cannot be kept is computed again another time; the work goes on either way.
    fn put(&self, key: &CacheKey, tensor: CachedTensor);
}

/// A cache that keeps nothing.
pub struct NoCache;

impl Cache for NoCache {
    fn keeps(&self) -> bool {
        false
    }

    fn holds(&self, _: &CacheKey) -> bool {
        false
    }

    fn get(&self, _: &CacheKey) -> Option<Arc<CachedTensor>> {
        None
    }

    fn put(&self, _: &CacheKey, _: CachedTensor) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written_and_nothing_else_is_one() {
        let key = CacheKey::new(std::array::from_fn(|i| (i * 8) as u8));
        let text = key.to_string();
        assert_eq!((text.len(), text.parse()), (64, Ok(key)));
        for other in ["", &text[1..], &text.to_uppercase(), &text.replace('0', "g"), &format!("{text}0")] {
            assert_eq!(other.parse::<CacheKey>(), Err(NotAKey), "{other}");
        }
    }
}
