//! The usual H.264 round trip of conditioning images, by the version of the file that holds the video VAE: the authors made it
//! milder with LTX-2.4. Source: the public `ltx_pipelines` reference.
//!
//! Must not know requests.

use crate::{Result, opened::resolved};
use ltx_model::{
    part::Module,
    video_vae::{VideoDecoder, VideoEncoder},
};
use ltx_types::{ModelFiles, model_version};
use ltx_weights::TensorSet;

/// The first version whose images are compressed less, and both factors.
const MILDER_SINCE: (u32, u32) = (2, 4);
const MILD: u32 = 18;
const USUAL: u32 = 33;

/// The constant rate factor that the authors use where a request says none; of a version that cannot be read, the older one.
///
/// # Errors
/// A file cannot be opened.
pub fn usual_image_crf(files: &ModelFiles) -> Result<u32> {
    for file in
        resolved(files)?.checkpoint_files().iter().filter(|file| file.extension().is_none_or(|kind| kind != "json"))
    {
        let tensors = TensorSet::open_file(file)?;
        if tensors.has_prefix(VideoEncoder::MARK) || tensors.has_prefix(VideoDecoder::MARK) {
            let version = tensors.metadata("model_version").and_then(model_version);
            return Ok(if version.is_some_and(|version| version >= MILDER_SINCE) { MILD } else { USUAL });
        }
    }
    Ok(USUAL)
}
