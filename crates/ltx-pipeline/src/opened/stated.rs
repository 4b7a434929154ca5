//! What the header of a checkpoint's file states beside its configuration, as far as it decides a result. Whoever writes a checkpoint
//! anew writes all of it again, so that nothing else comes of the copy.
//!
//! Must not know what an entry decides, or how files are written.

use super::version::version_of;
use ltx_model::{
    part::Module,
    video_vae::{VideoDecoder, VideoEncoder},
};
use ltx_types::{MODEL_VERSION, VAE_VERSION};
use ltx_weights::TensorSet;

/// The text encoder that a checkpoint was trained with, as JSON.
pub(crate) const GEMMA_SOURCE: &str = "gemma_source_checkpoint";

/// All of them.
pub(crate) const ENTRIES: [&str; 3] = [MODEL_VERSION, VAE_VERSION, GEMMA_SOURCE];

/// The version that the file of the video VAE states.
pub(crate) fn vae_version(tensors: &TensorSet) -> Option<&str> {
    let mark = [VideoEncoder::MARK, VideoDecoder::MARK].into_iter().find(|mark| tensors.has_prefix(mark))?;
    [VAE_VERSION, MODEL_VERSION].into_iter().find_map(|entry| tensors.metadata_beside(mark, entry))
}

/// Every such entry of the files, as one file states all of them.
pub(crate) fn entries(tensors: &TensorSet) -> Vec<(&'static str, String)> {
    let version = version_of(tensors);
    let vae = vae_version(tensors).filter(|vae| Some(*vae) != version);
    let stated = [(MODEL_VERSION, version), (VAE_VERSION, vae), (GEMMA_SOURCE, tensors.metadata(GEMMA_SOURCE))];
    stated.into_iter().filter_map(|(entry, value)| Some((entry, value?.to_owned()))).collect()
}
