//! A certificate and its key as files that were given: read, and held to what C2PA asks of them.
//!
//! Must not know how they sign.

use crate::{
    KeyError,
    certificate::{PURPOSES, date},
};
use c2pa::SigningAlg;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use x509_parser::{pem::Pem, prelude::*};

/// The most bytes of a file of certificates or of a key.
const FILE_BYTES: u64 = 1 << 20;
/// The configuration's keys.
pub(crate) const CERTIFICATE: &str = "provenance.certificate";
pub(crate) const KEY: &str = "provenance.key";

/// A pair that may sign.
#[derive(Debug)]
pub(crate) struct Pair {
    /// PEM, the signer's own first.
    pub(crate) chain: Vec<u8>,
    /// PEM, PKCS#8.
    pub(crate) key: Vec<u8>,
    pub(crate) algorithm: SigningAlg,
    /// DER of every certificate.
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Pair {
    /// Reads both files and checks each by itself; whether they belong together a trial says.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, KeyError> {
        let (chain, _) = read(CERTIFICATE, certificate)?;
        let (secret, mode) = read(KEY, key)?;
        let form = |key, path: &Path, rule: &str| KeyError::Form { key, path: path.to_owned(), rule: rule.to_owned() };
        let mut certificates = Vec::new();
        for pem in Pem::iter_from_buffer(&chain) {
            let pem = pem.map_err(|_| form(CERTIFICATE, certificate, "is no PEM"))?;
            if pem.label == "CERTIFICATE" {
                certificates.push(pem.contents);
            }
        }
        let first =
            certificates.first().ok_or_else(|| form(CERTIFICATE, certificate, "holds no certificate in PEM"))?;
        let algorithm = check(first, certificate)?;
        if mode & 0o077 != 0 {
            return Err(KeyError::Permissions { key: KEY, path: key.to_owned(), mode });
        }
        let labels: Vec<_> = Pem::iter_from_buffer(&secret).filter_map(Result::ok).map(|pem| pem.label).collect();
        match labels.iter().find(|label| label.ends_with("PRIVATE KEY")).map(String::as_str) {
            Some("PRIVATE KEY") => {}
            Some("ENCRYPTED PRIVATE KEY") => {
                return Err(form(KEY, key, "is encrypted; it must be PKCS#8 without a passphrase"));
            }
            Some(_) => return Err(form(KEY, key, "is not PKCS#8; convert it with openssl pkcs8 -topk8 -nocrypt")),
            None => return Err(form(KEY, key, "holds no private key in PEM")),
        }
        Ok(Self { chain, key: secret, algorithm, certificates })
    }
}

/// A file's bytes and permissions, if it is not too long.
fn read(key: &'static str, path: &Path) -> Result<(Vec<u8>, u32), KeyError> {
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        let mut bytes = Vec::new();
        if file.take(FILE_BYTES + 1).read_to_end(&mut bytes)? as u64 > FILE_BYTES {
            return Err(io::Error::other(format!("it is over {FILE_BYTES} bytes")));
        }
        Ok((bytes, mode))
    };
    read().map_err(|source| KeyError::Unreadable { key, path: path.to_owned(), source })
}

/// Holds a signer's certificate to the profile, and says how its key signs.
fn check(der: &[u8], path: &Path) -> Result<SigningAlg, KeyError> {
    let (key, path) = (CERTIFICATE, path.to_owned());
    let Ok((_, read)) = X509Certificate::from_der(der) else {
        return Err(KeyError::Form { key, path, rule: "holds no X.509 certificate".to_owned() });
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let (from, until) = (read.validity().not_before.timestamp(), read.validity().not_after.timestamp());
    if now > until {
        return Err(KeyError::Expired { key, path, until: date(until) });
    }
    if now < from {
        return Err(KeyError::NotYet { key, path, from: date(from) });
    }
    let purpose = |found: String| KeyError::Purpose { key, path: path.clone(), found };
    if read.is_ca() {
        return Err(purpose("it is an authority's own; sign with one that the authority has issued".to_owned()));
    }
    if read.key_usage().ok().flatten().is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(purpose("its key usage leaves digitalSignature out".to_owned()));
    }
    let wanted = || PURPOSES.map(|(_, name)| name).join(", ");
    let Some(usage) = read.extended_key_usage().ok().flatten().map(|usage| usage.value) else {
        return Err(purpose(format!("it has no extended key usage; it must have one of {}", wanted())));
    };
    let others: Vec<_> = usage.other.iter().map(|oid| oid.to_id_string()).collect();
    let named = [
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
        (usage.any, "anyExtendedKeyUsage"),
    ];
    let found: Vec<_> =
        named.iter().filter(|(there, _)| *there).map(|(_, name)| (*name).to_owned()).chain(others).collect();
    let may = usage.email_protection || found.iter().any(|oid| PURPOSES.iter().any(|(known, _)| known == oid));
    if !may || usage.any || usage.time_stamping || usage.ocsp_signing {
        return Err(purpose(format!("its extended key usage is {}; it must be one of {}", found.join(", "), wanted())));
    }
    if read.subject().iter_organization().all(|name| name.as_str().is_err()) {
        let rule = "its subject names no organization (O), without which readers do not take a signature".to_owned();
        return Err(KeyError::Form { key, path, rule });
    }
    let spki = &read.public_key().algorithm;
    let curve = spki.parameters.as_ref().and_then(|curve| curve.as_oid().ok()).map(|oid| oid.to_id_string());
    match (spki.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("1.3.101.112", _) => Ok(SigningAlg::Ed25519),
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Ok(SigningAlg::Es256),
        _ => {
            let rule = "its key is neither on the curve P-256 (ES256) nor Ed25519 (EdDSA), which are what signs here"
                .to_owned();
            Err(KeyError::Form { key, path, rule })
        }
    }
}
