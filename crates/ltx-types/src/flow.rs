//! The authors' flows by name: what a clip is sampled by and in how many stages, as one value.
//!
//! Must not know sigmas or samplers; they are in `ltx-pipeline`.

use crate::{ConditioningMode, Defaults, FieldError, GenerationDraft, Guidance, Overrides, Schedule, Stages};
use serde::{Deserialize, Serialize};

/// A flow of sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// The fixed steps of distilled weights, in one stage or two.
    Distilled,
    /// Guided steps of dev weights, in one stage or two.
    Dev,
    /// Two stages of dev weights by the second-order sampler `res_2s`; the distilled LoRA counts in both.
    Hq,
    /// Two guided passes of LTX-Video 0.9.8 13B dev, in which guidance changes from step to step.
    MultiScale,
}

impl Flow {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Distilled, Self::Dev, Self::Hq, Self::MultiScale];
    /// The noise level at which `res_2s` stops and asks the model once more.
    pub const LAST_SIGMA: f32 = 0.0011;

    /// The name used in flags, manifests, marks and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distilled => "distilled",
            Self::Dev => "dev",
            Self::Hq => "hq",
            Self::MultiScale => "multi_scale",
        }
    }

    /// The flow of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, FieldError> {
        let found = Self::ALL.into_iter().find(|flow| flow.as_str() == name);
        found.ok_or_else(|| FieldError::new("flow", name, "is none of distilled, dev, hq and multi_scale"))
    }

    /// The schedule that its stages are sampled by.
    pub fn schedule(self) -> Schedule {
        match self {
            Self::Distilled => Schedule::Distilled,
            Self::Dev | Self::Hq | Self::MultiScale => Schedule::Guided,
        }
    }

    /// How often the model is asked in a stage of so many steps, guidance not counted.
    pub fn evaluations(self, steps: usize) -> usize {
        match self {
            Self::Distilled | Self::Dev | Self::MultiScale => steps,
            Self::Hq => 2 * steps + 1,
        }
    }

    /// A model's defaults where a request names this flow, and the model's manifest does not: the authors' stages, and their size.
    pub(crate) fn defaults(self, own: &Defaults) -> Defaults {
        let own = Defaults { flow: Some(self), schedule: self.schedule(), ..own.clone() };
        match self {
            Self::Distilled => own.in_stages(Stages::Two),
            Self::Dev => own.in_stages(Stages::One),
            Self::Hq => {
                let guidance = Guidance { cfg_scale: 3.0, stg_scale: 0.0, rescale_scale: 0.45, stg_blocks: vec![] };
                let sizes = Defaults { width: 1920, height: 1088, ..own };
                Defaults { stages: Stages::Two, steps: 15, guidance, conditioning: None, ..sizes }
            }
            // The sizes that the authors' passes have where they are asked for 1216x704, to which they shrink the frames at last.
            Self::MultiScale => {
                let steps = self.steps().map_or(own.steps, |[first, _]| first);
                let sizes = Defaults { width: 1600, height: 896, fps: 30.0, ..own };
                Defaults { stages: Stages::Two, steps, conditioning: None, ..sizes }
            }
        }
    }

    /// Whether it is its schedule and nothing beside it, in one stage or two.
    pub(crate) fn is_its_schedule(self) -> bool {
        matches!(self, Self::Distilled | Self::Dev)
    }

    /// What is said beside the flow and contradicts it.
    pub(crate) fn contradicted(self, said: &Overrides, own: Option<Self>) -> Vec<FieldError> {
        let mut found = Vec::new();
        if let Some(own) = own.filter(|own| *own != self) {
            let rule = format!("is not this model's, whose LoRA strengths and defaults are those of {}", own.as_str());
            found.push(FieldError::new("flow", self.as_str(), rule).nearest(own.as_str()));
        }
        if let Some(schedule) = said.schedule.filter(|schedule| *schedule != self.schedule()) {
            let rule = format!("is not the schedule of the flow {}", self.as_str());
            found.push(FieldError::new("schedule", schedule, rule).nearest(self.schedule()));
        }
        if self.is_its_schedule() {
            return found;
        }
        if said.stages == Some(Stages::One) {
            found.push(FieldError::new("stages", 1, format!("is not the flow {self}, which has two")).nearest(2));
        }
        if said.conditioning == Some(ConditioningMode::AppendAll) {
            let rule = format!("is not the flow {self}, in which a start image replaces the first latent frame");
            found.push(FieldError::new("conditioning", "append_all", rule).nearest("replace_first"));
        }
        if self != Self::Hq {
            return found;
        }
        for (field, sigmas) in [("sigmas", &said.sigmas), ("refine_sigmas", &said.refine_sigmas)] {
            let before_last = sigmas.as_ref().and_then(|sigmas| sigmas.iter().rev().nth(1));
            if let Some(low) = before_last.filter(|sigma| **sigma as f32 <= Self::LAST_SIGMA) {
                let rule =
                    format!("is too low before the last: res_2s goes down to {} and ends there", Self::LAST_SIGMA);
                found.push(FieldError::new(field, low, rule));
            }
        }
        found
    }
}

impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl GenerationDraft {
    /// What a request of a flow must have, however it was composed: a stored one, or one that is not filled.
    pub(crate) fn faults_of_flow(&self) -> Vec<FieldError> {
        let Some(flow) = self.flow else { return vec![] };
        let said = Overrides {
            schedule: Some(self.schedule),
            stages: Some(self.stages),
            conditioning: Some(self.conditioning),
            sigmas: self.sigmas.clone(),
            refine_sigmas: self.refine_sigmas.clone(),
            ..Overrides::default()
        };
        flow.contradicted(&said, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    fn refused(model: &Defaults, said: Overrides) -> Vec<&'static str> {
        model.fill(said, String::new(), vec![]).faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_flow_brings_its_own_defaults() {
        let model = Defaults::official(Schedule::Distilled);
        let said = |flow| Overrides { flow: Some(flow), ..Overrides::default() };
        let hq = model.fill(said(Flow::Hq), String::new(), vec![]);
        assert_eq!((hq.steps, hq.stages, hq.schedule), (15, Stages::Two, Schedule::Guided));
        assert_eq!((hq.width, hq.height, hq.conditioning), (1920, 1088, ConditioningMode::ReplaceFirst));
        assert_eq!((hq.guidance.cfg_scale, hq.guidance.stg_scale, hq.guidance.rescale_scale), (3.0, 0.0, 0.45));
        let dev = model.fill(said(Flow::Dev), String::new(), vec![]);
        assert_eq!((dev.steps, dev.stages, dev.schedule), (30, Stages::One, Schedule::Guided));
        assert_eq!((dev.width, dev.height), (768, 512));
        let distilled = model.fill(said(Flow::Distilled), String::new(), vec![]);
        assert_eq!((distilled.stages, distilled.width, distilled.height), (Stages::Two, 1536, 1024));
        // A model's own flow has the model's own numbers.
        let own = Defaults { flow: Some(Flow::Hq), steps: 6, ..Flow::Hq.defaults(&model) };
        assert_eq!(own.fill(said(Flow::Hq), String::new(), vec![]).steps, 6);
        assert_eq!(own.fill(Overrides::default(), String::new(), vec![]).flow, Some(Flow::Hq));
        let passes = model.fill(said(Flow::MultiScale), String::new(), vec![]);
        assert_eq!((passes.steps, passes.stages, passes.schedule), (27, Stages::Two, Schedule::Guided));
        assert_eq!((passes.width, passes.height, passes.conditioning), (1600, 896, ConditioningMode::ReplaceFirst));
    }

    #[test]
    fn a_flow_has_its_authors_size_for_the_stages_that_are_asked_for() {
        let shape = |model: &Defaults, said: Overrides| {
            let draft = model.fill(said, String::new(), vec![]);
            (draft.stages, draft.width, draft.height)
        };
        let (one, two) = ((Stages::One, 768, 512), (Stages::Two, 1536, 1024));
        for schedule in [Schedule::Distilled, Schedule::Guided] {
            let bare = Defaults::official(schedule);
            let flow = if schedule == Schedule::Distilled { Flow::Distilled } else { Flow::Dev };
            // By path, and by manifests of either number of stages.
            let own = |stages| Defaults { flow: Some(flow), ..bare.clone().in_stages(stages) };
            for model in [bare.clone(), own(Stages::One), own(Stages::Two)] {
                let said = |stages| Overrides { flow: Some(flow), stages: Some(stages), ..Overrides::default() };
                assert_eq!((shape(&model, said(Stages::One)), shape(&model, said(Stages::Two))), (one, two));
                let width = Overrides { width: Some(640), ..said(Stages::Two) };
                assert_eq!(shape(&model, width), (Stages::Two, 640, 1024), "what is said wins");
            }
            // A model's flow is a flow that need not be said; without one nothing is the authors'.
            let stages = |stages| Overrides { stages: Some(stages), ..Overrides::default() };
            assert_eq!(shape(&own(Stages::One), stages(Stages::Two)), two);
            assert_eq!(shape(&bare, stages(Stages::Two)), (Stages::Two, 768, 512));
        }
    }

    #[test]
    fn what_a_flow_does_not_allow_is_refused_by_name() {
        let model = Defaults::official(Schedule::Guided);
        let hq = Overrides { flow: Some(Flow::Hq), ..Overrides::default() };
        assert!(refused(&model, hq.clone()).is_empty());
        let one = Overrides { stages: Some(Stages::One), ..hq.clone() };
        assert_eq!(refused(&model, one.clone()), ["stages"]);
        let passes = Overrides { flow: Some(Flow::MultiScale), ..Overrides::default() };
        assert!(refused(&model, passes.clone()).is_empty());
        assert_eq!(refused(&model, Overrides { flow: passes.flow, ..one }), ["stages"]);
        assert_eq!(refused(&model, Overrides { schedule: Some(Schedule::Distilled), ..passes }), ["schedule"]);
        let append = Overrides { conditioning: Some(ConditioningMode::AppendAll), ..hq.clone() };
        assert_eq!(refused(&model, append), ["conditioning"]);
        assert_eq!(refused(&model, Overrides { schedule: Some(Schedule::Distilled), ..hq.clone() }), ["schedule"]);
        assert_eq!(refused(&model, Overrides { sigmas: Some(vec![1.0, 0.001, 0.0]), ..hq.clone() }), ["sigmas"]);
        let dev = Defaults { flow: Some(Flow::Dev), ..model };
        assert_eq!(refused(&dev, hq), ["flow"]);
        let distilled = Overrides { schedule: Some(Schedule::Distilled), ..Overrides::default() };
        let left = dev.fill(distilled, String::new(), vec![]);
        assert_eq!((left.flow, left.faults.len()), (None, 0));
        assert!(Flow::named("fast").is_err() && Flow::named("hq") == Ok(Flow::Hq));
    }

    #[test]
    fn a_stored_request_is_held_against_its_flow_again() {
        let said = Overrides { flow: Some(Flow::Hq), width: Some(128), height: Some(128), ..Overrides::default() };
        let draft = Defaults::official(Schedule::Guided).fill(said, String::new(), vec![]);
        let faults = GenerationDraft { stages: Stages::One, ..draft }.check(Method::ImageToVideo).unwrap_err();
        assert!(faults.iter().any(|fault| fault.field == "stages"), "{faults}");
    }
}
