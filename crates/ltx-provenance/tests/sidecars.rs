//! Sidecars held against the files beside them, and files held against a sidecar.

mod common;

use common::{chunk, clip, codes, credentials, mark, picture, temporary};
use ltx_provenance::{Against, ClipSeal, Report, Verdict, verify};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, path::Path, sync::Arc};

/// A signed clip, its poster and their sidecar, as a node writes them.
fn made(name: &str) -> (std::path::PathBuf, Value) {
    let folder = temporary(name);
    let seal = Arc::new(ClipSeal::new(Arc::new(credentials(&folder.join("keys"))), Vec::new()));
    clip(&folder.join("video.mp4"), Some(seal.clone())).unwrap();
    fs::write(folder.join("poster.png"), picture(&seal)).unwrap();
    let mark = json!(mark());
    let files = ["video.mp4", "poster.png"].map(|name| told(&folder, name));
    let said = json!({
        "frames_sha256": mark["frames_sha256"],
        "mark": mark,
        "files": files,
        "provenance": seal.sealed(),
    });
    (folder, said)
}

fn told(folder: &Path, name: &str) -> Value {
    let bytes = fs::read(folder.join(name)).unwrap();
    json!({ "name": name, "bytes": bytes.len(), "sha256": format!("{:x}", Sha256::digest(&bytes)) })
}

fn report(folder: &Path, said: &Value) -> Report {
    let file = folder.join("sidecar.json");
    fs::write(&file, said.to_string()).unwrap();
    verify(&file, &Against::roots_of(&[folder.join("keys/authority.pem")]).unwrap()).unwrap()
}

#[test]
fn what_a_signed_file_repeats_of_a_sidecar_cannot_be_edited() {
    let (folder, said) = made("sidecar-edited");
    let whole = report(&folder, &said);
    assert_eq!((whole.verdict, whole.files.len(), codes(&whole)), (Verdict::Trusted, 2, vec![]), "{whole:#?}");
    let keys = ["/mark/seed", "/frames_sha256", "/provenance/signed_by", "/provenance/certificate_sha256"];
    for key in keys.into_iter().chain(["/provenance/pictures", "/provenance/pictures_sha256", "/provenance"]) {
        for value in [json!("ab"), Value::Null] {
            let mut edited = said.clone();
            *edited.pointer_mut(key).unwrap() = value;
            let seen = report(&folder, &edited);
            assert_eq!(seen.verdict, Verdict::Changed, "{key}: {seen:#?}");
            assert!(codes(&seen).iter().all(|code| *code == "ltxd.sidecar.said") && !seen.mark_is_signed);
        }
    }
    for key in ["/files/0/bytes", "/files/1/sha256"] {
        let mut edited = said.clone();
        *edited.pointer_mut(key).unwrap() = json!(7);
        assert_eq!(codes(&report(&folder, &edited)), ["ltxd.sidecar.file"], "{key}");
    }
}

#[test]
fn sidecars_that_name_sidecars_end() {
    let (folder, said) = made("sidecar-named");
    fs::write(folder.join("other.json"), json!({ "mark": {}, "files": [{ "name": "sidecar.json" }] }).to_string())
        .unwrap();
    for (name, code) in [
        ("sidecar.json", "ltxd.sidecar.unreadable"),
        ("other.json", "ltxd.sidecar.unreadable"),
        ("keys", "ltxd.sidecar.unreadable"),
        ("video.mp4", "ltxd.sidecar.name"),
        ("../video.mp4", "ltxd.sidecar.name"),
        ("/etc/hostname", "ltxd.sidecar.name"),
        ("..", "ltxd.sidecar.name"),
    ] {
        let mut naming = said.clone();
        naming["files"].as_array_mut().unwrap().push(json!({ "name": name }));
        let seen = report(&folder, &naming);
        assert_eq!((seen.verdict, codes(&seen), seen.files.len()), (Verdict::Changed, vec![code], 2), "{name}");
    }
}

#[test]
fn one_broken_file_hides_no_other_and_none_stands_for_a_missing_clip() {
    let (folder, said) = made("sidecar-broken");
    fs::write(folder.join("poster.png"), "no picture").unwrap();
    let seen = report(&folder, &said);
    assert_eq!((seen.verdict, codes(&seen)), (Verdict::Changed, vec!["ltxd.sidecar.unreadable"]));
    assert_eq!((seen.files.len(), seen.files[0].verdict), (1, Verdict::Trusted));
    fs::remove_file(folder.join("poster.png")).unwrap();
    let seen = report(&folder, &said);
    assert_eq!((seen.verdict, codes(&seen)), (Verdict::Trusted, vec!["ltxd.sidecar.missing"]));

    let (folder, said) = made("sidecar-alone");
    fs::remove_file(folder.join("video.mp4")).unwrap();
    let seen = report(&folder, &said);
    let expected = vec!["ltxd.sidecar.missing", "ltxd.sidecar.unconfirmed"];
    assert_eq!((seen.verdict, codes(&seen)), (Verdict::Unsigned, expected), "{seen:#?}");
}

#[test]
fn a_sidecar_tells_of_the_pictures_of_an_mp4_alone() {
    let (folder, said) = made("sidecar-against");
    let file = folder.join("sidecar.json");
    fs::write(&file, said.to_string()).unwrap();
    let against = Against { sidecar: Some(file.clone()), ..Against::default() };
    let png = fs::read(folder.join("poster.png")).unwrap();
    let bare = folder.join("bare.png");
    fs::write(&bare, [&png[..chunk(&png).start], &png[chunk(&png).end..]].concat()).unwrap();
    let seen = verify(&bare, &against).unwrap();
    assert_eq!(seen.verdict, Verdict::Stripped, "{seen:#?}");
    assert!(codes(&seen).contains(&"ltxd.sidecar.unread"));
    let unmarked = folder.join("unmarked.mp4");
    clip(&unmarked, None).unwrap();
    let seen = verify(&unmarked, &against).unwrap();
    assert_eq!((seen.verdict, seen.pictures.expected_by), (Verdict::Stripped, Some("sidecar")));
    fs::write(&file, json!({ "provenance": null }).to_string()).unwrap();
    let said = verify(&unmarked, &against).unwrap_err().to_string();
    assert!(said.ends_with("sidecar.json: it says no provenance.pictures_sha256"), "{said}");
}
