//! What a certificate says of whose it is, until when, and what for.
//!
//! Must not know keys, nor the configuration.

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
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            until: date(read.validity().not_after.timestamp()),
            sha256: format!("{:x}", Sha256::digest(der)),
        })
    }
}

/// A day of the proleptic Gregorian calendar, of seconds since 1970.
pub(crate) fn date(seconds: i64) -> String {
    // Days to a date, counted in eras of 400 years from 0000-03-01.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_the_calendars() {
        let cases = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_796_083_199, "2026-11-30"), (-1, "1969-12-31")];
        for (seconds, expected) in cases {
            assert_eq!(date(seconds), expected);
        }
    }
}
