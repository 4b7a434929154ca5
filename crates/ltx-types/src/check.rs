//! A draft held against what its model can make: every field, alone and with the others, all faults in one answer.
//!
//! Must not know how the draft was composed; what was found wrong then is in it.

use crate::{
    Crf, DISTILLED_STEPS, Faults, FieldError, FieldErrors, Flow, FrameCount, FrameRate, Generation, GenerationDraft,
    LoraUse, Method, ModelRules, PassGuidance, PixelShape, Schedule, SigmaList, Stages,
};

impl GenerationDraft {
    /// Checks every field by what holds for every LTX model ([`ModelRules::LTX`]).
    ///
    /// # Errors
    /// As [`Self::check_by`].
    pub fn check(self, method: Method) -> Result<Generation, FieldErrors> {
        self.check_by(&ModelRules::LTX, method)
    }

    /// Denoising steps of the first stage: as many as its sigmas say, or its schedule does.
    fn steps_by(&self, rules: &ModelRules) -> usize {
        match (&self.sigmas, self.schedule) {
            (Some(sigmas), _) => sigmas.len().saturating_sub(1),
            (None, Schedule::Distilled) => rules.distilled_steps.unwrap_or(DISTILLED_STEPS),
            (None, Schedule::Guided) => self.flow.and_then(Flow::steps).map_or(self.steps, |[first, _]| first),
        }
    }

    /// Steps that were said and that the model's distilled schedule does not take.
    fn steps_unread(&self, rules: &ModelRules) -> Option<FieldError> {
        let fixed = self.sigmas.is_none() && self.schedule == Schedule::Distilled;
        let (said, taken) = self.steps_said.zip(rules.distilled_steps).filter(|_| fixed)?;
        let rule = format!(
            "is not read: the model's distilled schedule has {taken}; say {taken}, or list sigmas, or ask for schedule guided"
        );
        (said != taken).then(|| FieldError::new("steps", said, rule).nearest(taken))
    }

