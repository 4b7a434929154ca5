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

/// The version of the file that holds the transformer; of files without one, the first that is stated.
pub(crate) fn version_of(tensors: &TensorSet) -> Option<&str> {
    if !tensors.has_prefix(Transformer::MARK) {
        return tensors.each_metadata(ENTRY).map(|(_, stated)| stated).next();
    }
    tensors.files_with(Transformer::MARK).find_map(|holder| stated_by(tensors, holder))
}

fn stated_by<'a>(tensors: &'a TensorSet, file: &Path) -> Option<&'a str> {
    tensors.each_metadata(ENTRY).find(|(path, _)| *path == file).map(|(_, stated)| stated)
}

/// What files are together that are of another generation than their configuration, where one of them says so.
pub(crate) fn contradicted(tensors: &TensorSet, config: &Value) -> Option<Foreign> {
    let keys = &KeysOf(tensors);
    Foreign::of_contradiction(&Signs { keys, config: Some(config), version: version_of(tensors), architecture: None })
}

/// Refuses files that are together of another generation than their configuration.
///
/// # Errors
/// They are: what they are, and the file that holds the transformer.
pub(super) fn check_generation(tensors: &TensorSet, config: &Value) -> Result<()> {
    let holder = || tensors.files_with(Transformer::MARK).next().unwrap_or(tensors.path());
    contradicted(tensors, config).map_or(Ok(()), |found| Err(refused(holder(), found)))
}
