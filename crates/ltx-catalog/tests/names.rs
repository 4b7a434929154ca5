//! What manifests may call their models.

use ltx_catalog::{CatalogError, ModelLibrary};
use std::{error::Error, fs};

const MANIFEST: &str = include_str!("../../../models/ltx-2.5-tiny.toml");

/// What is wrong with a folder of one manifest of LTX-2.5 whose name and aliases are these.
fn refused(name: &str, aliases: &str) -> Option<CatalogError> {
    let folder = tempfile::tempdir().unwrap();
    let names = format!("name = \"{name}\"\naliases = [{aliases}]");
    let manifest = MANIFEST.replace("name = \"ltx-2.5-tiny\"", &names);
    assert!(manifest.contains(&names));
    fs::write(folder.path().join("model.toml"), manifest).unwrap();
    ModelLibrary::open(folder.path()).err()
}

#[test]
fn a_manifest_whose_names_state_another_generation_is_refused_by_its_file() {
    for (name, aliases) in
        [("mine", r#""mine too", "Carat Basic Video (LTX 2.3)""#), ("ltx-2.3-mine", ""), ("mine", r#""LTX 2""#)]
    {
        let error = refused(name, aliases).unwrap();
        let CatalogError::OtherGeneration { file, .. } = &error else { panic!("{error}") };
        assert!(file.ends_with("model.toml"));
        let said = error.source().unwrap().to_string();
        assert!(said.ends_with(&format!(", and {name} is of 2.5")), "{said}");
    }
    assert!(refused("mine", r#""Carat Basic Video (LTX 2.5)", "studio-1.1""#).is_none());
}
