//! What can be wrong with a configuration. Every message names the key or the file, and where a value came from.
//!
//! Must not know which values can be.

use std::{io, path::PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: is not TOML", path.display())]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{place}: {key}: there is no such key{}", near.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    Unknown { place: String, key: String, near: Option<String> },
    #[error("{place}: {key}: is {found}, not {expected}")]
    Kind { place: String, key: String, found: String, expected: &'static str },
    #[error("--set {0}: has no =")]
    NoValue(String),
    #[error("the environment: {0}: is not UTF-8")]
    NotUtf8(String),
    /// The place is `None` for a default.
    #[error("{}{key} = {value}: {rule}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Value { place: Option<String>, key: String, value: String, rule: String },
    #[error("{}: line {line}: {rule}", path.display())]
    Token { path: PathBuf, line: usize, rule: &'static str },
    /// A key that no default has, or a default that no key has: a fault of the build.
    #[error("the configuration does not hold together")]
    Inconsistent(#[source] Box<figment::Error>),
}
