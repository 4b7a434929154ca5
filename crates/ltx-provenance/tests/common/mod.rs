//! What the tests share: a mark, a small clip, credentials of one's own, folders that are made anew.

#![allow(dead_code, reason = "each test file uses its own part")]

use ltx_media::{FrameWriter, MediaError, Mp4Writer, Seal};
use ltx_policy::{Ask, ModelIdentity, ModelNames, PolicyConfig, UsageMark, WeightFingerprint, admit};
use ltx_provenance::{ClipSeal, Credentials, Input, Mode, ProvenanceSettings, Report};
use ltx_types::{
    Defaults, FramePosition, FrameRate, ImageInput, ImageSource, ModelRules, Overrides, PixelShape, Schedule, Seed,
    Strength, UnixMillis,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm,
};
use std::{
    fs::{self, Permissions},
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A mark, got the only way there is: through `admit`.
pub(crate) fn mark() -> UsageMark {
    let source = ImageSource::Bytes([0u8; 4].as_slice().into());
    let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
    let said =
        Overrides { width: Some(64), height: Some(64), frames: Some(17), seed: Some(Seed(42)), ..Overrides::default() };
    let draft = Defaults::official(Schedule::Distilled).fill(said, "a lake".into(), vec![image]);
    let config = PolicyConfig::new(ModelNames::new(vec![], []));
    let admitted = admit(&Ask::default(), draft, &config).unwrap().check(&ModelRules::LTX).unwrap();
    let weights = WeightFingerprint { header_sha256: "1a".repeat(32), file_sha256: None, total_bytes: 46 << 30 };
    let model = ModelIdentity {
        name: "ltx-2.3 <distilled> & co".into(),
        version: "2.3".into(),
        weights,
        eight_bit: false,
        diffusion_decoder: false,
    };
    admitted.mark(&model, "Knoten-ß 1").completed(&"3c".repeat(32), Some(UnixMillis(0)))
}

pub(crate) fn inputs() -> Vec<Input> {
    vec![Input { role: "start image".into(), frame: 0, sha256: "ab".repeat(32), media_type: "image/png".into() }]
}

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Writes a pair that an authority has issued, and its settings.
pub(crate) fn pair(
    folder: &Path,
    kind: &'static SignatureAlgorithm,
    change: impl Fn(&mut CertificateParams),
) -> ProvenanceSettings {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority");
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.not_before = (SystemTime::now() - DAY).into();
    authority.not_after = (SystemTime::now() + DAY * 7300).into();
    let root = authority.clone().self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate_for(kind).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, "signer");
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    let certificate = params.signed_by(&own, &issuer).unwrap();
    let settings =
        ProvenanceSettings { certificate: folder.join("cert.pem"), key: folder.join("key.pem"), ..settings() };
    fs::write(&settings.certificate, certificate.pem() + &root.pem()).unwrap();
    fs::write(&settings.key, own.serialize_pem()).unwrap();
    fs::set_permissions(&settings.key, Permissions::from_mode(0o600)).unwrap();
    settings
}

/// A certificate of one's own, no time-stamps.
pub(crate) fn settings() -> ProvenanceSettings {
    ProvenanceSettings {
        mode: Mode::Required,
        certificate: PathBuf::new(),
        key: PathBuf::new(),
        folder: PathBuf::new(),
        timestamp_url: String::new(),
    }
}

pub(crate) fn credentials(folder: &Path) -> Credentials {
    Credentials::open(&settings(), (folder, "ltxd test"), None).unwrap()
}

/// A picture of 64 by 48, signed.
pub(crate) fn picture(seal: &ClipSeal) -> Vec<u8> {
    let rgb: Vec<u8> = (0..64 * 48 * 3).map(|n| n as u8).collect();
    let shape = PixelShape { width: 64, height: 48 };
    seal.png(ltx_media::encode_png(&rgb, shape, &mark()).unwrap(), &rgb, &mark()).unwrap()
}

/// Where the chunk of credentials is in a PNG.
pub(crate) fn chunk(png: &[u8]) -> Range<usize> {
    let at = png.windows(4).position(|name| name == b"caBX").unwrap() - 4;
    at..at + u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize + 12
}

/// The codes of what was found.
pub(crate) fn codes(report: &Report) -> Vec<&str> {
    report.found.iter().map(|found| found.code.as_str()).collect()
}

/// Nine frames of 64 by 48.
pub(crate) fn clip(path: &Path, seal: Option<Arc<dyn Seal>>) -> Result<(), MediaError> {
    let shape = PixelShape { width: 64, height: 48 };
    let mut writer = Box::new(Mp4Writer::create(path, shape, FrameRate::new(24.0).unwrap())?.sealed_by(seal));
    for frame in 0..9_usize {
        let rgb: Vec<u8> = (0..64 * 48 * 3).map(|n| (n * (frame + 3) % 251) as u8).collect();
        writer.write(&rgb)?;
    }
    writer.finish(&mark())
}

/// An empty folder of this test's.
pub(crate) fn temporary(name: &str) -> PathBuf {
    let folder = PathBuf::from(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("/tmp")).join(format!("provenance-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}
