//! What can be wrong with a configuration. Every message names the key or the file.
//!
//! Must not know where the value came from.

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
    #[error("{key} = {value}: {rule}")]
    Value { key: &'static str, value: String, rule: String },
    #[error("{}: line {line}: {rule}", path.display())]
    Token { path: PathBuf, line: usize, rule: &'static str },
    #[error("the configuration does not hold together")]
    Inconsistent(#[source] Box<toml::de::Error>),
}

impl ConfigError {
    pub(crate) fn value(key: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Value { key, value: value.to_string(), rule: rule.into() }
    }
}
