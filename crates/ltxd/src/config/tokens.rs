//! Who may call: names and the SHA-256 of their tokens. The tokens themselves are nowhere.
//!
//! Must not know how a token travels.

use super::{ConfigError, read_text};
use sha2::{Digest, Sha256};
use std::{collections::HashSet, path::Path};

/// The longest name of a client, in bytes.
const NAME_BYTES: usize = 64;

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) name: String,
    /// 64 hexadecimal digits, in lower case.
    pub(crate) sha256: String,
}

/// The digest that stands in a tokens file.
pub(crate) fn hash_token(token: &str) -> String {
    format!("{:x}", Sha256::digest(token.as_bytes()))
}

/// Lines `NAME:SHA256`; empty lines and lines that begin with # are left out.
pub(super) fn read(path: &Path) -> Result<Vec<Token>, ConfigError> {
    let text = read_text(path)?;
    let tokens = parse(&text).map_err(|(line, rule)| ConfigError::Token { path: path.to_owned(), line, rule })?;
    match tokens.is_empty() {
        true => Err(ConfigError::Token { path: path.to_owned(), line: 1, rule: "the file names no client" }),
        false => Ok(tokens),
    }
}

fn parse(text: &str) -> Result<Vec<Token>, (usize, &'static str)> {
    let (mut tokens, mut names, mut hashes) = (Vec::new(), HashSet::new(), HashSet::new());
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, sha256) = line.split_once(':').ok_or((number + 1, "is not NAME:SHA256"))?;
        let (name, sha256) = (name.trim(), sha256.trim().to_ascii_lowercase());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        let problem = if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(plain) {
            Some("the name is not 1 to 64 letters, digits, -, _, . or @")
        } else if sha256.len() != 64 || !sha256.chars().all(|c| c.is_ascii_hexdigit()) {
            Some("is not NAME:SHA256 with 64 hexadecimal digits; `ltxd config hash-token` makes them")
        } else if !names.insert(name.to_owned()) {
            Some("the name came before")
        } else if !hashes.insert(sha256.clone()) {
            Some("the token came before, under another name")
        } else {
            None
        };
        match problem {
            Some(rule) => return Err((number + 1, rule)),
            None => tokens.push(Token { name: name.to_owned(), sha256 }),
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hashes_are_read() {
        let hash = hash_token("secret");
        assert_eq!(hash, "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
        let tokens = parse(&format!("# clients\n\nweb:{hash}\n")).unwrap();
        assert_eq!(tokens, [Token { name: "web".into(), sha256: hash }]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_line() {
        let (one, two) = (hash_token("1"), hash_token("2"));
        for (text, line) in [
            ("web".to_owned(), 1),
            ("web:secret".to_owned(), 1),
            (format!("\n:{one}"), 2),
            (format!("a b:{one}"), 1),
            (format!("web:{one}\nweb:{two}"), 2),
            (format!("web:{one}\napp:{one}"), 2),
        ] {
            assert_eq!(parse(&text).unwrap_err().0, line, "{text}");
        }
    }
}
