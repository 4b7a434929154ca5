//! Identities: of generations and uploads (made here) and of clients (given by whoever checks tokens).
//!
//! Must not know the database. Identities are unique, not secret: every question also names the client.

use ltx_types::FieldError;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Reads an id as it is written here: hyphenated, in lower case.
fn parsed(field: &'static str, text: &str) -> Result<Uuid, FieldError> {
    let is_written_so = |id: &Uuid| id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
    let id = Uuid::try_parse(text).ok().filter(is_written_so);
    id.ok_or_else(|| FieldError::new(field, text.chars().take(60).collect::<String>(), "is not an id of this node"))
}

macro_rules! id {
    ($name:ident, $field:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            pub(crate) fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                parsed($field, text).map(Self)
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
