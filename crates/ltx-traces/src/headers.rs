//! What a collector is sent beside spans: headers of a file, such as a key by which it knows its customer.
//!
//! Must not know what they say, nor tell it to anybody else.

use ltx_types::FieldError;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The most bytes of such a file.
const FILE_BYTES: u64 = 64 << 10;

/// The headers of a file: lines `name: value`; empty ones and those that begin with # say nothing.
///
/// # Errors
/// It cannot be read, or has a line that is no header; what that says is not shown.
pub(crate) fn of(file: &Path) -> Result<HashMap<String, String>, FieldError> {
    let refused = |rule: String| FieldError::new("traces.headers_file", file.display(), rule);
    let text = text_of(file).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let mut headers = HashMap::new();
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()));
        let Some((name, value)) = header.filter(|(name, value)| is_header(name, value)) else {
            return Err(refused(format!("has a line {at} that is no header, NAME: VALUE")));
        };
        if headers.insert(name.clone(), value.to_owned()).is_some() {
            return Err(refused(format!("says {name} twice, again in line {at}")));
        }
    }
    Ok(headers)
}

/// Whether a header may be called so and say that.
pub(crate) fn is_header(name: &str, value: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let visible = |byte: u8| byte == b' ' || byte == b'\t' || byte.is_ascii_graphic();
    !name.is_empty() && name.bytes().all(legal) && value.bytes().all(visible)
}

fn text_of(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("it is over {FILE_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<String, String>, FieldError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, text).unwrap();
        of(&file)
    }

    #[test]
    fn lines_are_headers_and_a_wrong_one_is_said_by_its_number_alone() {
        let headers = read("# a key\n\nX-Api-Key: a:b c\nauthorization: Basic eA==\n").unwrap();
        assert_eq!((headers["x-api-key"].as_str(), headers["authorization"].as_str()), ("a:b c", "Basic eA=="));
        for wrong in ["secret", ": secret", "a b: secret", "a: secret\u{7f}", "a: secret\nA: secret"] {
            let refused = read(wrong).unwrap_err();
            assert_eq!(refused.field, "traces.headers_file");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        assert!(of(Path::new("/nonexistent")).is_err() && read(&"#".repeat(70_000)).is_err());
    }
}
