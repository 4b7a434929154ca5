//! The versions that the files of one model state. The transformer's counts for the model; parts of the text and the transformer
//! itself cannot be of two; of a VAE of another one it is said which of the two decides what.
//!
//! Must not know what depends on a version.

use super::{KeysOf, recognised::refused};
use crate::{PipelineError, Result};
use ltx_model::{
    architecture::Family,
    foreign::{Foreign, Signs},
    part::Module,
    text_encoder::{Connector, FeatureProjection},
    transformer::Transformer,
    video_vae::{VideoDecoder, VideoEncoder},
};
use ltx_types::{json::Contradiction, model_version};
use ltx_weights::{TensorSet, WeightsError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The entry that states a version.
pub(crate) const ENTRY: &str = "model_version";

/// The version of the file that holds the transformer, or that was said of it; of files without one, the first that is stated.
pub(crate) fn version_of(tensors: &TensorSet) -> Option<&str> {
    if !tensors.has_prefix(Transformer::MARK) {
        return tensors.metadata(ENTRY);
    }
    let stated = tensors.files_with(Transformer::MARK).find_map(|holder| stated_by(tensors, holder));
    stated.or_else(|| tensors.metadata_beside(Transformer::MARK, ENTRY))
}

fn stated_by<'a>(tensors: &'a TensorSet, file: &Path) -> Option<&'a str> {
    tensors.each_metadata(ENTRY).find(|(path, _)| *path == file).map(|(_, stated)| stated)
}

/// What files are together that are of another generation than their configuration, where one of them says so.
pub(crate) fn contradicted(tensors: &TensorSet, config: &Value) -> Option<Foreign> {
    let keys = &KeysOf(tensors);
    Foreign::of_contradiction(&Signs { keys, config: Some(config), version: version_of(tensors), architecture: None })
}

/// What files with a transformer are, by their version and keys, where no configuration says it.
pub(crate) fn named_without_configuration(tensors: &TensorSet) -> Option<PipelineError> {
    let holder = tensors.files_with(Transformer::MARK).next()?;
    let shown = Family::shown_by(&KeysOf(tensors));
    let stated = version_of(tensors).and_then(model_version).map(|version| Family::of_version(Some(version)));
    let family = if shown == Some(Family::Ltx25) { shown } else { stated.or(shown) };
    let what = if tensors.has_prefix("vae.") { "checkpoint" } else { "transformer" };
    Some(PipelineError::Foreign {
        file: holder.to_owned(),
        title: format!("{} {what} without a configuration", family?.title()),
        sign: "its header has no entry config".to_owned(),
        instead: "name an official file, or a .json, that states the configuration as a component",
    })
}

/// Refuses files that are together of another generation than their configuration.
///
/// # Errors
/// They are: what they are, and the file that holds the transformer.
pub(super) fn check_generation(tensors: &TensorSet, config: &Value) -> Result<()> {
    let holder = || tensors.files_with(Transformer::MARK).next().unwrap_or(tensors.path());
    contradicted(tensors, config).map_or(Ok(()), |found| Err(refused(holder(), found)))
}

/// Refuses files of two versions. What another version decides, or that one is none, is noted.
pub(crate) fn check(tensors: &TensorSet, family: Family) -> Result<Vec<String>> {
    let holder = || tensors.files_with(Transformer::MARK).next().unwrap_or(tensors.path());
    let own = version_of(tensors).and_then(model_version);
    let mut notes = Vec::new();
    for (file, stated) in tensors.each_metadata(ENTRY) {
        let Some(version) = model_version(stated) else {
            notes.push(format!(
                "{}: its {ENTRY} is {stated:?}, which is no version; nothing is taken from it",
                file.display()
            ));
            continue;
        };
        let same = own.map_or_else(|| Family::of_version(Some(version)) == family, |own| own == version);
        let holds = |mark: &str| tensors.files_with(mark).any(|holder| holder == file);
        if same {
            continue;
        }
        let of_the_model = [Transformer::MARK, Connector::MARK, FeatureProjection::MARK];
        if of_the_model.into_iter().any(holds) {
            return Err(two_versions(tensors, (holder(), family), (file, stated)));
        }
        if [VideoEncoder::MARK, VideoDecoder::MARK].into_iter().any(holds) {
            let model =
                version_of(tensors).map_or_else(|| format!("a transformer of {}", family.title()), str::to_owned);
            notes.push(format!(
                "{}: states {ENTRY} {stated}, and the transformer's file {model}: images are compressed as the VAE's says, \
                 everything else is as the transformer's",
                file.display()
            ));
        }
    }
    Ok(notes)
}

fn two_versions(
    tensors: &TensorSet,
    (holder, family): (&Path, Family),
    (file, stated): (&Path, &str),
) -> PipelineError {
    let first = version_of(tensors).map_or_else(|| json!(family.title()), |version| json!(version));
    let contradiction = Contradiction { entry: ENTRY.to_owned(), first: first.into(), second: json!(stated).into() };
    let (first, second): (PathBuf, PathBuf) = (holder.to_owned(), file.to_owned());
    WeightsError::ConfigsDiffer { first, second, contradiction: Box::new(contradiction) }.into()
}
