//! A request composed, once for every caller: what is said, over what the model wants where nothing is said.
//!
//! Must not know flags or protobuf (each is mapped to [`Overrides`]), nor where manifests lie.

use crate::{
    ConditioningMode, FieldErrors, Flow, GenerationDraft, Guidance, ImageCondition, ImageInput, LoraUse, Method,
    PassGuidance, Schedule, Seed, Stages, unread::unread,
};
use serde::Deserialize;

/// How a model wants to be sampled where a request is silent, as its manifest states it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The flow that the model's LoRA strengths and these defaults are for; a request names no other. Without one a request
    /// may name any.
    #[serde(default)]
    pub flow: Option<Flow>,
    /// The schedule the weights were trained for.
    pub schedule: Schedule,
    /// One stage or two.
    pub stages: Stages,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Pixel frames, 8k+1.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Steps of the guided schedule.
    pub steps: usize,
    /// The conditioning images' H.264 round trip; without it the model's usual one.
    #[serde(default)]
    pub image_crf: Option<u32>,
    /// Guidance of the guided schedule.
    pub guidance: Guidance,
    /// Guidance of the flow `multi_scale`; without it the authors' of LTX-Video 0.9.8 13B dev.
    #[serde(default)]
    pub pass_guidance: Option<PassGuidance>,
    /// What happens to an image at frame 0; without it the official pipelines' choice for the schedule.
    #[serde(default)]
    pub conditioning: Option<ConditioningMode>,
    /// What guidance steers away from when the request is silent.
    #[serde(default)]
    pub negative_prompt: String,
}

/// What a caller says about a generation besides its prompt and images. `None` leaves the value to the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// What guidance steers away from.
    pub negative_prompt: Option<String>,
    /// What happens to an image at frame 0; the official pipelines' choice otherwise.
    pub conditioning: Option<ConditioningMode>,
    /// Pixels across.
    pub width: Option<usize>,
    /// Pixels down.
    pub height: Option<usize>,
    /// Pixel frames, 8k+1.
    pub frames: Option<usize>,
    /// Frames per second.
    pub fps: Option<f64>,
    /// Seeds the noise. Models have no seed of their own: without one it is 0.
    pub seed: Option<Seed>,
    /// The authors' flow; it brings its own defaults.
    pub flow: Option<Flow>,
    /// The sampling schedule.
    pub schedule: Option<Schedule>,
    /// Steps of the guided schedule.
    pub steps: Option<usize>,
    /// One stage or two.
    pub stages: Option<Stages>,
    /// Classifier-free guidance scale.
    pub cfg_scale: Option<f64>,
    /// Spatio-temporal guidance scale.
    pub stg_scale: Option<f64>,
    /// Share by which guidance is pulled back to the conditional deviation.
    pub rescale_scale: Option<f64>,
    /// Transformer blocks whose self-attention the perturbed pass skips.
    pub stg_blocks: Option<Vec<usize>>,
    /// The conditioning images' H.264 round trip.
    pub image_crf: Option<u32>,
    /// Noise levels instead of the schedule's own. Models have none.
    pub sigmas: Option<Vec<f64>>,
    /// Noise levels of the second stage instead of the usual ones. Models have none.
    pub refine_sigmas: Option<Vec<f64>>,
    /// Whether the clip may be longer than those that the model was trained on.
    pub beyond_trained_length: bool,
    /// LoRAs that the model lists, by name. None is used where nothing is said.
    pub loras: Vec<LoraUse>,
}

impl Defaults {
    /// Refuses defaults that state a flow and beside it what the flow does not have: another schedule, stages, or conditioning; and
    /// guidance of passes that is none.
    ///
    /// # Errors
    /// Each field that contradicts the flow, with what the flow has; else what is wrong with the guidance of passes.
    pub fn check(&self) -> Result<(), FieldErrors> {
        let stated = Overrides {
            schedule: Some(self.schedule),
            stages: Some(self.stages),
            conditioning: self.conditioning,
            ..Overrides::default()
        };
        FieldErrors::none(self.flow.map(|flow| flow.contradicted(&stated, None)).unwrap_or_default())?;
        self.pass_guidance.as_ref().map_or(Ok(()), PassGuidance::check)
    }

