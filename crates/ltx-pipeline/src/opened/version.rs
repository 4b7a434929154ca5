//! The version that a checkpoint counts as: its sampler and the compression of its images go by it. What the transformer's file states
//! counts; where it states none, what the model's manifest says; by path, that of the family that its configuration shows. Parts of the
//! text and the transformer itself cannot be of two; of a VAE of another one it is said which of the two decides what.
//!
//! Must not know what goes by a version.

use crate::{PipelineError, Result};
use ltx_model::{
    architecture::{Conditioning, Family},
    foreign::Foreign,
    part::Module,
    text_encoder::{Connector, FeatureProjection},
    transformer::Transformer,
    video_vae::{VideoDecoder, VideoEncoder},
};
use ltx_types::{MODEL_VERSION, VAE_VERSION, json::Contradiction, model_version};
use ltx_weights::{TensorSet, WeightsError};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Major and minor number of a checkpoint of a family where nothing states one.
fn of_family(family: Family) -> (u32, u32) {
    match family {
        Family::Ltxv098 => (0, 9),
        Family::Ltx2 => (2, 0),
        Family::Ltx23 => (2, 3),
        Family::Ltx25 => (2, 5),
    }
}

/// Major and minor number.
pub(crate) fn of(tensors: &TensorSet, family: Family) -> (u32, u32) {
    version_of(tensors).and_then(model_version).unwrap_or_else(|| of_family(family))
}

/// The version of the file that holds the transformer, or that was said of it; of files without one, the first that is stated.
pub(crate) fn version_of(tensors: &TensorSet) -> Option<&str> {
    if !tensors.has_prefix(Transformer::MARK) {
        return tensors.metadata(MODEL_VERSION);
    }
    stated_in(tensors).map(|(_, stated)| stated).or_else(|| tensors.metadata_beside(Transformer::MARK, MODEL_VERSION))
}

/// The first file with a part of the transformer that states a version.
fn stated_in(tensors: &TensorSet) -> Option<(&Path, &str)> {
    let stated_by = |file: &Path| tensors.each_metadata(MODEL_VERSION).find(|(path, _)| *path == file);
    tensors.files_with(Transformer::MARK).find_map(stated_by)
}

/// The first file with a part of the transformer; of files without one, the first.
pub(super) fn holder(tensors: &TensorSet) -> &Path {
    tensors.files_with(Transformer::MARK).next().unwrap_or(tensors.path())
}

/// The file by which a checkpoint's version is known: the transformer's, or the one that says it.
fn stating(tensors: &TensorSet) -> &Path {
    let stated = stated_in(tensors).map(|(file, _)| file);
    stated.or_else(|| tensors.says(MODEL_VERSION)).unwrap_or_else(|| holder(tensors))
}

/// The files with the manifest's version for what states none, and a note where another counts than the files state.
pub(super) fn settled(tensors: TensorSet, manifests: Option<&str>, family: Family) -> (TensorSet, Option<String>) {
    if version_of(&tensors).is_some() {
        return (tensors, None);
    }
    let lacks = format!("{}: states no version", tensors.path().display());
    match manifests.filter(|version| model_version(version).is_some()) {
        Some(version) => {
            (tensors.saying(MODEL_VERSION, version), Some(format!("{lacks}; the manifest's counts: {version}")))
        }
        None => (tensors, taken_for(family).map(|taken| format!("{lacks}; {taken}"))),
    }
}

/// What a checkpoint without a version is taken for, where anything goes by it.
fn taken_for(family: Family) -> Option<String> {
    let ((major, minor), title) = (of_family(family), family.title());
    (family.conditioning() != Conditioning::Points)
        .then(|| format!("taken for {major}.{minor}, as its configuration is that of {title}"))
}

