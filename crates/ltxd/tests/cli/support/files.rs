//! Where the repository's models and pictures are, and folders of a test's own.
//!
//! Must not know what is run on them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What an earlier clip holds that nothing but a finished run may touch.
pub(crate) const OLD: &[u8] = b"an earlier file, which only a finished run may replace";

/// A path inside the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap_or_else(|error| {
        panic!("{path} is not in this repository: {error}");
    })
}

/// The folder of manifests.
pub(crate) fn models() -> String {
    text(&repository("models"))
}

/// The tiny LTX-2.3 checkpoint.
pub(crate) fn checkpoint() -> String {
    text(&repository("models/tiny/ltx-2.3-tiny-dev.safetensors"))
}

/// The tiny upscaler.
pub(crate) fn upscaler() -> String {
    text(&repository("models/tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors"))
}

/// The tiny Gemma-3 folder.
pub(crate) fn gemma() -> String {
    text(&repository("models/tiny/gemma"))
}

/// The folder of demo pictures.
pub(crate) fn pictures() -> String {
    text(&repository("scripts/demo-pictures"))
}

/// A picture to start on.
pub(crate) fn start_picture() -> String {
    format!("{}/start.jpg", pictures())
}

/// A picture to end on.
pub(crate) fn end_picture() -> String {
    format!("{}/end.jpg", pictures())
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A temporary folder of its own for a test.
pub(crate) fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("ltxd-test-").tempdir().expect("a temporary folder")
}

/// Everything that lies in a folder: names with contents, or nothing for folders.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths_in(folder).iter().map(|path| (name(path), fs::read(path).ok())).collect()
}

/// Paths of everything in a folder; none where it is not there, or no longer.
pub(crate) fn paths_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}
