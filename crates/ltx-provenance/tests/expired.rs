//! A signature whose certificate has expired: the file is as it was signed, and its signer is not known any more.

mod common;

use common::{codes, pair, picture, temporary};
use ltx_provenance::{Against, ClipSeal, Credentials, TimeAuthority, Trust, Verdict, verify};
use rcgen::PKCS_ECDSA_P256_SHA256;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
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
fn a_time_stamp_keeps_what_was_signed_before_its_certificate_expired() {
    let roots = [data("stamped-root.pem"), data("stamped-times-root.pem")];
    let report = verify(&data("stamped.png"), &Against::roots_of(&roots).unwrap()).unwrap();
    assert_eq!(report.verdict, Verdict::Trusted, "{report:#?}");
    let signer = report.signer.unwrap();
    assert_eq!(signer.trust, Trust::By(roots[0].clone()));
    assert!(signer.time.is_some(), "{signer:#?}");
    // Nobody vouches for the time then, so the certificate counts as it is now.
    let without = verify(&data("stamped.png"), &Against::roots_of(&roots[..1]).unwrap()).unwrap();
    assert_eq!(without.verdict, Verdict::Untrusted, "{without:#?}");
    assert!(codes(&without).contains(&"signingCredential.expired"), "{without:#?}");
}

/// A time-stamp authority of openssl's.
struct Times(PathBuf);

impl Times {
    const SETTINGS: &str = "[tsa]\ndefault_tsa=own\n[own]\ndir=.\nserial=serial\nsigner_digest=sha256\n\
        default_policy=1.2.3.4\ndigests=sha256,sha384,sha512\ness_cert_id_alg=sha256\n\
        [signer]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
        extendedKeyUsage=critical,timeStamping\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n";

    fn new(folder: PathBuf) -> Self {
        fs::write(folder.join("settings.cnf"), Self::SETTINGS).unwrap();
        fs::write(folder.join("serial"), "01\n").unwrap();
        let made = Self(folder);
        let curve = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out";
        made.openssl(&format!("{curve} root.key"));
        made.openssl("req -x509 -new -key root.key -subj /CN=times-root/O=Tests -days 36500 -out root.pem");
        made.openssl(&format!("{curve} times.key"));
        made.openssl("req -new -key times.key -subj /CN=times/O=Tests -out times.csr");
        let issued = "x509 -req -in times.csr -CA root.pem -CAkey root.key -CAcreateserial -days 36500";
        made.openssl(&format!("{issued} -extfile settings.cnf -extensions signer -out times.crt"));
        made
    }

    fn openssl(&self, words: &str) -> Vec<u8> {
        let ran = Command::new("openssl").args(words.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }
}

impl TimeAuthority for Times {
    fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        fs::write(self.0.join("query.tsq"), query)?;
        let reply =
            "ts -reply -config settings.cnf -queryfile query.tsq -signer times.crt -inkey times.key -chain root.pem";
        Ok(self.openssl(reply))
    }
}

#[test]
#[ignore = "makes tests/data/expired.png and stamped.png, whose certificate expires a minute later"]
fn make() {
    let folder = temporary("expiring");
    let soon = |params: &mut rcgen::CertificateParams| {
        params.not_after = (SystemTime::now() + Duration::from_secs(60)).into();
    };
    let given = pair(&folder, &PKCS_ECDSA_P256_SHA256, soon);
    let times = Arc::new(Times::new(temporary("times")));
    fs::create_dir_all(data("")).unwrap();
    fs::copy(times.0.join("root.pem"), data("stamped-times-root.pem")).unwrap();
    let chain = fs::read_to_string(&given.certificate).unwrap();
    let (_, root) = chain.split_at(chain.rfind("-----BEGIN").unwrap());
    let nobody = Path::new("/nonexistent");
    for (name, times) in [("expired", None), ("stamped", Some(times as Arc<dyn TimeAuthority>))] {
        let credentials = Credentials::open(&given, (nobody, ""), times).unwrap();
        fs::write(data(&format!("{name}.png")), picture(&ClipSeal::new(Arc::new(credentials), Vec::new()))).unwrap();
        fs::write(data(&format!("{name}-root.pem")), root).unwrap();
    }
}
