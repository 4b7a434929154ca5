//! Hostile manifests: damaged TOML of every kind. None may panic, and what is refused names its file.

use ltx_catalog::{CatalogError, ModelLibrary};
use ltx_testkit::fuzz::{Verdict, campaign, damaged, edits, odd_text};
use proptest::{collection::vec, prop_oneof, sample::select, strategy::Strategy};
use std::fs;

const MANIFEST: &str = include_str!("../../../models/ltx-2.3-distilled.toml");

#[test]
fn fuzz_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let tried = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let opened = ModelLibrary::open(folder.path());
        match &opened {
            Ok(library) => assert_eq!(library.manifests().len(), 1),
            Err(CatalogError::Read { file: named, .. } | CatalogError::BadManifest { file: named, .. }) => {
                assert_eq!(*named, file);
            }
            Err(other) => panic!("{other}"),
        }
        Verdict::of(&opened)
    };
    campaign("configuration: damaged manifests", &edits(4), |edits| tried(&damaged(MANIFEST.into(), &edits)));

    let lines: Vec<_> = MANIFEST.lines().map(str::to_owned).collect();
    let value = prop_oneof![
        select(vec!["0", "-1", "nan", "inf", "1e999", "9223372036854775807", "[]", "{}", "true", "\"\"", "1979-05-27"])
            .prop_map(str::to_owned),
        odd_text().prop_map(|text| format!("{text:?}")),
    ];
    campaign("configuration: manifests with odd values", &(vec((0..lines.len(), value), 0..3)), |changes| {
        let mut lines = lines.clone();
        for (at, value) in changes {
            if let Some((key, _)) = lines[at].clone().split_once('=') {
                lines[at] = format!("{key}= {value}");
            }
        }
        tried(lines.join("\n").as_bytes())
    });
}
