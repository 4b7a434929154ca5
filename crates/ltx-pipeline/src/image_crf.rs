//! The usual H.264 round trip of conditioning images: none for LTX-Video 0.9.x, as in diffusers, which is the reference for it here;
//! else by the version of the file that holds the video VAE, as the authors made it milder with LTX-2.4. Source: the public
//! `ltx_pipelines` reference.
//!
//! Must not know requests.

use crate::opened::{
    stated::{MODEL_VERSION, vae_version},
    version,
};
use ltx_model::architecture::{Conditioning, Family};
use ltx_types::{Crf, model_version};
use ltx_weights::TensorSet;

/// The first version whose images are compressed less, and how much.
const MILDER_SINCE: (u32, u32) = (2, 4);
const MILD: u32 = 18;

/// The constant rate factor where a request says none, 0 for no round trip. Of a version that cannot be read, the older one's; where no
/// file states one, the family's.
pub(crate) fn usual_image_crf(family: Family, tensors: &TensorSet) -> u32 {
    if family.conditioning() == Conditioning::Points {
        return 0;
    }
    let of_family = || tensors.metadata(MODEL_VERSION).is_none().then(|| version::of_family(family));
    let counts = vae_version(tensors).map_or_else(of_family, model_version);
    if counts.is_some_and(|version| version >= MILDER_SINCE) { MILD } else { Crf::USUAL }
}
