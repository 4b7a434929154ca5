//! Where a manifest's files are looked for, in which order, and what is said of those that are nowhere.

use ltx_catalog::{CatalogError, Found, ModelLibrary, Pins, Places, Whereabouts};
use ltx_hub::Cache;
use std::{fs, path::Path};
use tempfile::TempDir;

const MANIFEST: &str = include_str!("../../../models/ltx-2.3-distilled.toml");
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "76543210fedcba9876543210fedcba9876543210";

/// A machine's folders: manifests with one, a cache, a place of another program.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(files: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let defaults = &MANIFEST[MANIFEST.find("[defaults]").unwrap()..];
        let head =
            "name = \"m\"\nfamily = \"ltx-2.3\"\nversion = \"1\"\nlicence = \"none\"\ndescription = \"A model.\"\n";
        fs::create_dir(folder.path().join("models")).unwrap();
        fs::write(folder.path().join("models/m.toml"), format!("{head}{files}\n{defaults}")).unwrap();
        Self { folder }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn put(&self, path: &str, text: &str) -> std::path::PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn open(&self) -> Result<ModelLibrary, CatalogError> {
        let places = Places::read(Some(Cache::new(self.at("hub"))), &[self.at("models"), self.at("user")])?;
        Ok(ModelLibrary::open(&self.at("models"))?.with_places(places))
    }

    fn here(&self) -> Vec<Whereabouts> {
        let library = self.open().unwrap();
        library.items(&library.manifests()[0]).into_iter().map(|item| item.here).collect()
    }
}

const FILES: &str = r#"
[files.checkpoint]
path = "c.safetensors"
repository = "o/n"
file = "sub/c.safetensors"
bytes = 70

[files.text_encoder]
repository = "o/encoder"
files = ["config.json", "model*.safetensors"]
"#;

#[test]
fn the_manifests_own_place_goes_before_the_cache_and_that_before_what_was_found() {
    let machine = Machine::new(FILES);
    assert_eq!(machine.here(), [Whereabouts::Missing, Whereabouts::Missing]);
    let library = machine.open().unwrap();
    let manifest = &library.manifests()[0];
    let CatalogError::Missing { model, files } = library.files_of(manifest).unwrap_err() else { panic!("not missing") };
    assert_eq!((model.as_str(), files.len()), ("m", 2));
    let said = library.files_of(manifest).unwrap_err().to_string();
    assert!(said.contains("o/n/sub/c.safetensors") && said.contains("ltxd pull m"), "{said}");
    assert_eq!(library.items(manifest)[0].bytes, Some(70), "as the manifest states");

    let elsewhere = machine.put("comfy/c.safetensors", "0123456789");
    let source = manifest.files.checkpoint.source.clone().unwrap();
    Found::note(&Places::record_in(&machine.at("user")), &source, &elsewhere).unwrap();
    assert_eq!(machine.here()[0], Whereabouts::Found(elsewhere.clone()));
    let library = machine.open().unwrap();
    assert_eq!(library.items(&library.manifests()[0])[0].bytes, Some(10), "as it is here");

    machine.put("hub/models--o--n/refs/main", COMMIT);
    let cached = machine.put(&format!("hub/models--o--n/snapshots/{COMMIT}/sub/c.safetensors"), "01");
    assert_eq!(machine.here()[0], Whereabouts::Cached(cached));

    let own = machine.put("models/c.safetensors", "0");
    assert_eq!(machine.here()[0], Whereabouts::Local(own));
    fs::remove_file(machine.at("models/c.safetensors")).unwrap();
    fs::remove_dir_all(machine.at("hub")).unwrap();
    fs::write(&elsewhere, "of another size").unwrap();
    assert_eq!(machine.here()[0], Whereabouts::Missing, "what was found has become another file");
}

#[test]
fn a_folder_counts_when_it_is_whole() {
    let machine = Machine::new(FILES);
    machine.put("hub/models--o--encoder/refs/main", COMMIT);
    let folder = format!("hub/models--o--encoder/snapshots/{COMMIT}");
    for name in ["config.json", "model-00001-of-00002.safetensors"] {
        machine.put(&format!("{folder}/{name}"), "");
        assert_eq!(machine.here()[1], Whereabouts::Missing, "{name}");
    }
    machine.put(&format!("{folder}/model-00002-of-00002.safetensors"), "12345");
    assert_eq!(machine.here()[1], Whereabouts::Cached(machine.at(&folder)));
}

#[test]
fn another_commit_counts_only_with_the_pinned_bytes() {
    let machine = Machine::new(FILES);
    let sha256 = "ab".repeat(32);
    let pin = format!(
        "[[pinned]]\nrepository = \"o/n\"\nrevision = \"main\"\ncommit = \"{COMMIT}\"\n[[pinned.files]]\npath = \"sub/c.safetensors\"\nbytes = 3\nsha256 = \"{sha256}\"\n"
    );
    machine.put("models/models.lock", &pin);
    let library = machine.open().unwrap();
    assert_eq!(library.items(&library.manifests()[0])[0].bytes, Some(3), "as the lock has it");
    machine.put("hub/models--o--n/refs/main", OTHER);
    let link = |blob: &str| {
        machine.put(&format!("hub/models--o--n/blobs/{blob}"), "abc");
        let snapshot = machine.at(&format!("hub/models--o--n/snapshots/{OTHER}/sub"));
        fs::create_dir_all(&snapshot).unwrap();
        let path = snapshot.join("c.safetensors");
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(Path::new("../../../blobs").join(blob), &path).unwrap();
        path
    };
    link(&"cd".repeat(32));
    assert_eq!(machine.here()[0], Whereabouts::Missing);
    let path = link(&sha256);
    assert_eq!(machine.here()[0], Whereabouts::Cached(path));
}

