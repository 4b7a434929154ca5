//! Which sizes of clips a model can make: what its video VAE folds into one latent element, and how much a request may ask for.
//!
//! Must not know the request that is checked.

use crate::{LatentScale, Stages};

/// The largest side a request may ask for, in pixels.
const LARGEST_SIDE: usize = 8192;
/// Latent frames of the longest clip a request may ask for, behind the first.
const MOST_LATENT_FRAMES: usize = 1000;

/// Sizes of clips that fit a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRules {
    /// A clip has `frame_step · k + 1` frames.
    pub frame_step: usize,
    /// Sides are multiples of this many pixels in one stage, of twice as many in two.
    pub side_step: usize,
    /// Frames of the longest clip.
    pub most_frames: usize,
    /// Pixels of the largest side.
    pub largest_side: usize,
}

impl SizeRules {
    /// What every video VAE of LTX 0.9 to 2.5 allows: 8k+1 frames up to 8001, sides in steps of 32 pixels up to 8192.
    pub const LTX: Self = Self::of_scale(LatentScale::LTX);

    /// The rules of a video VAE that folds so many pixels into a latent element; both sides are folded alike.
    pub const fn of_scale(scale: LatentScale) -> Self {
        let most_frames = MOST_LATENT_FRAMES * scale.time + 1;
        Self { frame_step: scale.time, side_step: scale.width, most_frames, largest_side: LARGEST_SIDE }
    }

    /// Sides must be multiples of this many pixels: the first of two stages works at half the size.
    pub fn side_step_of(&self, stages: Stages) -> usize {
        self.side_step * usize::from(stages.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameCount, PixelShape};

    #[test]
    fn rules_follow_the_scale_of_the_vae() {
        assert_eq!((SizeRules::LTX.frame_step, SizeRules::LTX.most_frames), (8, 8001));
        let finer = SizeRules::of_scale(LatentScale { time: 4, height: 16, width: 16 });
        assert_eq!((finer.most_frames, finer.side_step_of(Stages::Two)), (4001, 32));
        let frames = |n| FrameCount::by_rules(n, &finer).map_err(|e| e.to_string());
        assert_eq!(frames(13).map(FrameCount::get), Ok(13));
        assert_eq!(frames(15), Err("frames: 15 is not of the form 4k+1; nearest legal: 13 or 17".into()));
        assert_eq!(frames(4005), Err("frames: 4005 is more than 4001; nearest legal: 4001".into()));
        let sides =
            |width, height, stages| PixelShape { width, height }.checked(stages, &finer).map_err(|e| e.to_string());
        assert!(sides(48, 16, Stages::One).is_ok());
        let two = sides(48, 32, Stages::Two).unwrap_err();
        assert_eq!(two, "width: 48 is not a multiple of 32 (two stages); nearest legal: 32 or 64");
    }
}
