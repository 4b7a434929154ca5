//! Everything that the pipeline of LTX-Video 0.9.x draws for a clip, in its order: the clip's noise; for every image what its latent
//! is drawn with and, where it is appended, noise of its own; what is mixed in before decoding.
//!
//! Must not know what noise is mixed into.

use crate::{Noise, Result};
use candle_core::{Device, Tensor};
use ltx_types::{ConditioningMode, ImageCondition, LatentShape, Seed};

/// Noise of a clip.
pub(crate) struct Drawn {
    /// `[1, C, F, H, W]`.
    pub(crate) clip: Tensor,
    pub(crate) images: Vec<ImageNoise>,
    /// As the clip's, for its decoding.
    pub(crate) decoding: Tensor,
}

/// Noise of an image, `[1, C, 1, H, W]` each.
#[derive(Debug, Clone)]
pub(crate) struct ImageNoise {
    /// What its latent is drawn with.
    pub(crate) latent: Tensor,
    /// What an appended image is mixed with.
    pub(crate) own: Option<Tensor>,
}

impl Drawn {
    pub(crate) fn of(
        seed: Seed,
        (channels, shape): (usize, LatentShape),
        (images, mode): (&[ImageCondition], ConditioningMode),
        device: &Device,
    ) -> Result<Self> {
        let mut noise = Noise::new(seed);
        let mut draw = |frames: usize| -> Result<Tensor> {
            let dims = (1, channels, frames, shape.height, shape.width);
            let values = noise.draw(channels * frames * shape.height * shape.width);
            Ok(Tensor::from_vec(values, dims, device)?)
        };
        let clip = draw(shape.frames)?;
        let mut of_images = Vec::new();
        for image in images {
            let latent = draw(1)?;
            let own = if replaces(image.frame_index, mode) { None } else { Some(draw(1)?) };
            of_images.push(ImageNoise { latent, own });
        }
        Ok(Self { clip, images: of_images, decoding: draw(shape.frames)? })
    }
}

/// Whether an image takes the place of the clip's first latent frame.
pub(super) fn replaces(frame_index: usize, mode: ConditioningMode) -> bool {
    frame_index == 0 && mode == ConditioningMode::ReplaceFirst
}
