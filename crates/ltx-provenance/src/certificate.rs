//! What a certificate says of whose it is, until when, and what for.
//!
//! Must not know keys, nor the configuration.

use ltx_types::UnixMillis;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates with one of these purposes may sign content: e-mail protection, documents, C2PA claims.
pub(crate) const PURPOSES: [(&str, &str); 3] = [
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.36", "documentSigning"),
    ("1.3.6.1.4.1.62558.2.1", "c2pa-kp-claimSigning"),
];

/// A signer's certificate, as people and logs are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// The end of its time, as in `2028-11-30`.
    pub until: String,
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
}

impl Certificate {
    /// From DER; `None` where it is none.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            until: date(read.validity().not_after.timestamp()),
            sha256: format!("{:x}", Sha256::digest(der)),
        })
    }
}

/// The day of so many seconds since 1970, in UTC.
pub(crate) fn date(seconds: i64) -> String {
    let moment = UnixMillis(seconds.saturating_mul(1000)).to_string();
    moment.split('T').next().unwrap_or_default().to_owned()
}
