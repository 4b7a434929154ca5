//! The flow `multi_scale`: two guided passes of LTX-Video 0.9.8 13B dev, in which guidance changes from step to step. Source:
//! Lightricks/LTX-Video, `configs/ltxv-13b-0.9.8-dev.yaml`.
//!
//! Must not know tensors.

use crate::{
    FieldError, FieldErrors, Flow, Generation, GenerationDraft, Guidance, GuidanceSchedule, SamplingStage, Schedule,
    guidance_schedule::GuidanceLevel, linear_quadratic,
};
use serde::{Deserialize, Serialize};

/// Steps of the schedule that both passes take a part of.
const STEPS: usize = 30;
/// Steps of the first pass, which leaves out the last three: from there it goes to 0 at once.
const FIRST: usize = STEPS - 3;
/// Steps of the second pass, which begins behind the first seventeen.
const SECOND: usize = STEPS - 17;

impl Flow {
    /// Steps of the first and of the second stage, where the flow itself says how many.
    pub fn steps(self) -> Option<[usize; 2]> {
        (self == Self::MultiScale).then_some([FIRST, SECOND])
    }

    /// The sigma at the start of every step of a stage, where the flow itself has them.
    pub fn sigmas(self, stage: SamplingStage) -> Option<Vec<f32>> {
        let all = (self == Self::MultiScale).then(|| linear_quadratic(STEPS))?;
        Some(match stage {
            SamplingStage::First => all[..FIRST].to_vec(),
            SamplingStage::Second => all[STEPS - SECOND..].to_vec(),
        })
    }
}

/// Guidance of both passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassGuidance {
    /// Of the first pass.
    pub first: GuidanceSchedule,
    /// Of the second one.
    pub second: GuidanceSchedule,
}

impl Default for PassGuidance {
    /// The authors' of 13B dev: nothing at the noisiest, CFG and STG where the picture is laid out, STG alone behind that and in the
    /// second pass. They write 1 where nothing is rescaled.
    fn default() -> Self {
        let level = |(sigma, cfg_scale, stg_scale, rescale_scale, stg_blocks): (f64, f64, f64, f64, &[usize])| {
            let guidance = Guidance { cfg_scale, stg_scale, rescale_scale, stg_blocks: stg_blocks.to_vec() };
            GuidanceLevel { sigma, guidance }
        };
        let first: [(f64, f64, f64, f64, &[usize]); 7] = [
            (1.0, 1.0, 0.0, 0.0, &[]),
            (0.996, 1.0, 0.0, 0.0, &[11, 25, 35, 39]),
            (0.9933, 6.0, 4.0, 0.5, &[22, 35, 39]),
            (0.985, 8.0, 4.0, 0.5, &[28]),
            (0.9767, 6.0, 4.0, 0.0, &[28]),
            (0.9008, 1.0, 2.0, 0.0, &[28]),
            (0.618, 1.0, 1.0, 0.0, &[28]),
        ];
        Self {
            first: GuidanceSchedule::new(first.map(level).to_vec(), true),
            second: GuidanceSchedule::new(vec![level((1.0, 1.0, 1.0, 0.0, &[27]))], true),
        }
    }
}

