//! Sizes of pictures and of latents, and how one follows from the other.
//!
//! Must not know tensors.

use crate::{Faults, FieldError, FieldErrors, FrameCount, SizeRules, Stages};
use serde::{Deserialize, Serialize};

/// Width and height of every frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelShape {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

impl PixelShape {
    /// Checks both sides by the rules of every LTX model ([`SizeRules::LTX`]).
    ///
    /// # Errors
    /// As [`Self::checked`].
    pub fn new(width: usize, height: usize, stages: Stages) -> Result<Self, FieldErrors> {
        Self { width, height }.checked(stages, &SizeRules::LTX)
    }

    /// Checks both sides against the step the stages need: in LTX models 32 pixels for one stage, 64 for two.
    ///
    /// # Errors
    /// A side is 0, larger than the rules allow, or not a multiple; the error names each such side and the nearest multiples.
    pub fn checked(self, stages: Stages, rules: &SizeRules) -> Result<Self, FieldErrors> {
        let mut found = Faults::default();
        found.keep(side("width", self.width, stages, rules));
        found.keep(side("height", self.height, stages, rules));
        found.nothing().map(|()| self)
    }

    /// The shape stage 1 works at: half of both sides with two stages, the same with one.
    #[must_use]
    pub fn first_stage(self, stages: Stages) -> Self {
        match stages {
            Stages::One => self,
            Stages::Two => Self { width: self.width / 2, height: self.height / 2 },
        }
    }
}

impl std::fmt::Display for PixelShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

fn side(field: &'static str, pixels: usize, stages: Stages, rules: &SizeRules) -> Result<(), FieldError> {
    let (step, largest) = (rules.side_step_of(stages), rules.largest_side);
    if pixels > largest {
        return Err(FieldError::new(field, pixels, format!("is more than {largest}")).nearest(largest));
    }
    if pixels > 0 && pixels.is_multiple_of(step) {
        return Ok(());
    }
    let why = if stages == Stages::Two { " (two stages)" } else { "" };
    let error = FieldError::new(field, pixels, format!("is not a multiple of {step}{why}"));
    let below = pixels / step * step;
    Err(if below == 0 { error.nearest(step) } else { error.nearest(format!("{below} or {}", below + step)) })
}

/// Pixels per latent element on each axis, read from the VAE's own configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentScale {
    /// Frames per latent frame (after the first).
    pub time: usize,
    /// Rows per latent row.
    pub height: usize,
    /// Columns per latent column.
    pub width: usize,
}

impl LatentScale {
    /// What every LTX 2.x and 0.9.x video VAE that this node serves uses: 8 × 32 × 32.
    pub const LTX: Self = Self { time: 8, height: 32, width: 32 };
}

/// Frames, height and width of a latent; one token per element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentShape {
    /// Latent frames.
    pub frames: usize,
    /// Latent rows.
    pub height: usize,
    /// Latent columns.
    pub width: usize,
}

impl LatentShape {
    /// The latent of a clip. The sizes were checked when `pixels` and `frames` were made.
    pub fn of(pixels: PixelShape, frames: FrameCount, scale: LatentScale) -> Self {
        Self {
            frames: frames.latent(scale.time),
            height: pixels.height / scale.height,
            width: pixels.width / scale.width,
        }
    }

    /// Tokens in the patchified sequence (patch size 1).
    pub fn tokens(self) -> usize {
        self.frames * self.frame_tokens()
    }

    /// Tokens of one latent frame.
    pub fn frame_tokens(self) -> usize {
        self.height * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_name_the_nearest_multiples() {
        let text = |w, h, s| PixelShape::new(w, h, s).map_err(|e| e.to_string());
        assert!(text(96, 64, Stages::One).is_ok());
        assert_eq!(
            text(100, 64, Stages::One),
            Err("width: 100 is not a multiple of 32; nearest legal: 96 or 128".into())
        );
        assert_eq!(
            text(128, 96, Stages::Two),
            Err("height: 96 is not a multiple of 64 (two stages); nearest legal: 64 or 128".into())
        );
        assert_eq!(text(0, 64, Stages::One), Err("width: 0 is not a multiple of 32; nearest legal: 32".into()));
        let both = "width: 130 is not a multiple of 32; nearest legal: 128 or 160; height: 1 is not a multiple of 32; nearest \
                    legal: 32";
        assert_eq!(text(130, 1, Stages::One), Err(both.into()));
        assert!(text(1 << 40, 64, Stages::One).is_err());
    }
}
