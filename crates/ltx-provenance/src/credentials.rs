//! What signs: a certificate, its key, and the time-stamp authority that is asked, tried before the first output.
//!
//! Must not know outputs.

use crate::{
    Certificate, KeyError, ProvenanceSettings,
    given::{self, Pair},
    own::Own,
    signing,
};
use c2pa::{
    Context, Settings, Signer, SigningAlg,
    crypto::raw_signature::{RawSigner, signer_from_cert_chain_and_private_key, validator_for_signing_alg},
};
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Bytes that a time-stamp may take.
const TIMESTAMP_BYTES: usize = 16 << 10;

/// Asks an RFC 3161 time-stamp authority.
pub trait TimeAuthority: Send + Sync {
    /// Sends a request, `application/timestamp-query`, and returns the reply's body, `application/timestamp-reply`.
    ///
    /// # Errors
    /// Nobody answers, or with something else.
    fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;
}

/// A certificate and its key that have made a signature which holds.
#[derive(Clone)]
pub struct Credentials {
    signer: Arc<dyn RawSigner + Send + Sync>,
    time_authority: Option<Arc<dyn TimeAuthority>>,
    certificate: Certificate,
    /// The certificate that readers of what it signs are to trust, where it is one's own.
    authority: Option<PathBuf>,
}

impl Credentials {
    /// Opens the pair that is given, or makes one in `folder` under a name; then signs and reads a picture with it, to try.
    ///
    /// # Errors
    /// [`KeyError`], which names the key of the configuration.
    pub fn open(
        settings: &ProvenanceSettings,
        (folder, name): (&Path, &str),
        time_authority: Option<Arc<dyn TimeAuthority>>,
    ) -> Result<Self, KeyError> {
        let own = if settings.is_given() { None } else { Some(Own::in_folder(folder, name)?) };
        let (certificate, key) = match &own {
            Some(own) => (&own.certificate, &own.key),
            None => (&settings.certificate, &settings.key),
        };
        let pair = Pair::read(certificate, key)?;
        let form = |rule: String| KeyError::Form { key: given::KEY, path: key.clone(), rule };
        let signer = signer_from_cert_chain_and_private_key(&pair.chain, &pair.key, pair.algorithm, None);
        let signer = signer.map_err(|error| form(format!("cannot be used: {error}")))?;
        let told = pair.certificates.first().and_then(|der| Certificate::of(der)).ok_or_else(|| KeyError::Form {
            key: given::CERTIFICATE,
            path: certificate.clone(),
            rule: "holds no X.509 certificate".to_owned(),
        })?;
        if !is_of(&*signer, &pair) {
            return Err(KeyError::Mismatch { key: given::KEY, path: key.clone(), certificate: certificate.clone() });
        }
        let authority = own.as_ref().map(|own| own.authority.clone());
        let tried = Self { signer: Arc::from(signer), time_authority: None, certificate: told, authority };
        signing::trial(&tried).map_err(|found| KeyError::Trial {
            key: given::CERTIFICATE,
            path: certificate.clone(),
            found,
        })?;
        Ok(Self { time_authority, ..tried })
    }

    /// The signer's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The file of the certificate that readers are to trust, where it is one's own: nobody else vouches for it.
    pub fn own_authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// What the C2PA library signs by.
    pub(crate) fn context(&self) -> c2pa::Result<Context> {
        Ok(Context::new().with_settings(settings()?)?.with_signer(Signing(self.clone())))
    }
}

/// Whether a key is the certificate's.
fn is_of(signer: &(dyn RawSigner + Send + Sync), pair: &Pair) -> bool {
    let message = b"ltxd";
    let first = pair.certificates.first().and_then(|der| X509Certificate::from_der(der).ok());
    let held = first.zip(signer.sign(message).ok()).zip(validator_for_signing_alg(pair.algorithm));
    held.is_some_and(|(((_, first), signature), validator)| {
        validator.validate(&signature, message, first.public_key().raw).is_ok()
    })
}

/// The library's settings: no thumbnails, nothing from the network.
pub(crate) fn settings() -> c2pa::Result<Settings> {
    Settings::new().with_json(
        r#"{
            "builder": { "thumbnail": { "enabled": false }, "generate_c2pa_archive": false },
            "verify": { "ocsp_fetch": false, "remote_manifest_fetch": false, "verify_after_sign": false }
        }"#,
    )
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// As the library sees them.
struct Signing(Credentials);

impl Signer for Signing {
    fn sign(&self, data: &[u8]) -> c2pa::Result<Vec<u8>> {
        Ok(self.0.signer.sign(data)?)
    }

    fn alg(&self) -> SigningAlg {
        self.0.signer.alg()
    }

    fn certs(&self) -> c2pa::Result<Vec<Vec<u8>>> {
        Ok(self.0.signer.cert_chain()?)
    }

    fn reserve_size(&self) -> usize {
        self.0.signer.reserve_size() + self.0.time_authority.as_ref().map_or(0, |_| TIMESTAMP_BYTES)
    }

    fn send_timestamp_request(&self, message: &[u8]) -> Option<c2pa::Result<Vec<u8>>> {
        let authority = self.0.time_authority.as_ref()?;
        let query = self.timestamp_request_body(message);
        Some(query.and_then(|query| authority.ask(&query).map_err(c2pa::Error::OtherError)))
    }
}
