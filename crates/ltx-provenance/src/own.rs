//! A certificate of one's own: made once by an authority of one's own, kept, and made anew before its time is over.
//!
//! Must not know how it signs. Nobody vouches for it but whoever runs the node: readers call it untrusted until they are given its
//! authority's certificate.

use crate::KeyError;
use ltx_files::{Durable, PartialFile};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use x509_parser::{pem::Pem, prelude::*};

/// How long a signer's certificate lives; its authority lives longer.
const LIFE: Duration = Duration::from_secs(3 * 365 * 86_400);
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// It is made anew when less than this is left of its time.
const RENEWED_BEFORE: Duration = Duration::from_secs(180 * 86_400);
/// Clocks that are behind take it as well.
const BACKDATED: Duration = Duration::from_secs(86_400);

/// Where they lie in their folder.
#[derive(Debug)]
pub(crate) struct Own {
    /// The signer's own certificate and its authority's, PEM.
    pub(crate) certificate: PathBuf,
    /// The signer's key.
    pub(crate) key: PathBuf,
    /// The authority's certificate, PEM: what readers are to trust.
    pub(crate) authority: PathBuf,
    authority_key: PathBuf,
}

impl Own {
    /// Those of a folder; what is missing there, or nearly over, is made. A certificate that takes another's place leaves it beside
    /// itself, under its digest.
    ///
    /// # Errors
    /// `Own`: the folder refuses, or holds something else.
    pub(crate) fn in_folder(folder: &Path, name: &str) -> Result<Self, KeyError> {
        let own = Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            authority: folder.join("authority.pem"),
            authority_key: folder.join("authority-key.pem"),
        };
        let failed = |source| KeyError::Own { folder: folder.to_owned(), source };
        own.make(folder, name).map_err(failed)?;
        Ok(own)
    }

    fn make(&self, folder: &Path, name: &str) -> io::Result<()> {
        let fresh = |path: &Path| left(path).is_some_and(|left| left > RENEWED_BEFORE);
        let is_there = || fresh(&self.certificate) && self.key.exists();
        if is_there() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        // Two that start at once make one pair. Given back when the file is closed.
        let lock = File::options().create(true).append(true).open(folder.join("lock"))?;
        lock.lock()?;
        if is_there() {
            return Ok(());
        }
        if !fresh(&self.authority) || !self.authority_key.exists() {
            self.retire(&self.authority)?;
            let key = new_key()?;
            let params = authority_params(&format!("{name} authority"))?;
            let certificate = params.self_signed(&key).map_err(io::Error::other)?;
            // The key first: a certificate without its key would never be made anew.
            write(&self.authority_key, key.serialize_pem().as_bytes(), 0o600)?;
            write(&self.authority, certificate.pem().as_bytes(), 0o644)?;
        }
        let authority = fs::read_to_string(&self.authority)?;
        let authority_key = KeyPair::from_pem(&fs::read_to_string(&self.authority_key)?).map_err(io::Error::other)?;
        // Its name is read, as it may have been made under another one.
        let issuer = Issuer::new(authority_params(&common_name(&authority)?)?, authority_key);
        let (key, mut params) = (new_key()?, params(name, LIFE)?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
        self.retire(&self.certificate)?;
        write(&self.key, key.serialize_pem().as_bytes(), 0o600)?;
        write(&self.certificate, format!("{}{authority}", certificate.pem()).as_bytes(), 0o644)
    }

    /// Keeps a certificate under its digest, before another takes its name.
    fn retire(&self, certificate: &Path) -> io::Result<()> {
        let Ok(pem) = fs::read(certificate) else { return Ok(()) };
        let digest = format!("{:x}", Sha256::digest(&pem));
        let stem = certificate.file_stem().unwrap_or_default().to_string_lossy();
        write(&certificate.with_file_name(format!("{stem}-{}.pem", &digest[..16])), &pem, 0o644)
    }
}

/// How long the first certificate of a file has left; `None` where it has no time left, or there is none.
fn left(path: &Path) -> Option<Duration> {
    let bytes = fs::read(path).ok()?;
    let pem = Pem::iter_from_buffer(&bytes).next()?.ok()?;
    let (_, read) = X509Certificate::from_der(&pem.contents).ok()?;
    Duration::try_from(read.validity().time_to_expiration()?).ok()
}

fn new_key() -> io::Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)
}

fn authority_params(name: &str) -> io::Result<CertificateParams> {
    let mut params = params(name, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(pem: &str) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "authority.pem holds no certificate of ltxd's");
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next().and_then(Result::ok).ok_or_else(invalid)?;
    let (_, read) = X509Certificate::from_der(&pem.contents).map_err(|_| invalid())?;
    let name = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned);
    name.ok_or_else(invalid)
}

fn params(name: &str, life: Duration) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "self-made by ltxd");
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + life).into();
    params.serial_number = Some(SerialNumber::from(serial(name, now)));
    Ok(params)
}

/// A positive number that no other certificate of this authority has.
fn serial(name: &str, now: SystemTime) -> Vec<u8> {
    let mut digest = Sha256::digest(format!("{name} {now:?}"))[..16].to_vec();
    digest[0] &= 0x7f;
    digest
}

/// Writes a file whole, with permissions from its first byte on.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let partial = PartialFile::beside(path)?;
    let mut file = partial.file();
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    partial.publish(Durable::Name)
}