    /// Checks every field, alone and against the others; `rules` say what the model can make.
    ///
    /// # Errors
    /// Every field that is wrong, with the nearest legal value; among them what was found when the draft was composed.
    pub fn check_by(mut self, rules: &ModelRules, method: Method) -> Result<Generation, FieldErrors> {
        let known = std::mem::take(&mut self.faults);
        let mut found = Faults::after(self.steps_unread(rules).into_iter().chain(known).collect());
        let stages = self.stages_by(rules, &mut found);
        let lacking = rules.distilled_lora.and_then(|lora| lora.lacking(self.flow, &self.loras));
        self.faults_of_flow().into_iter().chain(lacking).for_each(|fault| found.add(fault));
        let pass_guidance = found.keep(self.pass_guidance_by(rules));
        let rate = found.keep(FrameRate::new(self.fps));
        let frames = found.keep(self.frames_by(rules, method, rate));
        let pixels = PixelShape { width: self.width, height: self.height };
        let pixels = found.keep(pixels.checked(stages, &rules.sizes));
        if self.images.is_empty() {
            found.add(FieldError::new("image", "none", "was given; a generation starts from an image"));
        }
        if let Some(frames) = frames {
            found.keep(self.images_within(frames));
        }
        let sigmas =
            |field, sigmas: &Option<Vec<f64>>| sigmas.as_ref().map(|list| SigmaList::new(field, list)).transpose();
        let own = found.keep(sigmas("sigmas", &self.sigmas));
        let refining = found.keep(sigmas("refine_sigmas", &self.refine_sigmas));
        let steps = self.steps_by(rules);
        if own == Some(None) && !(1..=SigmaList::MOST_STEPS).contains(&steps) {
            let nearest = steps.clamp(1, SigmaList::MOST_STEPS);
            let rule = format!("is outside 1..={}", SigmaList::MOST_STEPS);
            found.add(FieldError::new("steps", steps, rule).nearest(nearest));
        }
        // What nothing reads skips no block either.
        let constant = self.constant_guidance().is_some();
        let guidance = found.keep(self.guidance.check(rules.blocks.filter(|_| constant)));
        let image_crf = found.keep(Crf::new(self.image_crf.or(rules.image_crf).unwrap_or(Crf::USUAL)));
        found.keep(LoraUse::check(&self.loras));
        let guidance = guidance.zip(pass_guidance);
        let kept = frames.zip(pixels).zip(rate).zip(own.zip(refining)).zip(guidance.zip(image_crf));
        let ((((frames, pixels), rate), (sigmas, refine_sigmas)), ((guidance, pass_guidance), image_crf)) =
            found.all(kept)?;
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
            flow: self.flow,
            schedule: self.schedule,
            steps,
            stages,
            guidance: Some(guidance).filter(|_| constant),
            pass_guidance,
            image_crf,
            sigmas,
            refine_sigmas,
            loras: self.loras,
        })
    }

    /// The stages; one where the model cannot do two, so that the rest is judged by what is possible.
    fn stages_by(&self, rules: &ModelRules, found: &mut Faults) -> Stages {
        if self.stages == Stages::Two && rules.two_stages == Some(false) {
            found.add(FieldError::new("stages", 2, "needs a latent upscaler, which this model lacks").nearest(1));
            return Stages::One;
        }
        let guided = self.stages == Stages::Two && self.schedule == Schedule::Guided;
        if guided && self.flow != Some(Flow::MultiScale) && rules.multi_scale == Some(true) {
            let rule = "of the guided schedule are the flow multi_scale for this model, whose authors change guidance from step to \
                        step; ask for that flow, or for schedule distilled";
            found.add(FieldError::new("stages", 2, rule).nearest(1));
            return Stages::One;
        }
        self.stages
    }

    /// Guidance that changes from step to step, by the models that there is such a flow of and the blocks that they have.
    fn pass_guidance_by(&self, rules: &ModelRules) -> Result<Option<PassGuidance>, FieldErrors> {
        let Some(passes) = self.changing_guidance() else { return Ok(None) };
        if rules.multi_scale == Some(false) {
            let rule =
                "is the flow of LTX-Video 0.9.8 13B dev, and this model is another; leave it out, or ask for flow dev";
            return Err(FieldError::new("flow", Flow::MultiScale, rule).nearest(Flow::Dev).into());
        }
        passes.check()?;
        rules.blocks.map_or(Ok(()), |blocks| passes.check_blocks(blocks))?;
        Ok(Some(passes))
    }

    /// The length, by the sizes that the model makes and the lengths that it was trained on.
    fn frames_by(&self, rules: &ModelRules, method: Method, rate: Option<FrameRate>) -> Result<FrameCount, FieldError> {
        // The shortest clip between two images: a latent frame for each.
        let shortest = rules.sizes.frame_step + 1;
        if method == Method::StartEndFrames && self.frames < shortest {
            let rule = "is too short for a start and an end frame";
            return Err(FieldError::new("frames", self.frames, rule).nearest(shortest));
        }
        let trained = rate.and_then(|rate| rules.trained_frames(rate));
        let beyond = trained.filter(|longest| self.frames > *longest);
        match beyond {
            Some(longest) if !(self.beyond_trained_length && rules.beyond_trained_length) => {
                let seconds = rules.trained_seconds.unwrap_or_default();
                let otherwise = match rules.beyond_trained_length {
                    true => "beyond_trained_length asks for more all the same",
                    false => "the operator allows no more (limits.beyond_trained_length)",
                };
                let rule = format!(
                    "is longer at {} fps than the {seconds} s that the model was trained on; {otherwise}",
                    self.fps
                );
                let error = FieldError::new("frames", self.frames, rule);
                // Of a model that has seen less than two images need, no length is legal.
                let none = method == Method::StartEndFrames && longest < shortest;
                Err(if none { error } else { error.nearest(longest) })
            }
            _ => FrameCount::by_rules(self.frames, &rules.sizes),
        }
    }

    fn images_within(&self, frames: FrameCount) -> Result<(), FieldError> {
        let outside = self.images.iter().find(|image| image.frame_index > frames.last());
        outside.map_or(Ok(()), |image| {
            let rule = format!("is outside the clip of {} frames", frames.get());
            Err(FieldError::new("frame_index", image.frame_index, rule).nearest(frames.last()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Defaults, FramePosition, Guidance, ImageInput, ImageSource, Overrides, Strength};

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
        let steps = |draft: &mut GenerationDraft| (draft.schedule, draft.steps) = (Schedule::Guided, 0);
        assert!(refusal(steps).starts_with("steps: 0 is outside 1..=1000"));
        assert!(refusal(|draft| draft.image_crf = Some(52)).starts_with("image_crf: 52 is outside 0..=51"));
        assert!(refusal(|draft| draft.fps = f64::NAN).starts_with("fps: NaN"));
        assert!(refusal(|draft| draft.guidance.cfg_scale = f64::NAN).starts_with("guidance_scale: NaN"));
    }

    #[test]
    fn every_fault_is_in_one_answer() {
        let said = Overrides { steps: Some(4), width: Some(130), frames: Some(18), ..Overrides::default() };
        let image = draft().images.remove(0);
        let image = ImageInput { source: image.source, position: FramePosition::First, strength: image.strength };
        let draft = Defaults::official(Schedule::Distilled).fill(said, "A lake".into(), vec![image]);
        let draft = GenerationDraft { image_crf: Some(99), fps: f64::NAN, refine_sigmas: Some(vec![2.0]), ..draft };
        let rules = ModelRules { distilled_steps: Some(8), ..ModelRules::LTX };
        let faults = draft.check_by(&rules, Method::ImageToVideo).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["steps", "fps", "frames", "width", "refine_sigmas", "image_crf"]);
    }

    #[test]
    fn the_distilled_schedule_has_the_models_steps() {
        let by = |distilled_steps, said| {
            let rules = ModelRules { distilled_steps, ..ModelRules::LTX };
            let steps = GenerationDraft { steps_said: said, steps: said.unwrap_or(30), ..draft() };
            steps.check_by(&rules, Method::StartEndFrames).map(|checked| checked.steps).map_err(|all| all.to_string())
        };
        assert_eq!((by(Some(7), None), by(Some(7), Some(7)), by(Some(8), Some(8))), (Ok(7), Ok(7), Ok(8)));
        let told = by(Some(7), Some(8)).unwrap_err();
        assert!(told.starts_with("steps: 8 is not read") && told.ends_with("nearest legal: 7"), "{told}");
        for said in [0, 4, 9, 2000] {
            assert!(by(Some(8), Some(said)).unwrap_err().ends_with("nearest legal: 8"));
        }
        assert_eq!(by(None, Some(7)), Ok(8), "of a model that nobody knows, nothing is refused");
        let guided = GenerationDraft { schedule: Schedule::Guided, steps: 4, steps_said: Some(4), ..draft() };
        let rules = ModelRules { distilled_steps: Some(7), ..ModelRules::LTX };
        assert_eq!(guided.check_by(&rules, Method::StartEndFrames).unwrap().steps, 4);
    }

    #[test]
    fn images_get_the_round_trip_of_the_models_authors_unless_one_is_said() {
        let by = |image_crf, said| {
            let rules = ModelRules { image_crf, ..ModelRules::LTX };
            let draft = GenerationDraft { image_crf: said, ..draft() };
            draft.check_by(&rules, Method::StartEndFrames).unwrap().image_crf.get()
        };
        assert_eq!((by(Some(0), None), by(Some(18), None), by(None, None)), (None, Some(18), Some(33)));
        assert_eq!((by(Some(0), Some(33)), by(Some(18), Some(0))), (Some(33), None));
    }

    #[test]
    fn a_schedule_of_ones_own_says_how_many_steps_there_are() {
        for schedule in [Schedule::Distilled, Schedule::Guided] {
            let own = GenerationDraft { schedule, sigmas: Some(vec![1.0, 0.5, 0.0]), ..draft() };
            let checked = own.check(Method::StartEndFrames).unwrap();
            assert_eq!((checked.steps, checked.sigmas.map(|list| list.steps())), (2, Some(2)));
        }
        // What a model says of steps that its schedule does not take is read by nobody.
        let odd = GenerationDraft { steps: 0, ..draft() };
        assert_eq!(odd.check(Method::StartEndFrames).unwrap().steps, 8);
    }

    #[test]
    fn clips_are_as_long_as_the_model_was_trained_on_unless_more_is_asked_for_and_allowed() {
        let rules =
            |allowed| ModelRules { trained_seconds: Some(20.0), beyond_trained_length: allowed, ..ModelRules::LTX };
        let check = |frames, asked, allowed| {
            let draft = GenerationDraft { frames, beyond_trained_length: asked, ..draft() };
            draft.check_by(&rules(allowed), Method::StartEndFrames).map(|_| ()).map_err(|faults| faults.to_string())
        };
        assert_eq!((check(481, false, true), check(481, false, false)), (Ok(()), Ok(())));
        let told = check(489, false, true).unwrap_err();
        assert!(told.contains("frames: 489 is longer at 24 fps than the 20 s") && told.ends_with("nearest legal: 481"));
        assert!(told.contains("beyond_trained_length asks for more"), "{told}");
        assert!(check(490, false, true).unwrap_err().ends_with("nearest legal: 481"), "of the right form as well");
        assert_eq!(check(489, true, true), Ok(()));
        assert!(check(9001, true, true).unwrap_err().ends_with("nearest legal: 8001"));
        for asked in [false, true] {
            assert!(check(489, asked, false).unwrap_err().contains("the operator allows no more"));
        }
    }

    #[test]
    fn what_the_model_lacks_is_refused() {
        let rules = ModelRules { two_stages: Some(false), blocks: Some(3), ..ModelRules::LTX };
        let refused = |draft: GenerationDraft| draft.check_by(&rules, Method::StartEndFrames).unwrap_err().to_string();
        let two = refused(GenerationDraft { stages: Stages::Two, ..draft() });
        assert_eq!(two, "stages: 2 needs a latent upscaler, which this model lacks; nearest legal: 1");
        let (upscaled, guided) = (
            ModelRules { two_stages: Some(true), multi_scale: Some(true), ..ModelRules::LTX },
            GenerationDraft { schedule: Schedule::Guided, stages: Stages::Two, width: 128, ..draft() },
        );
        let told = guided.clone().check_by(&upscaled, Method::StartEndFrames).unwrap_err().to_string();
        assert!(told.starts_with("stages: 2 of the guided schedule") && told.ends_with("nearest legal: 1"), "{told}");
        let passes = GenerationDraft { flow: Some(Flow::MultiScale), ..guided.clone() };
        let by = |rules: ModelRules| passes.clone().check_by(&rules, Method::StartEndFrames);
        let checked = by(ModelRules { blocks: Some(48), ..upscaled }).unwrap();
        assert!(checked.pass_guidance.is_some() && checked.guidance.is_none());
        assert!(by(ModelRules { blocks: Some(28), ..upscaled }).unwrap_err().to_string().contains("skips block 35"));
        let other = by(ModelRules { multi_scale: Some(false), ..upscaled }).unwrap_err().to_string();
        assert!(other.starts_with("flow: multi_scale is the flow of LTX-Video 0.9.8 13B dev"), "{other}");
        let distilled = GenerationDraft { schedule: Schedule::Distilled, ..guided };
        assert!(distilled.check_by(&upscaled, Method::StartEndFrames).is_ok());
        let guided = GenerationDraft { schedule: Schedule::Guided, ..draft() };
        assert!(refused(guided.clone()).contains("stg_blocks: 28 is none of the model's blocks, 0..=2"));
        let off = Guidance { stg_scale: 0.0, ..guided.guidance.clone() };
        assert!(GenerationDraft { guidance: off, ..guided }.check_by(&rules, Method::StartEndFrames).is_ok());
    }

    #[test]
    fn strength_is_a_share() {
        assert!(Strength::new(0.0).is_ok() && Strength::new(1.0).is_ok());
        for (value, nearest) in [(-0.1, "0"), (1.5, "1"), (f64::NAN, "1")] {
            assert_eq!(Strength::new(value).unwrap_err().nearest.as_deref(), Some(nearest));
        }
    }
}