impl PassGuidance {
    /// Of a stage.
    pub fn of(&self, stage: SamplingStage) -> &GuidanceSchedule {
        match stage {
            SamplingStage::First => &self.first,
            SamplingStage::Second => &self.second,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// As [`GuidanceSchedule::check`].
    pub fn check(&self) -> Result<(), FieldErrors> {
        self.first.check()?;
        self.second.check()
    }

    /// Checks that a model of so many blocks has those that are skipped.
    ///
    /// # Errors
    /// It lacks one.
    pub fn check_blocks(&self, blocks: usize) -> Result<(), FieldError> {
        let beyond = SamplingStage::ALL.into_iter().find_map(|stage| self.of(stage).block_beyond(blocks));
        beyond.map_or(Ok(()), |block| {
            let last = blocks.saturating_sub(1);
            let rule = format!(
                "skips block {block}, and the model's are 0..={last}: its guidance is that of LTX-Video 0.9.8 13B dev, unless the \
                 model's manifest states its own (defaults.pass_guidance)"
            );
            Err(FieldError::new("flow", Flow::MultiScale, rule).nearest(Flow::Dev))
        })
    }
}

/// Steps that follow each other with the same guidance.
#[derive(Debug, Clone, PartialEq)]
pub struct GuidedSteps {
    /// Their guidance; nothing where they are not guided.
    pub guidance: Option<Guidance>,
    /// How many they are.
    pub count: usize,
}

impl GuidedSteps {
    /// How often the model is asked in each: for the prompt, and where they are on for the negative one and with skipped blocks.
    pub fn passes(&self) -> usize {
        let on = |is: fn(&Guidance) -> bool| usize::from(self.guidance.as_ref().is_some_and(is));
        1 + on(Guidance::uses_cfg) + on(Guidance::uses_stg)
    }
}

/// Steps with such sigmas at their starts, by their guidance.
fn guided(schedule: &GuidanceSchedule, sigmas: &[f32]) -> Vec<GuidedSteps> {
    let mut found: Vec<GuidedSteps> = Vec::new();
    for guidance in sigmas.iter().map(|sigma| schedule.at(*sigma)) {
        match found.last_mut() {
            Some(last) if last.guidance.as_ref() == guidance => last.count += 1,
            _ => found.push(GuidedSteps { guidance: guidance.cloned(), count: 1 }),
        }
    }
    found
}

/// The sigmas at the starts of a stage's steps: those that are listed, else the flow's.
fn starts(listed: Option<&[f64]>, stage: SamplingStage) -> Vec<f32> {
    let listed =
        listed.and_then(<[f64]>::split_last).map(|(_, starts)| starts.iter().map(|sigma| *sigma as f32).collect());
    listed.or_else(|| Flow::MultiScale.sigmas(stage)).unwrap_or_default()
}

impl Generation {
    /// The guidance of a stage by noise level; nothing where it is not guided.
    pub fn guidance_in(&self, stage: SamplingStage) -> Option<GuidanceSchedule> {
        match (&self.pass_guidance, stage) {
            (Some(passes), stage) => Some(passes.of(stage).clone()),
            (None, SamplingStage::First) => self.guidance.clone().map(GuidanceSchedule::constant),
            (None, SamplingStage::Second) => None,
        }
    }

    /// The evaluations of a stage by their guidance, in order; `evaluations` is how many there are where guidance does not change.
    pub fn guided_steps(&self, stage: SamplingStage, evaluations: usize) -> Vec<GuidedSteps> {
        let listed = if stage == SamplingStage::First { &self.sigmas } else { &self.refine_sigmas };
        match &self.pass_guidance {
            Some(passes) => guided(passes.of(stage), &starts(listed.as_ref().map(|list| list.values()), stage)),
            None => {
                let guidance = self.guidance.clone().filter(|_| stage == SamplingStage::First);
                vec![GuidedSteps { guidance, count: evaluations }]
            }
        }
    }

    /// Whether a step of a stage reads the negative prompt.
    pub fn uses_cfg_in(&self, stage: SamplingStage) -> bool {
        self.guided_steps(stage, 1).iter().any(reads_negative)
    }

    /// Whether any step does.
    pub fn uses_cfg(&self) -> bool {
        SamplingStage::ALL.into_iter().any(|stage| self.uses_cfg_in(stage))
    }
}

fn reads_negative(steps: &GuidedSteps) -> bool {
    steps.guidance.as_ref().is_some_and(Guidance::uses_cfg)
}

impl GenerationDraft {
    /// Guidance of the same strength in every step, where that is how the draft is sampled.
    pub fn constant_guidance(&self) -> Option<&Guidance> {
        let constant = self.schedule == Schedule::Guided && self.flow != Some(Flow::MultiScale);
        constant.then_some(&self.guidance)
    }

    /// Guidance of both passes, where it changes from step to step.
    pub fn changing_guidance(&self) -> Option<PassGuidance> {
        let changing = self.flow == Some(Flow::MultiScale);
        changing.then(|| self.pass_guidance.clone().unwrap_or_default())
    }

    /// Whether a step reads the negative prompt.
    pub fn uses_cfg(&self) -> bool {
        let Some(passes) = self.changing_guidance() else {
            return self.constant_guidance().is_some_and(Guidance::uses_cfg);
        };
        [(SamplingStage::First, &self.sigmas), (SamplingStage::Second, &self.refine_sigmas)].into_iter().any(
            |(stage, listed)| guided(passes.of(stage), &starts(listed.as_deref(), stage)).iter().any(reads_negative),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Defaults, FramePosition, ImageInput, ImageSource, Method, Overrides, Strength};

    fn request(said: Overrides) -> Generation {
        let source = ImageSource::Path("x".into());
        let image = ImageInput { source, position: FramePosition::First, strength: Strength::FULL };
        let said = Overrides { flow: Some(Flow::MultiScale), ..said };
        let draft = Defaults::official(Schedule::Guided).fill(said, String::new(), vec![image]);
        draft.check(Method::ImageToVideo).unwrap()
    }

    /// Counted from the authors' lists by hand: which of their levels each of the thirty sigmas reaches.
    #[test]
    fn every_step_has_the_authors_guidance_and_no_needless_pass() {
        let request = request(Overrides::default());
        let steps = |stage| {
            let steps = request.guided_steps(stage, 0);
            let blocks = |steps: &GuidedSteps| steps.guidance.as_ref().map_or(0, |guidance| guidance.stg_blocks.len());
            steps.iter().map(|steps| (steps.count, steps.passes(), blocks(steps))).collect::<Vec<_>>()
        };
        assert_eq!(
            steps(SamplingStage::First),
            [(1, 1, 0), (2, 1, 4), (2, 3, 3), (5, 3, 1), (4, 3, 1), (5, 2, 1), (8, 2, 1)]
        );
        assert_eq!(steps(SamplingStage::Second), [(13, 2, 1)]);
        assert!(request.uses_cfg_in(SamplingStage::First) && !request.uses_cfg_in(SamplingStage::Second));
        assert_eq!(request.steps, FIRST);
    }

    #[test]
    fn the_first_pass_is_cut_and_the_second_begins_late() {
        let [first, second] = SamplingStage::ALL.map(|stage| Flow::MultiScale.sigmas(stage).unwrap());
        assert_eq!([first.len(), second.len()], Flow::MultiScale.steps().unwrap());
        let near = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        for (found, expected) in [(first[0], 1.0), (first[9], 0.985), (first[26], 0.445_777_8)] {
            near(found, expected);
        }
        for (found, expected) in [(second[0], 0.954_777_8), (second[12], 0.124_111_1)] {
            near(found, expected);
        }
        assert_eq!(Flow::Dev.sigmas(SamplingStage::First), None);
    }

    #[test]
    fn guidance_follows_sigmas_of_ones_own() {
        let own = |sigmas: &[f64]| request(Overrides { sigmas: Some(sigmas.to_vec()), ..Overrides::default() });
        let low = own(&[0.8, 0.5, 0.0]);
        assert_eq!((low.guided_steps(SamplingStage::First, 0).len(), low.steps), (1, 2));
        assert!(!low.uses_cfg(), "the negative prompt is read by no step");
        assert!(own(&[1.0, 0.99, 0.0]).uses_cfg());
    }

    #[test]
    fn blocks_that_a_model_lacks_are_named() {
        let authors = PassGuidance::default();
        assert!(authors.check().is_ok() && authors.check_blocks(48).is_ok());
        let told = authors.check_blocks(28).unwrap_err().to_string();
        assert!(told.starts_with("flow: multi_scale skips block 35") && told.ends_with("nearest legal: dev"), "{told}");
    }
}