    /// The official LTX-2.3 pipelines' defaults. What a checkpoint's files say of images and steps is in its
    /// [`ModelRules`](crate::ModelRules).
    pub fn official(schedule: Schedule) -> Self {
        Self {
            flow: None,
            schedule,
            stages: Stages::One,
            width: 768,
            height: 512,
            frames: 121,
            fps: 24.0,
            steps: 30,
            image_crf: None,
            guidance: Guidance { cfg_scale: 3.0, stg_scale: 1.0, rescale_scale: 0.7, stg_blocks: vec![28] },
            pass_guidance: None,
            conditioning: None,
            negative_prompt: String::new(),
        }
    }

    /// The request as a whole: every field that `said` leaves out is the model's, and each image stands at its frame. Nothing
    /// is checked but one thing, as it cannot be seen in the draft any more: what is said and would be read by nothing is among
    /// the draft's faults. What the model says and nothing reads is none.
    pub fn fill(&self, said: Overrides, prompt: String, images: Vec<ImageInput>) -> GenerationDraft {
        // A schedule that is said leaves a flow that is not said, where the flow is no more than its schedule.
        let left =
            |own: &Flow| own.is_its_schedule() && said.schedule.is_some_and(|schedule| schedule != own.schedule());
        match (said.flow, self.flow) {
            (None, Some(own)) if left(&own) => Self { flow: None, ..self.clone() }.filled(None, said, prompt, images),
            (Some(flow), own) if own != Some(flow) => {
                flow.defaults(self).sized(&said).filled(own, said, prompt, images)
            }
            (_, own) => self.clone().sized(&said).filled(own, said, prompt, images),
        }
    }

    /// The same with the size that the authors' flow has in so many stages as are said. `hq` and `multi_scale` have one number of
    /// stages, and what no flow of the authors is has no size of theirs.
    fn sized(self, said: &Overrides) -> Self {
        match (self.flow, said.stages) {
            (Some(flow), Some(stages)) if flow.is_its_schedule() => self.in_stages(stages),
            _ => self,
        }
    }

    /// The same in so many stages: the authors' second stage doubles the size that one stage has. Source: the public `ltx_pipelines`
    /// constants.
    pub(crate) fn in_stages(self, stages: Stages) -> Self {
        let (width, height) = match (self.stages, stages) {
            (Stages::One, Stages::Two) => (self.width.saturating_mul(2), self.height.saturating_mul(2)),
            (Stages::Two, Stages::One) => (self.width / 2, self.height / 2),
            _ => (self.width, self.height),
        };
        Self { stages, width, height, ..self }
    }

    /// The same, once these are the defaults of the flow that is sampled; `own` is the model's own flow.
    fn filled(&self, own: Option<Flow>, said: Overrides, prompt: String, images: Vec<ImageInput>) -> GenerationDraft {
        let model = own;
        let frames = said.frames.unwrap_or(self.frames);
        let schedule = said.schedule.unwrap_or(self.schedule);
        let method = if images.len() > 1 { Method::StartEndFrames } else { Method::ImageToVideo };
        let own = &self.guidance;
        let mut draft = GenerationDraft {
            prompt,
            negative_prompt: said.negative_prompt.clone().unwrap_or_else(|| self.negative_prompt.clone()),
            images: images.into_iter().map(|image| ImageCondition::within(image, frames)).collect(),
            conditioning: said.conditioning.or(self.conditioning).unwrap_or_else(|| match self.flow {
                Some(Flow::Hq | Flow::MultiScale) => ConditioningMode::ReplaceFirst,
                _ => ConditioningMode::official(method, schedule),
            }),
            width: said.width.unwrap_or(self.width),
            height: said.height.unwrap_or(self.height),
            frames,
            fps: said.fps.unwrap_or(self.fps),
            seed: said.seed.unwrap_or(Seed(0)),
            flow: self.flow,
            schedule,
            steps: said.steps.unwrap_or(self.steps),
            steps_said: said.steps,
            stages: said.stages.unwrap_or(self.stages),
            guidance: Guidance {
                cfg_scale: said.cfg_scale.unwrap_or(own.cfg_scale),
                stg_scale: said.stg_scale.unwrap_or(own.stg_scale),
                rescale_scale: said.rescale_scale.unwrap_or(own.rescale_scale),
                stg_blocks: said.stg_blocks.clone().unwrap_or_else(|| own.stg_blocks.clone()),
            },
            pass_guidance: self.pass_guidance.clone().filter(|_| self.flow == Some(Flow::MultiScale)),
            image_crf: said.image_crf.or(self.image_crf),
            sigmas: said.sigmas.clone(),
            refine_sigmas: said.refine_sigmas.clone(),
            beyond_trained_length: said.beyond_trained_length,
            loras: said.loras.clone(),
            faults: vec![],
        };
        draft.faults = self.flow.map(|flow| flow.contradicted(&said, model)).unwrap_or_default();
        draft.faults.extend(unread(&said, &draft));
        draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FramePosition, ImageSource, Strength};

