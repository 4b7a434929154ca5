//! Certificates and keys: those that sign, and what is said of every other one.

mod common;

use common::{DAY, pair, settings, temporary};
use ltx_provenance::{Credentials, KeyError, ProvenanceSettings};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::SystemTime,
};

fn opened(settings: &ProvenanceSettings) -> Result<Credentials, KeyError> {
    Credentials::open(settings, (Path::new("/nonexistent"), ""), None)
}

#[test]
fn es256_and_eddsa_sign() {
    let folder = temporary("kinds");
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let credentials = opened(&pair(&folder, kind, |_| {})).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        assert!(credentials.own_authority().is_none());
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_by_its_key() {
    let folder = temporary("certificates");
    let said =
        |change: &dyn Fn(&mut CertificateParams)| opened(&pair(&folder, &PKCS_ECDSA_P256_SHA256, change)).unwrap_err();
    let expired = said(&|params| params.not_after = (SystemTime::now() - DAY / 2).into());
    assert!(matches!(expired, KeyError::Expired { key: "provenance.certificate", .. }), "{expired}");
    let early = said(&|params| params.not_before = (SystemTime::now() + DAY / 2).into());
    assert!(matches!(early, KeyError::NotYet { .. }), "{early}");
    let server = said(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(&server, KeyError::Purpose { found, .. } if found.contains("serverAuth")), "{server}");
    let none = said(&|params| params.extended_key_usages = Vec::new());
    assert!(matches!(none, KeyError::Purpose { .. }), "{none}");
    let authority = said(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(matches!(authority, KeyError::Purpose { .. }), "{authority}");
    let agreeing = said(&|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert!(matches!(agreeing, KeyError::Purpose { .. }), "{agreeing}");
    let other_curve = opened(&pair(&folder, &PKCS_ECDSA_P384_SHA384, |_| {})).unwrap_err();
    assert!(matches!(&other_curve, KeyError::Form { rule, .. } if rule.contains("P-256")), "{other_curve}");
    let nameless = said(&|params| params.distinguished_name = DistinguishedName::new());
    assert!(matches!(&nameless, KeyError::Form { rule, .. } if rule.contains("organization")), "{nameless}");
    for error in [nameless, expired, early, server, none, authority, agreeing, other_curve] {
        assert!(error.to_string().starts_with("provenance.certificate = /"), "{error}");
        assert!(!error.is_of_the_disk());
    }
}

#[test]
fn what_is_wrong_with_files_is_said_by_their_keys() {
    let folder = temporary("files");
    let good = || pair(&folder, &PKCS_ECDSA_P256_SHA256, |_| {});
    let set = |settings: ProvenanceSettings, text: &str| {
        fs::write(&settings.key, text).unwrap();
        opened(&settings).unwrap_err()
    };
    let mut missing = good();
    missing.key = folder.join("none.pem");
    let missing = opened(&missing).unwrap_err();
    assert!(matches!(missing, KeyError::Unreadable { key: "provenance.key", .. }) && missing.is_of_the_disk());
    let open = good();
    fs::set_permissions(&open.key, Permissions::from_mode(0o640)).unwrap();
    let open = opened(&open).unwrap_err();
    assert!(matches!(open, KeyError::Permissions { mode: 0o640, .. }), "{open}");
    let other = good();
    let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let other = set(other, &stranger);
    assert!(matches!(other, KeyError::Mismatch { key: "provenance.key", .. }), "{other}");
    let another_kind = set(good(), &KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem());
    assert!(matches!(another_kind, KeyError::Form { key: "provenance.key", .. }), "{another_kind}");
    let old = set(good(), "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
    assert!(matches!(&old, KeyError::Form { rule, .. } if rule.contains("PKCS#8")), "{old}");
    let locked = set(good(), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    assert!(matches!(&locked, KeyError::Form { rule, .. } if rule.contains("passphrase")), "{locked}");
    let nothing = set(good(), "no key");
    assert!(matches!(nothing, KeyError::Form { .. }), "{nothing}");
    let text = good();
    fs::write(&text.certificate, "no certificate").unwrap();
    assert!(matches!(opened(&text).unwrap_err(), KeyError::Form { key: "provenance.certificate", .. }));
}

#[test]
fn a_certificate_of_ones_own_is_made_once_and_its_keys_are_ones_own() {
    let folder = temporary("own").join("keys");
    let first = Credentials::open(&settings(), (&folder, "ltxd node-1"), None).unwrap();
    let again = Credentials::open(&settings(), (&folder, "ltxd another name"), None).unwrap();
    assert_eq!(first.certificate(), again.certificate());
    assert!(first.certificate().subject.contains("ltxd node-1"));
    assert_eq!(first.own_authority(), Some(folder.join("authority.pem").as_path()));
    for key in ["key.pem", "authority-key.pem"] {
        assert_eq!(fs::metadata(folder.join(key)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Taken away, another is made by the same authority.
    let authority = fs::read(folder.join("authority.pem")).unwrap();
    fs::remove_file(folder.join("certificate.pem")).unwrap();
    let rotated = Credentials::open(&settings(), (&folder, "ltxd node-1"), None).unwrap();
    assert_ne!(rotated.certificate().sha256, first.certificate().sha256);
    assert_eq!(fs::read(folder.join("authority.pem")).unwrap(), authority);
}

#[test]
fn a_certificate_of_ones_own_that_is_nearly_over_is_made_anew_and_kept() {
    let folder = temporary("renewed");
    let near = pair(&folder, &PKCS_ECDSA_P256_SHA256, |_| {});
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::rename(&near.certificate, &certificate).unwrap();
    let before = fs::read(&certificate).unwrap();
    let old_key = fs::read(&key).unwrap();
    Credentials::open(&settings(), (&folder, "ltxd test"), None).unwrap();
    assert_ne!(fs::read(&certificate).unwrap(), before);
    assert_ne!(fs::read(&key).unwrap(), old_key);
    let kept = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| path.to_string_lossy().contains("certificate-")).collect();
    assert_eq!(kept.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), [before]);
}

/// What is said of a folder as it is, which stays as it is.
fn refused(folder: &Path) -> String {
    let files = || -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| !path.ends_with("lock"));
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).ok(), path)).collect()
    };
    let before = files();
    let error = Credentials::open(&settings(), (folder, "ltxd test"), None).unwrap_err();
    assert!(matches!(error, KeyError::Own { .. }) && error.is_of_the_disk());
    assert_eq!(files(), before);
    ltx_types::sentence(&error)
}

#[test]
fn what_is_in_the_folder_and_cannot_be_used_is_left_and_said() {
    let folder = temporary("unusable");
    common::credentials(&folder);
    let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    for (certificate, key) in [("certificate.pem", "key.pem"), ("authority.pem", "authority-key.pem")] {
        let (certificate_file, key_file) = (folder.join(certificate), folder.join(key));
        let (pem, secret) = (fs::read(&certificate_file).unwrap(), fs::read(&key_file).unwrap());
        fs::write(&key_file, &stranger).unwrap();
        let said = refused(&folder);
        assert!(said.ends_with(&format!("remove {certificate} to have both made anew")), "{said}");
        fs::write(&key_file, "no key").unwrap();
        assert!(refused(&folder).contains(&format!("{key} holds no key; put it back")));
        fs::write(&key_file, &secret).unwrap();
        fs::write(&certificate_file, "no certificate").unwrap();
        assert!(refused(&folder).contains(&format!("{certificate} holds no certificate; put it back")));
        // Neither missing nor a file.
        fs::remove_file(&certificate_file).unwrap();
        fs::create_dir(&certificate_file).unwrap();
        assert!(refused(&folder).contains(&format!("{certificate} cannot be read")));
        fs::remove_dir(&certificate_file).unwrap();
        if certificate == "authority.pem" {
            fs::write(&certificate_file, &pem).unwrap();
            common::credentials(&folder);
            assert_eq!(fs::read(&certificate_file).unwrap(), pem);
        }
    }
}

#[test]
fn a_start_that_was_broken_off_is_recovered_from() {
    let folder = temporary("broken-off");
    common::credentials(&folder);
    // Between the key and the certificate; and while the key was written.
    for (certificate, key) in [("certificate.pem", "key.pem"), ("authority.pem", "authority-key.pem")] {
        fs::remove_file(folder.join(certificate)).unwrap();
        let _ = fs::remove_file(folder.join("certificate.pem"));
        fs::write(folder.join(key), KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()).unwrap();
        fs::write(folder.join(format!(".{key}.partial")), "half").unwrap();
        common::credentials(&folder);
        assert!(!folder.join(format!(".{key}.partial")).exists());
    }
}

#[test]
fn a_folder_that_is_made_is_ones_own_and_one_that_is_there_stays_as_it_is() {
    let folder = temporary("folders");
    let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
    common::credentials(&folder.join("made/keys"));
    assert_eq!(mode(&folder.join("made/keys")), 0o700);
    let there = folder.join("there");
    fs::create_dir(&there).unwrap();
    fs::set_permissions(&there, Permissions::from_mode(0o750)).unwrap();
    common::credentials(&there);
    assert_eq!(mode(&there), 0o750);
}

#[test]
fn settings_name_what_stands_alone() {
    let alone = ProvenanceSettings { certificate: "c".into(), ..settings() };
    assert_eq!(alone.validate().unwrap_err().field, "provenance.certificate");
    let alone = ProvenanceSettings { key: "k".into(), ..settings() };
    assert_eq!(alone.validate().unwrap_err().field, "provenance.key");
    let address = ProvenanceSettings { timestamp_url: "time.example".into(), ..settings() };
    assert_eq!(address.validate().unwrap_err().field, "provenance.timestamp_url");
    settings().validate().unwrap();
}
