//! Finding models: the folder of manifests, and what `--model` means.
//!
//! Must not know how a model is run.

use crate::{exit::BadInput, hub};
use anyhow::{Context, Result};
use ltx_catalog::{Fingerprints, ModelLibrary, Places};
use ltx_types::ModelFiles;
use std::{
    io,
    path::{Path, PathBuf},
};

/// The model used when none is named: the trained one that the repository ships.
pub(crate) const DEFAULT_MODEL: &str = "ltx-2.3-small";

/// The folder of manifests: the one given, else `models` here, else `models` or `share/ltxd/models` beside the executable or above
/// it (where a source tree and where an installed package have it).
pub(crate) fn folder(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(folder) => Ok(folder.to_owned()),
        None => find().ok_or_else(|| {
            BadInput("no folder of model manifests here or beside the executable; name one with --models-dir".into())
                .into()
        }),
    }
}

/// Opens the folder of manifests, the one given or the one that is found. Their files are looked for where the manifests put them,
/// in the hub's cache, and where `pull --from` found them.
pub(crate) fn open(given: Option<&Path>) -> Result<ModelLibrary> {
    let folder = folder(given)?;
    let library = ModelLibrary::open(&folder).context("the model manifests")?;
    let places = Places::read(hub::cache(), &hub::folders_of_records(&folder)).context("the models' files")?;
    Ok(library.with_places(places))
}

fn find() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok();
    let above = executable.iter().flat_map(|path| path.ancestors().skip(1));
    let above = above.flat_map(|folder| [folder.join("models"), folder.join("share/ltxd/models")]);
    std::iter::once(PathBuf::from("models")).chain(above).find(|folder| has_manifest(folder))
}

fn has_manifest(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "toml"))
}

/// What tells a model's files from others', without reading a weight.
pub(crate) fn fingerprints(files: &ModelFiles) -> io::Result<Fingerprints> {
    Fingerprints::of_headers(files, |gguf| ltx_weights::header_bytes(gguf).map_err(io::Error::other))
}

/// Whether `--model` names a file or a folder rather than a model.
pub(crate) fn is_path(model: &str) -> bool {
    let path = Path::new(model);
    // Any other folder is told from a model's name by its path, `./NAME`.
    let folder = ["model_index.json", "diffusion_models", "checkpoints"].iter().any(|name| path.join(name).exists());
    model.contains('/') || model.ends_with(".safetensors") || model.ends_with(".gguf") || path.is_file() || folder
}
