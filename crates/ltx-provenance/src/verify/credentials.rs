//! The credentials in a file, as the C2PA library reads and checks them.
//!
//! Must not know what of the file they leave out, nor pictures.

use super::{Against, Found, Signer, Trust};
use crate::{Certificate, credentials, usage::USAGE_LABEL};
use c2pa::{Context, Reader, validation_status as code};
use serde_json::{Value, json};
use std::io::{self, Read, Seek};
use x509_parser::pem::Pem;

/// The most bytes of credentials that are looked at.
const BYTES: u64 = 64 << 20;
/// How codes of C2PA begin that tell of the signer's certificate, not of what it signed.
const OF_SIGNER: &str = "signingCredential.";

/// What was read.
pub(super) enum Credentials {
    /// There are none.
    None,
    /// There are some, and they cannot be read.
    Damaged(String),
    Read(Box<Claimed>),
}

/// Credentials that can be read.
pub(super) struct Claimed {
    pub(super) signer: Option<Signer>,
    /// The usage assertion's data.
    pub(super) usage: Option<Value>,
    /// Whether the program that signed calls itself ltxd.
    pub(super) of_ltxd: bool,
    /// What does not hold of what was signed.
    pub(super) faults: Vec<Found>,
    /// What does not hold of the signer's certificate, but for that nobody vouches for it.
    pub(super) notes: Vec<Found>,
}

/// # Errors
/// Credentials of so many bytes are more than are looked at.
pub(super) fn bounded(bytes: u64) -> io::Result<()> {
    if bytes > BYTES {
        let rule = format!("its credentials take {bytes} bytes; at most {BYTES} are looked at");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, rule));
    }
    Ok(())
}

/// Reads and checks the credentials of a file.
pub(super) fn read<R: Read + Seek + Send>(format: &str, mut file: R, against: &Against) -> Credentials {
    let all: String = against.roots.iter().map(|(_, pem)| pem.as_str()).collect::<Vec<_>>().join("\n");
    let reader = match open(format, &mut file, &all) {
        Ok(reader) => reader,
        Err(c2pa::Error::JumbfNotFound | c2pa::Error::ProvenanceMissing | c2pa::Error::RemoteManifestUrl(_)) => {
            return Credentials::None;
        }
        Err(error) => return Credentials::Damaged(ltx_types::sentence(&error)),
    };
    let Some(manifest) = reader.active_manifest() else {
        return Credentials::Damaged("there is no manifest in it".to_owned());
    };
    let status = |found: &c2pa::validation_status::ValidationStatus| {
        Found::new(found.code(), found.explanation().unwrap_or_else(|| found.code()))
    };
    let results = reader.validation_results().and_then(|results| results.active_manifest());
    let failures: Vec<_> = reader.validation_status().unwrap_or_default().iter().map(status).collect();
    let (mut notes, mut faults): (Vec<_>, Vec<_>) =
        failures.into_iter().partition(|found| found.code.starts_with(OF_SIGNER));
    let untrusted = !notes.is_empty();
    notes.retain(|found| found.code != code::SIGNING_CREDENTIAL_UNTRUSTED);
    let validated = |codes: &[c2pa::validation_status::ValidationStatus]| {
        codes.iter().any(|found| found.code() == code::CLAIM_SIGNATURE_VALIDATED)
    };
    if !results.is_some_and(|results| validated(results.success())) {
        faults.push(Found::new("ltxd.signature.unvalidated", "its signature was not found to hold"));
    }
    // A time-stamp that does not fit is told as information alone.
    let told =
        results.map(|results| results.informational().iter().map(status).collect::<Vec<_>>()).unwrap_or_default();
    let of_time = ["timeStamp.mismatch", "timeStamp.malformed", "timeStamp.outsideValidity"];
    faults.extend(told.into_iter().filter(|found| of_time.contains(&found.code.as_str())));
    let signer = manifest.signature_info().and_then(|info| {
        let pem = Pem::iter_from_buffer(info.cert_chain().as_bytes()).next()?.ok()?;
        let Certificate { subject, issuer, until, sha256 } = Certificate::of(&pem.contents)?;
        let mut vouches = |pem: &str| {
            file.rewind().is_ok()
                && open(format, &mut file, pem).is_ok_and(|reader| {
                    let status = reader.validation_status().unwrap_or_default();
                    status.iter().all(|found| found.code() != code::SIGNING_CREDENTIAL_UNTRUSTED)
                })
        };
        let trust = match against.roots.as_slice() {
            [] => None,
            _ if untrusted => None,
            [(only, _)] => Some(only.clone()),
            roots => roots.iter().find(|(_, pem)| vouches(pem)).map(|(file, _)| file.clone()),
        };
        let trust = trust.map_or(Trust::ByNone, Trust::By);
        Some(Signer { subject, issuer, until, certificate_sha256: sha256, time: info.time.clone(), trust })
    });
    let usage = manifest.find_assertion::<Value>(USAGE_LABEL).ok();
    let of_ltxd = manifest
        .claim_generator_info
        .as_ref()
        .is_some_and(|all| all.iter().any(|info| info.name == crate::claim::GENERATOR));
    Credentials::Read(Box::new(Claimed { signer, usage, of_ltxd, faults, notes }))
}

fn open<R: Read + Seek + Send>(format: &str, file: &mut R, roots: &str) -> c2pa::Result<Reader> {
    let trust = json!({ "trust": { "user_anchors": roots }, "verify": { "verify_trust": true } });
    let settings = credentials::settings()?;
    let settings = if roots.is_empty() { settings } else { settings.with_json(&trust.to_string())? };
    Reader::from_context(Context::new().with_settings(settings)?).with_stream(format, file)
}
