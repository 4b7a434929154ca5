//! Everything that the pipeline of LTX-Video 0.9.x draws for a clip, in its order: for every pass the clip's noise, and for every
//! image what its latent is drawn with and, where it is appended, noise of its own; at last what is mixed in before decoding.
//!
//! Must not know what noise is mixed into.

use crate::{Noise, Result};
use candle_core::{DType, Device, Tensor};
use ltx_types::{ConditioningMode, ImageCondition, LatentShape, Seed};

/// Noise of a generation, all of one generator.
pub(crate) struct Drawn {
    /// One or two.
    pub(crate) passes: Vec<PassNoise>,
    /// As the last pass's clip, for its decoding.
    pub(crate) decoding: Tensor,
}

/// Noise of a pass.
pub(crate) struct PassNoise {
    /// `[1, C, F, H, W]`.
    pub(crate) clip: Tensor,
    pub(crate) images: Vec<ImageNoise>,
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
        (channels, shapes): (usize, &[LatentShape]),
        (images, mode): (&[ImageCondition], ConditioningMode),
        device: &Device,
    ) -> Result<Self> {
        let mut noise = Noise::new(seed);
        let mut draw = |shape: &LatentShape, frames: usize| -> Result<Tensor> {
            let dims = (1, channels, frames, shape.height, shape.width);
            let values = noise.draw(channels * frames * shape.height * shape.width);
            Ok(Tensor::from_vec(values, dims, device)?)
        };
        let mut passes: Vec<PassNoise> = Vec::new();
        for shape in shapes {
            let clip = draw(shape, shape.frames)?;
            let mut of_images = Vec::new();
            for image in images {
                let latent = draw(shape, 1)?;
                let own = if replaces(image.frame_index, mode) { None } else { Some(draw(shape, 1)?) };
                of_images.push(ImageNoise { latent, own });
            }
            passes.push(PassNoise { clip, images: of_images });
        }
        let decoding = shapes.last().map(|shape| draw(shape, shape.frames)).transpose()?;
        let decoding = decoding.map_or_else(|| Tensor::zeros((1, channels, 0, 0, 0), DType::F32, device), Ok)?;
        Ok(Self { passes, decoding })
    }
}

/// Whether an image takes the place of the clip's first latent frame.
pub(super) fn replaces(frame_index: usize, mode: ConditioningMode) -> bool {
    frame_index == 0 && mode == ConditioningMode::ReplaceFirst
}
