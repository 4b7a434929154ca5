//! A generation as the engine takes it: every field checked, nothing left to round.
//!
//! Must not know flags or protobuf (they fill a draft) nor policy (it admits the result).

use crate::{
    ConditioningMode, FieldError, Flow, FrameCount, FrameRate, Guidance, ImageCondition, LoraUse, Method, PassGuidance,
    PixelShape, Schedule, Seed, SigmaList, Stages,
};
use serde::{Deserialize, Serialize};

/// H.264 constant rate factor of the conditioning images' round trip, 0..=51; 0 switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crf(u8);

impl Crf {
    /// No round trip.
    pub const OFF: Self = Self(0);
    /// The round trip of LTX-2's authors, and where nobody knows the model.
    pub const USUAL: u32 = 33;

    /// # Errors
    /// Above 51.
    pub fn new(crf: u32) -> Result<Self, FieldError> {
        match u8::try_from(crf) {
            Ok(crf) if crf <= 51 => Ok(Self(crf)),
            _ => Err(FieldError::new("image_crf", crf, "is outside 0..=51").nearest(51)),
        }
    }

    /// The factor, or `None` when the round trip is off.
    pub fn get(self) -> Option<u8> {
        (self.0 != 0).then_some(self.0)
    }
}

/// What a caller wants, field by field, before the fields are checked against each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationDraft {
    /// What the clip shows.
    pub prompt: String,
    /// What guidance steers away from; used by the guided schedule only.
    pub negative_prompt: String,
    /// Images and the frames they belong to.
    pub images: Vec<ImageCondition>,
    /// What happens to an image at frame 0.
    pub conditioning: ConditioningMode,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Pixel frames, 8k+1.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Seeds the noise.
    pub seed: Seed,
    /// The authors' flow, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// The sampling schedule.
    pub schedule: Schedule,
    /// Steps of the guided schedule; of a request that a node keeps, those that are taken.
    pub steps: usize,
    /// Steps that were said, until it is known whether the schedule has as many.
    #[serde(skip)]
    pub steps_said: Option<usize>,
    /// One stage or two.
    pub stages: Stages,
    /// Guidance of the guided schedule, where it is the same in every step.
    pub guidance: Guidance,
    /// Guidance of the flow `multi_scale`, where the model states its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_guidance: Option<PassGuidance>,
    /// The images' H.264 round trip; without it the model's usual one.
    pub image_crf: Option<u32>,
    /// Noise levels instead of the schedule's own; they say how many steps there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// Noise levels of the second stage instead of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refine_sigmas: Option<Vec<f64>>,
    /// Whether the clip may be longer than those that the model was trained on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond_trained_length: bool,
    /// LoRAs that the model lists, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<LoraUse>,
    /// What was found wrong while the draft was composed, and its values no longer show. It is refused with the rest, and
    /// nothing of it is stored.
    #[serde(skip)]
    pub faults: Vec<FieldError>,
}

impl GenerationDraft {
    /// The same with what the model says itself of steps and images, as it was checked.
    #[must_use]
    pub fn settled(self, checked: &Generation) -> Self {
        let image_crf = Some(checked.image_crf.get().map_or(0, u32::from));
        Self { steps: checked.steps, steps_said: None, image_crf, ..self }
    }
}

/// A generation whose fields fit together.
#[derive(Debug, Clone)]
pub struct Generation {
    /// How the images steer the clip.
    pub method: Method,
    /// What the clip shows.
    pub prompt: String,
    /// What guidance steers away from.
    pub negative_prompt: String,
    /// Images by frame; never empty.
    pub images: Vec<ImageCondition>,
    /// What happens to an image at frame 0.
    pub conditioning: ConditioningMode,
    /// Size of every frame.
    pub pixels: PixelShape,
    /// Length of the clip.
    pub frames: FrameCount,
    /// How fast it plays.
    pub rate: FrameRate,
    /// Seeds the noise.
    pub seed: Seed,
    /// The authors' flow, where one is named.
    pub flow: Option<Flow>,
    /// The sampling schedule.
    pub schedule: Schedule,
    /// Steps of the first stage.
    pub steps: usize,
    /// One stage or two.
    pub stages: Stages,
    /// Guidance of the first stage's steps, the same in all of them; present on the guided schedule but in the flow `multi_scale`.
    pub guidance: Option<Guidance>,
    /// Guidance that changes from step to step, in both stages; present in the flow `multi_scale`.
    pub pass_guidance: Option<PassGuidance>,
    /// The images' H.264 round trip.
    pub image_crf: Crf,
    /// Noise levels of the first stage instead of the schedule's own; as many steps as `steps`.
    pub sigmas: Option<SigmaList>,
    /// Noise levels of the second stage instead of the usual ones.
    pub refine_sigmas: Option<SigmaList>,
    /// LoRAs that the model lists, by name; each name once.
    pub loras: Vec<LoraUse>,
}
