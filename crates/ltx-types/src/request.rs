//! A generation as the engine takes it: every field checked, nothing left to round.
//!
//! Must not know flags or protobuf (they fill a draft) nor policy (it admits the result).

use crate::{
    ConditioningMode, FieldError, FrameCount, FrameRate, Guidance, ImageCondition, Method, PixelShape, Schedule, Seed,
    SizeRules, Stages,
};
use serde::{Deserialize, Serialize};

/// H.264 constant rate factor of the conditioning images' round trip, 0..=51; 0 switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crf(u8);

impl Crf {
    /// No round trip.
    pub const OFF: Self = Self(0);

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
    /// The sampling schedule.
    pub schedule: Schedule,
    /// Steps of the guided schedule; the distilled one is fixed.
    pub steps: usize,
    /// One stage or two.
    pub stages: Stages,
    /// Guidance of the guided schedule.
    pub guidance: Guidance,
    /// The images' H.264 round trip.
    pub image_crf: u32,
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
    /// The sampling schedule.
    pub schedule: Schedule,
    /// Steps of the guided schedule.
    pub steps: usize,
    /// One stage or two.
    pub stages: Stages,
    /// Guidance, present on the guided schedule.
    pub guidance: Option<Guidance>,
    /// The images' H.264 round trip.
    pub image_crf: Crf,
}

impl GenerationDraft {
    /// Checks every field by the rules of every LTX model ([`SizeRules::LTX`]).
    ///
    /// # Errors
    /// As [`Self::check_by`].
    pub fn check(self, method: Method) -> Result<Generation, FieldError> {
        self.check_by(&SizeRules::LTX, method)
    }

    /// Checks every field, alone and against the others; `rules` say which sizes the model can make.
    ///
    /// # Errors
    /// The first field that is wrong, with the nearest legal value.
    pub fn check_by(self, rules: &SizeRules, method: Method) -> Result<Generation, FieldError> {
        // The shortest clip between two images: a latent frame for each.
        let shortest = rules.frame_step + 1;
        if method == Method::StartEndFrames && self.frames < shortest {
            let rule = "is too short for a start and an end frame";
            return Err(FieldError::new("frames", self.frames, rule).nearest(shortest));
        }
        let frames = FrameCount::by_rules(self.frames, rules)?;
        let pixels = PixelShape { width: self.width, height: self.height }.checked(self.stages, rules)?;
        let rate = FrameRate::new(self.fps)?;
        if self.images.is_empty() {
            return Err(FieldError::new("image", "none", "was given; a generation starts from an image"));
        }
        for image in &self.images {
            if image.frame_index > frames.last() {
                let rule = format!("is outside the clip of {} frames", frames.get());
                return Err(FieldError::new("frame_index", image.frame_index, rule).nearest(frames.last()));
            }
        }
        if !(1..=1000).contains(&self.steps) {
            let nearest = self.steps.clamp(1, 1000);
            return Err(FieldError::new("steps", self.steps, "is outside 1..=1000").nearest(nearest));
        }
        let guidance = Some(self.guidance.check()?).filter(|_| self.schedule == Schedule::Guided);
        let image_crf = Crf::new(self.image_crf)?;
        Ok(Generation {
            method,
            prompt: self.prompt,
            negative_prompt: self.negative_prompt,
            images: self.images,
            conditioning: self.conditioning,
            pixels,
            frames,
            rate,
            seed: self.seed,
            schedule: self.schedule,
            steps: self.steps,
            stages: self.stages,
            guidance,
            image_crf,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Defaults, FramePosition, ImageInput, ImageSource, Overrides, Strength};

    fn draft() -> GenerationDraft {
        let image =
            |position| ImageInput { source: ImageSource::Path("start.png".into()), position, strength: Strength::FULL };
        let said = Overrides { width: Some(96), height: Some(64), frames: Some(17), ..Overrides::default() };
        let images = vec![image(FramePosition::First), image(FramePosition::Last)];
        Defaults::official(Schedule::Distilled).fill(said, "A lake".into(), images)
    }

    fn refusal(change: impl FnOnce(&mut GenerationDraft)) -> String {
        let mut draft = draft();
        change(&mut draft);
        draft.check(Method::StartEndFrames).unwrap_err().to_string()
    }

    #[test]
    fn guidance_is_kept_on_the_guided_schedule_alone() {
        assert!(draft().check(Method::StartEndFrames).unwrap().guidance.is_none());
        let guided = GenerationDraft { schedule: Schedule::Guided, ..draft() };
        assert!(guided.check(Method::StartEndFrames).unwrap().guidance.is_some());
    }

    #[test]
    fn each_field_is_refused_by_name() {
        let outside = refusal(|draft| draft.images[1].frame_index = 17);
        assert_eq!(outside, "frame_index: 17 is outside the clip of 17 frames; nearest legal: 16");
        let short = refusal(|draft| draft.frames = 1);
        assert_eq!(short, "frames: 1 is too short for a start and an end frame; nearest legal: 9");
        assert!(refusal(|draft| draft.images.clear()).starts_with("image: none was given"));
        assert!(refusal(|draft| draft.steps = 0).starts_with("steps: 0 is outside 1..=1000"));
        assert!(refusal(|draft| draft.image_crf = 52).starts_with("image_crf: 52 is outside 0..=51"));
        assert!(refusal(|draft| draft.fps = f64::NAN).starts_with("fps: NaN"));
        assert!(refusal(|draft| draft.guidance.cfg_scale = f64::NAN).starts_with("guidance_scale: NaN"));
    }

    #[test]
    fn strength_is_a_share() {
        assert!(Strength::new(0.0).is_ok() && Strength::new(1.0).is_ok());
        for (value, nearest) in [(-0.1, "0"), (1.5, "1"), (f64::NAN, "1")] {
            assert_eq!(Strength::new(value).unwrap_err().nearest.as_deref(), Some(nearest));
        }
    }
}
