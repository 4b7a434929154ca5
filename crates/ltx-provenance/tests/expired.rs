//! A signature whose certificate has expired: the file is as it was signed, and its signer is not known any more.

mod common;

use common::{codes, pair, picture, temporary};
use ltx_provenance::{Against, ClipSeal, Credentials, Trust, Verdict, verify};
use rcgen::PKCS_ECDSA_P256_SHA256;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn an_expired_certificate_makes_the_signer_unknown_and_the_file_no_other() {
    let roots = [data("expired-root.pem")];
    for against in [Against::default(), Against::roots_of(&roots).unwrap()] {
        let report = verify(&data("expired.png"), &against).unwrap();
        assert_eq!((report.verdict, codes(&report)), (Verdict::Untrusted, vec!["signingCredential.expired"]));
        assert!(report.mark_is_signed && report.pictures.same == Some(true), "{report:#?}");
        assert_eq!(report.signer.unwrap().trust, Trust::ByNone);
    }
}

#[test]
#[ignore = "makes tests/data/expired.png, whose certificate expires a minute later"]
fn make() {
    let folder = temporary("expiring");
    let soon = |params: &mut rcgen::CertificateParams| {
        params.not_after = (SystemTime::now() + Duration::from_secs(60)).into();
    };
    let given = pair(&folder, &PKCS_ECDSA_P256_SHA256, soon);
    let credentials = Credentials::open(&given, (Path::new("/nonexistent"), ""), None).unwrap();
    fs::create_dir_all(data("")).unwrap();
    fs::write(data("expired.png"), picture(&ClipSeal::new(Arc::new(credentials), Vec::new()))).unwrap();
    let chain = fs::read_to_string(&given.certificate).unwrap();
    let (_, root) = chain.split_at(chain.rfind("-----BEGIN").unwrap());
    fs::write(data("expired-root.pem"), root).unwrap();
}
