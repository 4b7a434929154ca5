//! The usual H.264 round trip of conditioning images: none for LTX-Video 0.9.x, as in diffusers, which is the reference for it here;
//! else by the version of the file that holds the video VAE, as the authors made it milder with LTX-2.4. Source: the public
//! `ltx_pipelines` reference.
//!
//! Must not know requests.

use crate::opened::{stated::vae_version, version};
use ltx_model::architecture::{Conditioning, Family};
use ltx_types::{Crf, model_version};
use ltx_weights::TensorSet;

/// The first version whose images are compressed less, and how much.
const MILDER_SINCE: (u32, u32) = (2, 4);
const MILD: u32 = 18;

/// The constant rate factor where a request says none, 0 for no round trip. Where the VAE's file states no version that can be read, the
/// version counts that the checkpoint counts as.
pub(crate) fn usual_image_crf(family: Family, tensors: &TensorSet) -> u32 {
    if family.conditioning() == Conditioning::Points {
        return 0;
    }
    let of_the_vae = vae_version(tensors).and_then(model_version);
    let counts = of_the_vae.unwrap_or_else(|| version::of(tensors, family));
    if counts >= MILDER_SINCE { MILD } else { Crf::USUAL }
}
