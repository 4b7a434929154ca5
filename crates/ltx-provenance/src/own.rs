//! A certificate of one's own: made once by an authority of one's own, kept, and made anew before its time is over.
//!
//! Must not know how it signs. Nobody vouches for it but whoever runs the node: readers call it untrusted until they are given its
//! authority's certificate.

use crate::KeyError;
use ltx_files::sync_folder;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
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
    /// Those of a folder; what is missing there, or nearly over, is made. What it takes the place of is kept beside it, under its digest.
    ///
    /// # Errors
    /// `Own`: the folder refuses, or holds something else, which is left as it is.
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
        if is_usable(&self.certificate, &self.key)? {
            return Ok(());
        }
        create_folder(folder)?;
        // Two that start at once make one pair. Given back when the file is closed.
        let lock = File::options().create(true).append(true).open(folder.join("lock"))?;
        lock.lock()?;
        if is_usable(&self.certificate, &self.key)? {
            return Ok(());
        }
        if !is_usable(&self.authority, &self.authority_key)? {
            let key = new_key()?;
            let params = authority_params(&format!("{name} authority"))?;
            let certificate = params.self_signed(&key).map_err(io::Error::other)?;
            replace((&self.authority, &certificate.pem()), (&self.authority_key, &key))?;
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
        replace((&self.certificate, &format!("{}{authority}", certificate.pem())), (&self.key, &key))
    }
}

/// Whether a certificate and its key are there, with time left.
///
/// # Errors
/// One of them cannot be read, or is something else; or they do not belong together.
fn is_usable(certificate: &Path, key: &Path) -> io::Result<bool> {
    let (Some(pem), Some(secret)) = (there(certificate)?, there(key)?) else { return Ok(false) };
    let invalid = |rule: String| io::Error::new(io::ErrorKind::InvalidData, rule);
    let (certificate, key) = (name_of(certificate), name_of(key));
    let public = with_first(&pem, |read| {
        let left = read.validity().time_to_expiration().and_then(|left| Duration::try_from(left).ok());
        left.is_some_and(|left| left > RENEWED_BEFORE).then(|| read.public_key().raw.to_vec())
    });
    let Some(public) = public.ok_or_else(|| {
        invalid(format!("{certificate} holds no certificate; put it back, or remove it to have another made"))
    })?
    else {
        return Ok(false);
    };
    let secret = String::from_utf8(secret).ok().and_then(|pem| KeyPair::from_pem(&pem).ok());
    let secret =
        secret.ok_or_else(|| invalid(format!("{key} holds no key; put it back, or remove it to have another made")))?;
    if secret.subject_public_key_info() != public {
        let rule = format!(
            "{key} is not the key of {certificate}; put it back, or remove {certificate} to have both made anew"
        );
        return Err(invalid(rule));
    }
    Ok(true)
}

/// Puts a pair in the place of what is there. Broken off anywhere, it leaves no certificate, and never one beside another's key.
fn replace((certificate, pem): (&Path, &str), (key, pair): (&Path, &KeyPair)) -> io::Result<()> {
    retire(certificate)?;
    write(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(certificate, pem.as_bytes(), 0o644)
}

/// Moves a certificate to where its digest names it.
fn retire(certificate: &Path) -> io::Result<()> {
    let Some(pem) = there(certificate)? else { return Ok(()) };
    let digest = format!("{:x}", Sha256::digest(&pem));
    let stem = certificate.file_stem().unwrap_or_default().to_string_lossy();
    fs::rename(certificate, certificate.with_file_name(format!("{stem}-{}.pem", &digest[..16])))?;
    certificate.parent().map(sync_folder);
    Ok(())
}

/// A file's bytes, if there is one.
fn there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{} cannot be read: {error}", name_of(path)))),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What of the first certificate in a PEM is asked for, if there is one.
fn with_first<T>(pem: &[u8], ask: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let pem = Pem::iter_from_buffer(pem).next()?.ok()?;
    Some(ask(&pem.parse_x509().ok()?))
}

/// Makes a folder that nobody but its owner can look into; one that is there stays as it is.
fn create_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
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
    let name = |read: &X509Certificate<'_>| {
        read.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
    };
    with_first(pem.as_bytes(), name)
        .flatten()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "authority.pem holds no certificate of ltxd's"))
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

/// Writes a file whole, under a hidden name with these permissions from its beginning on. Called under the lock.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let hidden = path.with_file_name(format!(".{}.partial", name_of(path)));
    // What a start that was broken off has left.
    if there(&hidden)?.is_some() {
        fs::remove_file(&hidden)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&hidden)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&hidden, path)?;
    path.parent().map(sync_folder);
    Ok(())
}
