//! What an operator decides about content credentials. Fields are read from the keys of node.toml that are theirs.
//!
//! Must not know where keys come from, nor defaults: those are ltxd's defaults.toml.

use ltx_types::FieldError;
use serde::{Deserialize, Deserializer, de::Error};
use std::path::PathBuf;

/// Whether outputs are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every output is; one that cannot be signed is not made.
    Required,
    /// None is: outputs carry the mark alone.
    Off,
}

/// The section `provenance` before its values are held against each other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenanceSettings {
    /// Whether outputs are signed.
    #[serde(deserialize_with = "mode")]
    pub mode: Mode,
    /// The certificate and those that vouch for it, PEM, the signer's own first; empty for one that is made.
    pub certificate: PathBuf,
    /// Its private key, PEM, PKCS#8; empty with `certificate`.
    pub key: PathBuf,
    /// Where a certificate that is made is kept; empty leaves that to the command.
    #[serde(rename = "dir")]
    pub folder: PathBuf,
    /// An RFC 3161 time-stamp authority; empty for none.
    pub timestamp_url: String,
}

impl ProvenanceSettings {
    /// Checks what depends on more than one value.
    ///
    /// # Errors
    /// The first value that cannot be, by its key.
    pub fn validate(&self) -> Result<(), FieldError> {
        let Self { certificate, key, timestamp_url, .. } = self;
        match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
            (false, true) => {
                let rule = "has no provenance.key beside it";
                return Err(FieldError::new("provenance.certificate", certificate.display(), rule));
            }
            (true, false) => {
                let rule = "has no provenance.certificate beside it";
                return Err(FieldError::new("provenance.key", key.display(), rule));
            }
            _ => {}
        }
        if !timestamp_url.is_empty() && !["http://", "https://"].iter().any(|begin| timestamp_url.starts_with(begin)) {
            let rule = "is no address that begins with http:// or https://";
            return Err(FieldError::new("provenance.timestamp_url", timestamp_url, rule));
        }
        Ok(())
    }

    /// Whether the pair is given, rather than made.
    pub fn is_given(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "required" => Ok(Mode::Required),
        "off" => Ok(Mode::Off),
        _ => Err(D::Error::custom("is neither required nor off")),
    }
}