/// Refuses files of two versions. What another version decides, or that one is none, is noted.
pub(crate) fn check(tensors: &TensorSet, family: Family) -> Result<Vec<String>> {
    let own = version_of(tensors).and_then(model_version);
    let is_same =
        |version: (u32, u32)| own.map_or_else(|| Family::of_version(Some(version)) == family, |own| own == version);
    let mut notes = Vec::new();
    for (file, stated) in tensors.each_metadata(MODEL_VERSION) {
        let holds = |mark: &str| tensors.files_with(mark).any(|holder| holder == file);
        match model_version(stated) {
            None => notes.push(unread((file, MODEL_VERSION, stated), holds(Transformer::MARK).then_some(family))),
            Some(version) if is_same(version) => {}
            Some(_) if [Transformer::MARK, Connector::MARK, FeatureProjection::MARK].into_iter().any(holds) => {
                return Err(two_versions(tensors, family, (file, stated)));
            }
            Some(_) if [VideoEncoder::MARK, VideoDecoder::MARK].into_iter().any(holds) => {
                notes.push(of_the_vae(tensors, family, (file, MODEL_VERSION, stated)));
            }
            Some(_) => {}
        }
    }
    for (file, stated) in tensors.each_metadata(VAE_VERSION) {
        match model_version(stated) {
            None => notes.push(unread((file, VAE_VERSION, stated), None)),
            Some(version) if is_same(version) => {}
            Some(_) => notes.push(of_the_vae(tensors, family, (file, VAE_VERSION, stated))),
        }
    }
    // One that a file of configuration says is in no header.
    let said = tensors.says(MODEL_VERSION).zip(version_of(tensors)).filter(|_| stated_in(tensors).is_none());
    notes.extend(
        said.filter(|(_, version)| model_version(version).is_none())
            .map(|(file, version)| unread((file, MODEL_VERSION, version), Some(family))),
    );
    Ok(notes)
}

/// A note on a version that is none; of a transformer's, with the family by which it is taken.
fn unread((file, entry, stated): (&Path, &str, &str), family: Option<Family>) -> String {
    let then = family.and_then(taken_for).unwrap_or_else(|| "nothing is taken from it".to_owned());
    format!("{}: its {entry} is {stated:?}, which is no version; {then}", file.display())
}

fn of_the_vae(tensors: &TensorSet, family: Family, (file, entry, stated): (&Path, &str, &str)) -> String {
    let model = version_of(tensors).map_or_else(|| format!("a transformer of {}", family.title()), str::to_owned);
    format!(
        "{}: states {entry} {stated}, and the transformer's file {model}: images are compressed as the VAE's says, everything else \
         is as the transformer's",
        file.display()
    )
}

fn two_versions(tensors: &TensorSet, family: Family, (file, stated): (&Path, &str)) -> PipelineError {
    let first = version_of(tensors).map_or_else(|| json!(family.title()), |version| json!(version));
    let contradiction =
        Contradiction { entry: MODEL_VERSION.to_owned(), first: first.into(), second: json!(stated).into() };
    let (first, second): (PathBuf, PathBuf) = (stating(tensors).to_owned(), file.to_owned());
    WeightsError::ConfigsDiffer { first, second, contradiction: Box::new(contradiction) }.into()
}

/// What is said of files beside a checkpoint, a text encoder or an upscaler, that state another version than it, or one that is none.
pub(crate) fn beside(others: &TensorSet, (major, minor): (u32, u32)) -> Vec<String> {
    let note = |(file, stated): (&Path, &str)| match model_version(stated) {
        None => Some(unread((file, MODEL_VERSION, stated), None)),
        Some(version) if version == (major, minor) => None,
        Some(_) => Some(format!(
            "{}: its {MODEL_VERSION} is {stated}, and the transformer counts as {major}.{minor}; nothing is taken from it",
            file.display()
        )),
    };
    others.each_metadata(MODEL_VERSION).filter_map(note).collect()
}

/// Refuses a manifest's version of another generation than the files are. One that is no version says nothing.
///
/// # Errors
/// It is.
pub(crate) fn check_manifests(tensors: &TensorSet, manifests: Option<&str>, family: Family) -> Result<()> {
    match manifests.filter(|version| !Foreign::is_version_of(version, family)) {
        Some(version) => Err(PipelineError::OtherVersion {
            file: tensors.path().to_owned(),
            version: version.to_owned(),
            family: family.name(),
        }),
        None => Ok(()),
    }
}