    fn image(position: FramePosition) -> ImageInput {
        ImageInput { source: ImageSource::Path("image.png".into()), position, strength: Strength::FULL }
    }

    #[test]
    fn what_is_not_said_is_the_models() {
        let model = Defaults { negative_prompt: "blurry".into(), ..Defaults::official(Schedule::Guided) };
        let draft = model.fill(Overrides::default(), "A lake".into(), vec![image(FramePosition::First)]);
        assert_eq!((draft.prompt.as_str(), draft.negative_prompt.as_str()), ("A lake", "blurry"));
        assert_eq!((draft.width, draft.height, draft.frames, draft.fps), (768, 512, 121, 24.0));
        assert_eq!((draft.steps, draft.image_crf, draft.seed, draft.schedule), (30, None, Seed(0), Schedule::Guided));
        assert_eq!((draft.stages, draft.guidance), (Stages::One, model.guidance.clone()));
        let said = Overrides { negative_prompt: Some(String::new()), stg_scale: Some(0.0), ..Overrides::default() };
        let draft = model.fill(said, String::new(), vec![]);
        assert_eq!(draft.negative_prompt, "", "nothing, but said");
        assert_eq!(draft.guidance, Guidance { stg_scale: 0.0, ..model.guidance });
    }

    #[test]
    fn defaults_that_contradict_their_flow_are_refused_by_field() {
        let of = |flow, schedule, stages| Defaults { flow: Some(flow), stages, ..Defaults::official(schedule) };
        let fields = |defaults: Defaults| match defaults.check() {
            Ok(()) => vec![],
            Err(faults) => faults.iter().map(|fault| fault.field).collect(),
        };
        assert!(fields(of(Flow::Hq, Schedule::Guided, Stages::Two)).is_empty());
        assert_eq!(fields(of(Flow::Hq, Schedule::Distilled, Stages::One)), ["schedule", "stages"]);
        assert_eq!(fields(of(Flow::Dev, Schedule::Distilled, Stages::One)), ["schedule"]);
        assert_eq!(fields(of(Flow::Distilled, Schedule::Guided, Stages::Two)), ["schedule"]);
        let appended = Some(ConditioningMode::AppendAll);
        let hq = of(Flow::Hq, Schedule::Guided, Stages::Two);
        assert_eq!(fields(Defaults { conditioning: appended, ..hq }), ["conditioning"]);
        assert!(fields(Defaults::official(Schedule::Guided)).is_empty());
    }

    #[test]
    fn an_end_image_stands_at_the_last_frame_and_never_at_the_first() {
        let model = Defaults::official(Schedule::Distilled);
        for (frames, last) in [(None, 120), (Some(17), 16), (Some(1), 1), (Some(0), 1)] {
            let said = Overrides { frames, ..Overrides::default() };
            let draft = model.fill(said, String::new(), vec![image(FramePosition::First), image(FramePosition::Last)]);
            assert_eq!(draft.images.iter().map(|image| image.frame_index).collect::<Vec<_>>(), [0, last]);
        }
    }

    #[test]
    fn conditioning_is_the_official_one_for_the_schedule_that_is_said() {
        let both = || vec![image(FramePosition::First), image(FramePosition::Last)];
        let model = Defaults::official(Schedule::Distilled);
        let of = |schedule, conditioning, images| {
            let said = Overrides { schedule, conditioning, ..Overrides::default() };
            model.fill(said, String::new(), images).conditioning
        };
        assert_eq!(of(None, None, both()), ConditioningMode::ReplaceFirst);
        assert_eq!(of(Some(Schedule::Guided), None, both()), ConditioningMode::AppendAll);
        assert_eq!(of(Some(Schedule::Guided), None, vec![image(FramePosition::First)]), ConditioningMode::ReplaceFirst);
        let said = Some(ConditioningMode::ReplaceFirst);
        assert_eq!(of(Some(Schedule::Guided), said, both()), ConditioningMode::ReplaceFirst);
    }
}
