//! The certificate and its key: whether they can be read, belong together, hold now, and are kept from others.
//!
//! Must not know who trusts the certificate.

use super::{
    Findings,
    files::{Others, others},
};
use crate::config::NodeConfig;
use rustls::{
    Error,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{fs, path::Path};
use x509_parser::{parse_x509_certificate, time::ASN1Time};

/// How long before its end a certificate is to be renewed, in days.
const RENEW: i64 = 14;
const DAY: i64 = 86_400;

pub(super) fn look(findings: &mut Findings<'_>, config: &NodeConfig) {
    let Some(tls) = &config.server.listen.tls else { return };
    let (cert, key) = (tls.certificate.display(), tls.key.display());
    let before = findings.all.len();
    let chain = read(findings, &tls.certificate, |pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        chain.ok().filter(|chain| !chain.is_empty())
    });
    let private = read(findings, &tls.key, |pem| PrivateKeyDer::from_pem_slice(pem).ok());
    if matches!(others(&tls.key), Ok(Others::Read | Others::Write)) {
        findings.error(format!("tls.key = {key}: anybody here may read it"), format!("chmod o-rwx {key}"));
    }
    let Some(chain) = chain else { return };
    holds_now(findings, &tls.certificate, &chain[0]);
    if let Some(private) = private {
        match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
            Ok(_) => {}
            Err(error @ Error::InconsistentKeys(_)) => {
                let what = format!("tls.key = {key}: is not the key of {cert}: {error}");
                findings.error(
                    what,
                    "set both to files that were made together; the certificate stands first in its file, its chain behind it",
                );
            }
            Err(error) => {
                findings.error(
                    format!("{cert} and {key}: cannot be served: {error}"),
                    "have them made anew, as X.509 version 3",
                );
            }
        }
    }
    if findings.all.len() == before {
        findings.fine(format!("{cert} and its key"));
    }
}

/// What is in a PEM file; a finding where it is not.
fn read<T>(findings: &mut Findings<'_>, file: &Path, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let shown = file.display();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings
                .error(format!("{shown}: cannot be read: {error}"), "put it there, and let the node's user read it");
            return None;
        }
    };
    let parsed = parse(&bytes);
    if parsed.is_none() {
        let remedy =
            "it has to be PEM: -----BEGIN CERTIFICATE----- for tls.cert, -----BEGIN PRIVATE KEY----- for tls.key";
        findings.error(format!("{shown}: holds no such thing"), remedy);
    }
    parsed
}

fn holds_now(findings: &mut Findings<'_>, file: &Path, certificate: &CertificateDer<'_>) {
    let shown = file.display();
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        findings.error(format!("{shown}: is no X.509 certificate"), "have it made anew");
        return;
    };
    let (now, validity) = (ASN1Time::now().timestamp(), parsed.validity());
    let (from, until) = (validity.not_before, validity.not_after);
    if now < from.timestamp() {
        findings
            .error(format!("{shown}: holds only from {from} on"), "set the clock, or have the certificate made anew");
    } else if now > until.timestamp() {
        findings.error(
            format!("{shown}: has expired, on {until}"),
            "renew it, and start the node again: it reads its certificate once",
        );
    } else if now > until.timestamp() - RENEW * DAY {
        findings.warn(
            format!("{shown}: expires on {until}"),
            "renew it, and start the node again: it reads its certificate once",
        );
    }
}
