//! Outputs signed and held against what they say of themselves: unchanged, changed, by a known signer and by an unknown one.

mod common;

use common::{clip, credentials, settings, temporary};
use ltx_media::{MediaError, Seal};
use ltx_provenance::{Against, ClipSeal, Credentials, Trust, Verdict, verify};
use ltx_types::PixelShape;
use std::{fs, path::Path, sync::Arc};

fn verdict(file: &Path, roots: &[std::path::PathBuf]) -> Verdict {
    verify(file, &Against::roots_of(roots).unwrap()).unwrap().verdict
}

#[test]
fn a_clip_is_signed_and_every_change_is_seen() {
    let folder = temporary("clip");
    let credentials = Arc::new(credentials(&folder.join("keys")));
    let root = folder.join("keys/authority.pem");
    let seal = Arc::new(ClipSeal::new(Arc::clone(&credentials), common::inputs()));
    let file = folder.join("clip.mp4");
    clip(&file, Some(seal.clone())).unwrap();

    let report = verify(&file, &Against::roots_of(std::slice::from_ref(&root)).unwrap()).unwrap();
    assert_eq!(report.verdict, Verdict::Trusted, "{report:#?}");
    assert!(report.output_of_ltxd && report.mark_is_signed);
    assert_eq!(report.usage_class.as_deref(), Some("UNLIMITED"));
    assert_eq!(report.signer.unwrap().trust, Trust::By(root.clone()));
    let sealed = seal.sealed().unwrap();
    assert_eq!((report.pictures.sha256, report.pictures.same), (Some(sealed.pictures_sha256.clone()), Some(true)));
    assert_eq!(sealed.pictures, 9);
    assert_eq!(verdict(&file, &[]), Verdict::Untrusted);
    let metadata = ltx_media::mp4_metadata(&file).unwrap();
    let said = |key: &str| metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone()).unwrap();
    assert_eq!(said("pictures_sha256"), sealed.pictures_sha256);
    assert!(said("comment").ends_with(&sealed.pictures_sha256));

    // Every byte counts: those of boxes that C2PA leaves out, of frames around what is signed, of what fills the room.
    let whole = fs::read(&file).unwrap();
    let changed = folder.join("changed.mp4");
    let mut told = 0;
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&changed, bytes).unwrap();
        if let Ok(report) = verify(&changed, &Against::roots_of(std::slice::from_ref(&root)).unwrap()) {
            assert!(!matches!(report.verdict, Verdict::Trusted | Verdict::Untrusted), "byte {at}: {report:#?}");
            assert!(!report.mark_is_signed && !report.found.is_empty(), "byte {at}");
            told += 1;
        }
    }
    assert!(told * 97 > whole.len() / 2, "most of them can be looked at: {told}");
}

#[test]
fn a_picture_is_signed_and_without_its_credentials_it_is_stripped() {
    let folder = temporary("picture");
    let seal = ClipSeal::new(Arc::new(credentials(&folder.join("keys"))), Vec::new());
    let signed = common::picture(&seal);
    let file = folder.join("poster.png");
    fs::write(&file, &signed).unwrap();
    assert_eq!(verdict(&file, &[folder.join("keys/authority.pem")]), Verdict::Trusted);
    let chunk = common::chunk(&signed);
    fs::write(&file, [&signed[..chunk.start], &signed[chunk.end..]].concat()).unwrap();
    let report = verify(&file, &Against::default()).unwrap();
    assert_eq!((report.verdict, report.pictures.same), (Verdict::Stripped, Some(true)));
    // Marked, and never signed: as with `off`.
    let shape = PixelShape { width: 64, height: 48 };
    fs::write(&file, ltx_media::encode_png(&[0; 64 * 48 * 3], shape, &common::mark()).unwrap()).unwrap();
    let report = verify(&file, &Against::default()).unwrap();
    assert_eq!((report.verdict, report.pictures.same, report.output_of_ltxd), (Verdict::Stripped, None, true));
}

#[test]
fn ids_derive_from_what_is_claimed_and_the_rest_of_the_file_is_the_same() {
    let folder = temporary("twice");
    let credentials = Arc::new(credentials(&folder.join("keys")));
    let made = ["one.mp4", "other.mp4"].map(|name| {
        let file = folder.join(name);
        clip(&file, Some(Arc::new(ClipSeal::new(Arc::clone(&credentials), common::inputs())))).unwrap();
        fs::read(file).unwrap()
    });
    let begin = u32::from_be_bytes(made[0][..4].try_into().unwrap()) as usize;
    let end = begin + u32::from_be_bytes(made[0][begin..begin + 4].try_into().unwrap()) as usize;
    assert_eq!(&made[0][begin + 4..begin + 8], b"uuid");
    assert_eq!(made[0].len(), made[1].len());
    assert!(made[0][..begin] == made[1][..begin] && made[0][end..] == made[1][end..]);
    let id = |bytes: &[u8]| {
        let at = bytes.windows(9).position(|window| window == b"urn:c2pa:").unwrap();
        bytes[at..at + 45].to_vec()
    };
    assert_eq!(id(&made[0]), id(&made[1]));
}

#[test]
fn what_cannot_be_signed_is_not_made() {
    struct Refuses;
    impl Seal for Refuses {
        fn entries(&self) -> Vec<(&'static str, String)> {
            Vec::new()
        }
        fn mp4(&self, _: &Path, _: &ltx_policy::UsageMark) -> Result<(), ltx_media::SealError> {
            Err("the key is gone".into())
        }
        fn png(&self, _: Vec<u8>, _: &[u8], _: &ltx_policy::UsageMark) -> Result<Vec<u8>, ltx_media::SealError> {
            Err("the key is gone".into())
        }
    }
    let folder = temporary("refused");
    let error = clip(&folder.join("clip.mp4"), Some(Arc::new(Refuses))).unwrap_err();
    assert!(matches!(error, MediaError::Seal { .. }), "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left, under no name");
}

#[test]
fn a_time_stamp_authority_that_does_not_answer_fails_the_signature() {
    struct Silent;
    impl ltx_provenance::TimeAuthority for Silent {
        fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            assert!(!query.is_empty());
            Err("no answer came".into())
        }
    }
    let folder = temporary("silent");
    let opened = Credentials::open(&settings(), (&folder.join("keys"), "ltxd test"), Some(Arc::new(Silent))).unwrap();
    let error =
        clip(&folder.join("clip.mp4"), Some(Arc::new(ClipSeal::new(Arc::new(opened), Vec::new())))).unwrap_err();
    assert!(ltx_types::sentence(&error).contains("no answer came"), "{}", ltx_types::sentence(&error));
    assert!(!folder.join("clip.mp4").exists());
}