#[test]
fn records_that_are_none_are_named() {
    for (file, text) in [("models/models.lock", "pinned = 3"), ("models/models.found", "[[found]]\nx = 1")] {
        let machine = Machine::new(FILES);
        machine.put(file, text);
        assert!(matches!(machine.open(), Err(CatalogError::BadRecord { .. })), "{file}");
    }
    assert_eq!(Pins::read(Path::new("/nonexistent/models.lock")).unwrap(), Pins::default());
}

#[test]
fn what_a_manifest_states_of_a_file_is_whole() {
    for (files, says) in [
        ("[files.checkpoint]\nbytes = 1", "needs a path, or a repository"),
        ("[files.checkpoint]\nrepository = \"o/n\"", "needs a path, or a repository"),
        ("[files.checkpoint]\npath = \"a\"\nfile = \"b\"", "file says nothing without a repository"),
        ("[files.checkpoint]\npath = \"a\"\nrevision = \"b\"", "revision says nothing without a repository"),
        (
            "[files.checkpoint]\npath = \"a\"\nrepository = \"o/n\"\nrevision = \"b\"",
            "revision says nothing without the file",
        ),
        ("[files.checkpoint]\nrepository = \"o/n\"\nfile = \"a\"\nfiles = [\"b\"]", "exclude each other"),
        ("[files.checkpoint]\npath = \"a\"\nbytes = 1\nabout_bytes = 1", "bytes and about_bytes exclude each other"),
        ("[files.checkpoint]\nrepository = \"o/n\"\nfile = \"../a\"", "not a path in a repository"),
        ("[files.checkpoint]\nrepository = \"../n\"\nfile = \"a\"", "not a repository"),
        ("[files.checkpoint]\nrepository = \"o/n\"\nrevision = \"..\"\nfile = \"a\"", "not a revision"),
        ("[files.checkpoint]\nrepository = \"o/n\"\nfiles = []", "not a file's name"),
    ] {
        let machine = Machine::new(&format!("{files}\n[files.text_encoder]\npath = \"t\""));
        let error = ModelLibrary::open(&machine.at("models")).unwrap_err();
        let CatalogError::BadManifest { source, .. } = &error else { panic!("{files}: {error}") };
        assert!(source.to_string().contains(says), "{files}: {source}");
    }
    // As before: where it came from, and where it lies.
    let machine =
        Machine::new("[files.checkpoint]\npath = \"a\"\nrepository = \"o/n\"\n[files.text_encoder]\npath = \"t\"");
    let library = machine.open().unwrap();
    let error = library.files_of(&library.manifests()[0]).unwrap_err().to_string();
    assert!(error.contains("models/a") && error.contains("does not say how to get"), "{error}");
}

#[test]
fn every_shipped_manifest_says_where_its_files_are_published_or_has_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let library = ModelLibrary::open(&folder).unwrap();
    let names = library.names();
    for manifest in library.manifests() {
        for item in library.items(manifest) {
            assert!(
                item.here != Whereabouts::Missing || item.file.source.is_some(),
                "{}: {}",
                manifest.name,
                item.part
            );
        }
        // No other manifest answers to its names.
        for name in std::iter::once(&manifest.name).chain(&manifest.aliases) {
            assert_eq!(names.find(name).map(|found| found.name()), Some(manifest.name.as_str()), "{name}");
        }
    }
}

#[test]
fn a_folder_is_as_large_as_what_lies_in_it_but_for_what_is_another_files() {
    let machine = Machine::new(
        r#"
[files.checkpoint]
path = "folder"

[files.text_encoder]
path = "folder/text_encoder"
"#,
    );
    for (path, text) in [
        ("models/folder/model_index.json", "{}"),
        ("models/folder/transformer/weights.safetensors", "0123456789"),
        ("models/folder/vae/config.json", "{ }"),
        ("models/folder/text_encoder/weights.safetensors", "0123"),
    ] {
        machine.put(path, text);
    }
    let library = machine.open().unwrap();
    let bytes: Vec<_> = library.items(&library.manifests()[0]).into_iter().map(|item| item.bytes).collect();
    assert_eq!(bytes, [Some(15), Some(4)]);
}

#[test]
fn defaults_that_contradict_their_flow_are_refused_with_the_manifest() {
    let stated = |from: &str, to: &str| {
        let machine = Machine::new(FILES);
        let text = fs::read_to_string(machine.at("models/m.toml")).unwrap().replace(from, to);
        machine.put("models/m.toml", &text);
        machine.open().map(drop)
    };
    let own = "flow = \"distilled\"\n";
    assert!(MANIFEST.contains(own) && stated(own, own).is_ok() && stated(own, "").is_ok());
    for flow in ["dev", "hq"] {
        let error = stated(own, &format!("flow = \"{flow}\"\n")).unwrap_err();
        assert!(matches!(error, CatalogError::Contradiction { .. }), "{error:?}");
        let told = ltx_types::sentence(&error);
        assert!(told.contains("m.toml") && told.contains("schedule: distilled is not the schedule"), "{told}");
    }
}

#[test]
fn a_lora_with_a_role_has_no_name() {
    let lora = |more: &str| {
        let file = format!("{FILES}\n[[files.loras]]\npath = \"d.safetensors\"\nrole = \"distilled\"\n{more}");
        Machine::new(&file).open().map(|library| library.manifests()[0].files.loras[0].role)
    };
    assert_eq!(lora("strength = 0.25").unwrap(), Some(ltx_types::LoraRole::Distilled));
    let told = ltx_types::sentence(&lora("name = \"distilled\"").unwrap_err());
    assert!(told.contains("has a role"), "{told}");
    assert!(lora("role = \"detail\"").is_err());
}
