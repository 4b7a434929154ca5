//! Identities: of generations and uploads (made here) and of clients (given by whoever checks tokens).
//!
//! Must not know the database. Identities are unique, not secret: every question also names the client.

use ltx_types::FieldError;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

/// A UUID, version 7 (RFC 9562): milliseconds first, the rest at random.
fn uuid_v7() -> u128 {
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    // Each `RandomState` hashes with keys of its own, drawn from the system's randomness.
    let random = || u128::from(RandomState::new().hash_one(milliseconds));
    let random = random() << 64 | random();
    let (version, variant) = (7 << 76, 0b10 << 62);
    let (random_a, random_b) = (random & (0xfff << 64), random & ((1 << 62) - 1));
    (milliseconds & 0xffff_ffff_ffff) << 80 | version | random_a | variant | random_b
}

fn write_uuid(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hex = format!("{value:032x}");
    write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn parse_uuid(field: &'static str, text: &str) -> Result<u128, FieldError> {
    let dashes = text.len() == 36 && [8, 13, 18, 23].iter().all(|&at| text.as_bytes()[at] == b'-');
    let digits = text.bytes().filter(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
    let value = u128::from_str_radix(&text.replace('-', ""), 16).ok().filter(|_| dashes && digits == 32);
    value.ok_or_else(|| FieldError::new(field, text.chars().take(60).collect::<String>(), "is not an id of this node"))
}

macro_rules! id {
    ($name:ident, $field:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u128);

        impl $name {
            pub(crate) fn new() -> Self {
                Self(uuid_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                parse_uuid($field, text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = FieldError;
            fn try_from(text: String) -> Result<Self, FieldError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id!(GenerationId, "generation", "Names one generation: a UUIDv7 in lower case.");
id!(UploadId, "upload", "Names one uploaded image: a UUIDv7 in lower case.");

/// Names a client. Whoever checks tokens makes it; a generation is visible to its own client alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(std::sync::Arc<str>);

impl ClientId {
    /// # Errors
    /// Empty, over 128 bytes, or with control characters.
    pub fn new(name: impl AsRef<str>) -> Result<Self, FieldError> {
        let name = name.as_ref();
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(FieldError::new("client", shown, "is empty, over 128 bytes, or holds control characters"));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientId {
    type Error = FieldError;
    fn try_from(name: String) -> Result<Self, FieldError> {
        Self::new(name)
    }
}

impl From<ClientId> for String {
    fn from(client: ClientId) -> String {
        client.0.as_ref().to_owned()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_seven_and_parse_back() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| GenerationId::new()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            let text = id.to_string();
            assert_eq!(&text[14..15], "7", "{text}");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn nothing_else_parses() {
        let id = GenerationId::new().to_string();
        for text in ["", "../../etc/passwd", &id.to_uppercase(), &id[1..], &format!("{id}0"), &"é".repeat(18)] {
            assert!(text.parse::<GenerationId>().is_err(), "{text}");
        }
    }
}
