//! Bearer tokens: which client one belongs to. The node keeps their hashes only.
//!
//! Must not know requests.

use ltx_jobs::ClientId;
use ltx_types::FieldError;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token as a client sends it.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    fn matches(&self, other: &Self) -> bool {
        std::hint::black_box(self.0.iter().zip(&other.0).fold(0, |differing, (a, b)| differing | (a ^ b))) == 0
    }
}

impl FromStr for TokenHash {
    type Err = FieldError;

    /// From 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let byte = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes: Option<Vec<u8>> = (0..32).map(|i| byte(2 * i)).collect();
        let bytes = bytes.filter(|_| digits).and_then(|bytes| bytes.try_into().ok());
        // The text may be the token itself by mistake, so it is not repeated.
        let error = || FieldError::new("token", "a hash", "is not 64 hexadecimal digits (the SHA-256 of the token)");
        bytes.map(Self).ok_or_else(error)
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// One client's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The client it belongs to. Several tokens may name the same one.
    pub client: ClientId,
    /// Its hash.
    pub hash: TokenHash,
}

/// The client a token belongs to. Every known token is looked at, whichever matches.
pub(crate) fn client_of<'a>(tokens: &'a [Token], given: &str) -> Option<&'a ClientId> {
    let given = TokenHash::of(given);
    tokens.iter().fold(None, |found, token| if token.hash.matches(&given) { Some(&token.client) } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let client = |name| ClientId::new(name).unwrap();
        let token = |name, text| Token { client: client(name), hash: TokenHash::of(text) };
        let tokens = [token("a", "one"), token("b", "two"), token("a", "three")];
        assert_eq!(client_of(&tokens, "two"), Some(&client("b")));
        assert_eq!(client_of(&tokens, "three"), Some(&client("a")));
        assert_eq!(client_of(&tokens, "One"), None);
        assert_eq!(client_of(&[], ""), None);
    }

    #[test]
    fn hashes_are_read_and_never_shown_in_errors() {
        let hash = TokenHash::of("one");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("my secret token".parse::<TokenHash>().is_err_and(|error| !error.to_string().contains("secret")));
        assert!("é".repeat(32).parse::<TokenHash>().is_err());
    }
}
