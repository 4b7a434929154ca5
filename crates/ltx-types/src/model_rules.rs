//! What a model says about the requests that it can serve: sizes, stages, steps, blocks, and how long a clip it has seen.
//!
//! Must not know the request that is checked, nor the files that say it.

use crate::{DistilledLora, FrameRate, SizeRules};

/// What requests for a model are held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelRules {
    /// Sizes of clips.
    pub sizes: SizeRules,
    /// Steps of its distilled schedule; `None` until they are known.
    pub distilled_steps: Option<usize>,
    /// The H.264 round trip that its reference gives images where nobody says one; `None` until it is known.
    pub image_crf: Option<u32>,
    /// In which stages it has the distilled LoRA; `None` until it is known.
    pub distilled_lora: Option<DistilledLora>,
    /// Whether two stages are possible; `None` until it is known.
    pub two_stages: Option<bool>,
    /// Whether its guided two stages are the flow `multi_scale`, and no others; `None` until it is known.
    pub multi_scale: Option<bool>,
    /// Transformer blocks; `None` until they are known.
    pub blocks: Option<usize>,
    /// Seconds of the longest clip whose positions the model was trained on; `None` until they are known, or where a request was
    /// accepted before.
    pub trained_seconds: Option<f64>,
    /// Whether a request may ask for clips beyond `trained_seconds`.
    pub beyond_trained_length: bool,
}

impl ModelRules {
    /// What holds for every LTX model, as far as it is known without one.
    pub const LTX: Self = Self {
        sizes: SizeRules::LTX,
        distilled_steps: None,
        image_crf: None,
        distilled_lora: None,
        two_stages: None,
        multi_scale: None,
        blocks: None,
        trained_seconds: None,
        beyond_trained_length: true,
    };

    /// The rules for a request that was accepted earlier: what it may ask for was settled then.
    #[must_use]
    pub fn of_accepted(self) -> Self {
        Self { trained_seconds: None, ..self }
    }

    /// Frames of the longest clip, at a rate, whose last frame lies within the trained positions; `None` where these are not
    /// known. Of the form that the sizes demand.
    pub fn trained_frames(&self, rate: FrameRate) -> Option<usize> {
        let seconds = self.trained_seconds?;
        let SizeRules { frame_step: step, most_frames: most, .. } = self.sizes;
        let behind_first = seconds * f64::from(rate.numerator()) / f64::from(rate.denominator());
        // Casts of floats saturate.
        let steps = ((behind_first / step as f64).floor() as usize).min((most - 1) / step);
        Some(steps * step + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_clip_ends_where_the_trained_positions_do() {
        let rules = |seconds| ModelRules { trained_seconds: Some(seconds), ..ModelRules::LTX };
        let frames = |seconds, fps| rules(seconds).trained_frames(FrameRate::new(fps).unwrap());
        assert_eq!(frames(20.0, 24.0), Some(481));
        assert_eq!((frames(20.0, 25.0), frames(20.0, 23.976)), (Some(497), Some(473)));
        assert_eq!((frames(20.0, 1.0), frames(0.1, 24.0), frames(f64::NAN, 24.0)), (Some(17), Some(1), Some(1)));
        assert_eq!(frames(1e300, 24.0), Some(8001));
        assert_eq!(rules(20.0).of_accepted().trained_frames(FrameRate::new(24.0).unwrap()), None);
    }
}
