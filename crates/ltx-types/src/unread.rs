//! What a request states and nothing would read: refused by name. What a model's defaults say is never refused, read or not.
//!
//! Must not know which values are legal where they are read.

use crate::{FieldError, Flow, GenerationDraft, LoraUse, Overrides, Schedule, SigmaList, Stages};

/// Every field of `said` that changes nothing in the `draft` it was filled into, or contradicts another. A value that says what
/// happens anyway passes: guidance that is off, an empty text. How many steps the distilled schedule has, its model says later.
pub(crate) fn unread(said: &Overrides, draft: &GenerationDraft) -> Vec<FieldError> {
    if let Some(flow) = draft.flow.filter(|flow| flow.steps().is_some()) {
        return unread_beside(flow, said, draft);
    }
    let guided = draft.schedule == Schedule::Guided;
    let why = |off: &str| match guided {
        true => format!("is not read: {off}"),
        false => {
            "is not read: the distilled schedule has no guidance; leave it out, or ask for schedule guided".to_owned()
        }
    };
    let mut found = Vec::new();
    found.extend(steps(said, draft));
    if let Some(cfg) = said.cfg_scale.filter(|cfg| !guided && *cfg != 1.0) {
        found.push(FieldError::new("guidance_scale", cfg, why("")).nearest(1));
    }
    if let Some(stg) = said.stg_scale.filter(|stg| !guided && *stg != 0.0) {
        found.push(FieldError::new("stg_scale", stg, why("")).nearest(0));
    }
    let (uses_cfg, uses_stg) = (guided && draft.guidance.uses_cfg(), guided && draft.guidance.uses_stg());
    if let Some(rescale) = said.rescale_scale.filter(|rescale| !(uses_cfg || uses_stg) && *rescale != 0.0) {
        let rule = why("guidance_scale is 1 and stg_scale 0, so there is nothing to rescale");
        found.push(FieldError::new("guidance_rescale", rescale, rule).nearest(0));
    }
    if let Some(blocks) = said.stg_blocks.as_ref().filter(|blocks| !uses_stg && !blocks.is_empty()) {
        let rule = why("stg_scale is 0; leave the blocks out, or say a scale above 0");
        found.push(FieldError::new("stg_blocks", listed(blocks), rule).nearest("none"));
    }
    if said.negative_prompt.as_ref().is_some_and(|text| !uses_cfg && !text.is_empty()) {
        let rule = why("guidance_scale is 1; leave the text out, or say another scale");
        found.push(FieldError::new("negative_prompt", "the text", rule).nearest("\"\""));
    }
    found.extend(unread_in_one_stage(said, draft));
    found
}

/// The same where a flow has steps of its own, in each of which guidance is another.
fn unread_beside(flow: Flow, said: &Overrides, draft: &GenerationDraft) -> Vec<FieldError> {
    let mut found = Vec::new();
    found.extend(steps(said, draft).or_else(|| steps_beside(flow, said, draft)));
    let rule =
        format!("is not read: the flow {flow} changes guidance from step to step; leave it out, or ask for flow dev");
    let scales = [
        ("guidance_scale", said.cfg_scale.map(|scale| scale.to_string())),
        ("stg_scale", said.stg_scale.map(|scale| scale.to_string())),
        ("guidance_rescale", said.rescale_scale.map(|scale| scale.to_string())),
        ("stg_blocks", said.stg_blocks.as_ref().filter(|blocks| !blocks.is_empty()).map(|blocks| listed(blocks))),
    ];
    found.extend(
        scales
            .into_iter()
            .filter_map(|(field, value)| Some(FieldError::new(field, value?, rule.clone()).nearest("none"))),
    );
    if said.negative_prompt.as_ref().is_some_and(|text| !draft.uses_cfg() && !text.is_empty()) {
        let rule = "is not read: none of these sigmas has CFG; leave the text out";
        found.push(FieldError::new("negative_prompt", "the text", rule).nearest("\"\""));
    }
    found.extend(unread_in_one_stage(said, draft));
    found
}

/// Steps that are said and are not the flow's.
fn steps_beside(flow: Flow, said: &Overrides, draft: &GenerationDraft) -> Option<FieldError> {
    let (steps, [first, second]) = said.steps.filter(|_| draft.sigmas.is_none()).zip(flow.steps())?;
    let rule = format!(
        "is not read: the flow {flow} has {first}, and {second} in its second pass; say {first}, or list sigmas"
    );
    (steps != first).then(|| FieldError::new("steps", steps, rule).nearest(first))
}

/// What only a second stage would read.
fn unread_in_one_stage(said: &Overrides, draft: &GenerationDraft) -> Vec<FieldError> {
    let mut found = Vec::new();
    if let Some(sigmas) = said.refine_sigmas.as_ref().filter(|_| draft.stages == Stages::One) {
        let rule = "is not read: one stage refines nothing; leave it out, or ask for stages 2";
        found.push(FieldError::new("refine_sigmas", format!("a list of {}", sigmas.len()), rule).nearest("none"));
    }
    if draft.stages == Stages::One {
        found.extend(said.loras.iter().take(LoraUse::MOST).filter_map(LoraUse::unread));
    }
    found
}

/// Steps that are not those of the sigmas that are listed.
fn steps(said: &Overrides, draft: &GenerationDraft) -> Option<FieldError> {
    let steps = said.steps?;
    let taken = draft.sigmas.as_ref()?.len().saturating_sub(1);
    let rule = "contradicts sigmas, which says how many steps there are";
    let error = (steps != taken).then(|| FieldError::new("steps", steps, rule))?;
    // A list that is no schedule itself makes no number of steps legal.
    Some(if (1..=SigmaList::MOST_STEPS).contains(&taken) { error.nearest(taken) } else { error })
}

/// Blocks with commas between; the first few of many.
fn listed(blocks: &[usize]) -> String {
    let shown = blocks.iter().take(8).map(usize::to_string).collect::<Vec<_>>().join(",");
    if blocks.len() > 8 { format!("{shown},…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Defaults, Guidance};

    fn refused(schedule: Schedule, said: Overrides) -> Vec<(&'static str, String)> {
        // What the model says itself is read by nothing on the distilled schedule, and refused by nobody.
        let model = Defaults { steps: 30, negative_prompt: "blurry".into(), ..Defaults::official(schedule) };
        let draft = model.fill(said, String::new(), vec![]);
        draft.faults.into_iter().map(|error| (error.field, error.nearest.unwrap_or_default())).collect()
    }

    fn one(schedule: Schedule, said: Overrides) -> (&'static str, String) {
        let mut found = refused(schedule, said);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn the_distilled_schedule_is_without_guidance() {
        let distilled = |said| one(Schedule::Distilled, said);
        for cfg_scale in [Some(0.0), Some(3.0), Some(f64::NAN)] {
            let said = Overrides { cfg_scale, ..Overrides::default() };
            assert_eq!(distilled(said), ("guidance_scale", "1".into()));
        }
        let said = Overrides { stg_scale: Some(1.0), ..Overrides::default() };
        assert_eq!(distilled(said), ("stg_scale", "0".into()));
        let said = Overrides { rescale_scale: Some(0.7), ..Overrides::default() };
        assert_eq!(distilled(said), ("guidance_rescale", "0".into()));
        let said = Overrides { stg_blocks: Some(vec![28]), ..Overrides::default() };
        assert_eq!(distilled(said), ("stg_blocks", "none".into()));
        let said = Overrides { negative_prompt: Some("blurry".into()), ..Overrides::default() };
        assert_eq!(distilled(said), ("negative_prompt", "\"\"".into()));
        // All at once, and what says what happens anyway.
        let all = Overrides {
            cfg_scale: Some(3.0),
            stg_scale: Some(1.0),
            rescale_scale: Some(0.7),
            stg_blocks: Some(vec![1]),
            negative_prompt: Some("x".into()),
            refine_sigmas: Some(vec![0.5, 0.0]),
            ..Overrides::default()
        };
        assert_eq!(refused(Schedule::Distilled, all).len(), 6);
        let off = Overrides {
            steps: Some(8),
            cfg_scale: Some(1.0),
            stg_scale: Some(0.0),
            rescale_scale: Some(0.0),
            stg_blocks: Some(vec![]),
            negative_prompt: Some(String::new()),
            ..Overrides::default()
        };
        assert_eq!(refused(Schedule::Distilled, off.clone()), []);
        assert_eq!(refused(Schedule::Guided, off), []);
        assert_eq!(refused(Schedule::Distilled, Overrides::default()), []);
        // The model's own schedule is not the one that is asked for.
        let guided = Overrides { schedule: Some(Schedule::Guided), cfg_scale: Some(4.0), ..Overrides::default() };
        assert_eq!(refused(Schedule::Distilled, guided), []);
        let distilled = Overrides { schedule: Some(Schedule::Distilled), cfg_scale: Some(4.0), ..Overrides::default() };
        assert_eq!(one(Schedule::Guided, distilled).0, "guidance_scale");
    }

    #[test]
    fn guidance_that_is_switched_off_reads_nothing() {
        let guided = |said| refused(Schedule::Guided, said);
        let blocks = Overrides { stg_blocks: Some(vec![1, 2]), ..Overrides::default() };
        assert_eq!(guided(blocks.clone()), []);
        assert_eq!(guided(Overrides { stg_scale: Some(0.0), ..blocks }), [("stg_blocks", "none".to_owned())]);
        let text = Overrides { negative_prompt: Some("blurry".into()), ..Overrides::default() };
        assert_eq!(guided(text.clone()), []);
        assert_eq!(guided(Overrides { cfg_scale: Some(1.0), ..text }), [("negative_prompt", "\"\"".to_owned())]);
        let rescale = Overrides { rescale_scale: Some(0.5), cfg_scale: Some(1.0), ..Overrides::default() };
        assert_eq!(guided(rescale.clone()), [], "there is still STG");
        assert_eq!(guided(Overrides { stg_scale: Some(0.0), ..rescale }), [("guidance_rescale", "0".to_owned())]);
        // A scale of the model's own counts like one that is said.
        let plain = Guidance { cfg_scale: 1.0, stg_scale: 0.0, rescale_scale: 0.7, stg_blocks: vec![28] };
        let model = Defaults { guidance: plain, ..Defaults::official(Schedule::Guided) };
        let said = Overrides { negative_prompt: Some("x".into()), ..Overrides::default() };
        assert_eq!(model.fill(said, String::new(), vec![]).faults.len(), 1);
        assert!(model.fill(Overrides::default(), String::new(), vec![]).faults.is_empty());
    }

    #[test]
    fn a_flow_that_changes_guidance_reads_none_of_it() {
        let beside = |said| refused(Schedule::Guided, Overrides { flow: Some(Flow::MultiScale), ..said });
        assert_eq!(beside(Overrides::default()), []);
        let guidance = Overrides {
            cfg_scale: Some(1.0),
            stg_scale: Some(0.0),
            rescale_scale: Some(0.7),
            stg_blocks: Some(vec![28]),
            ..Overrides::default()
        };
        let fields: Vec<_> = beside(guidance).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["guidance_scale", "stg_scale", "guidance_rescale", "stg_blocks"]);
        let steps = |steps, sigmas| beside(Overrides { steps: Some(steps), sigmas, ..Overrides::default() });
        assert_eq!(steps(30, None), [("steps", "27".to_owned())]);
        assert_eq!((steps(27, None), steps(2, Some(vec![1.0, 0.99, 0.0]))), (vec![], vec![]));
        let negative = |sigmas| beside(Overrides { negative_prompt: Some("x".into()), sigmas, ..Overrides::default() });
        assert_eq!((negative(None), negative(Some(vec![0.9, 0.0])).len()), (vec![], 1));
    }

    #[test]
    fn steps_agree_with_sigmas_and_refining_needs_a_second_stage() {
        for schedule in [Schedule::Distilled, Schedule::Guided] {
            let own = |steps| Overrides { steps, sigmas: Some(vec![1.0, 0.5, 0.0]), ..Overrides::default() };
            assert_eq!(refused(schedule, own(None)), []);
            assert_eq!(refused(schedule, own(Some(2))), []);
            assert_eq!(refused(schedule, own(Some(8))), [("steps", "2".to_owned())]);
            for sigmas in [vec![], vec![0.0], vec![0.5; 1002]] {
                let said = Overrides { steps: Some(8), sigmas: Some(sigmas), ..Overrides::default() };
                assert_eq!(refused(schedule, said), [("steps", String::new())], "no number of steps is legal");
            }
            let refine = Overrides { refine_sigmas: Some(vec![0.5, 0.0]), ..Overrides::default() };
            assert_eq!(refused(schedule, refine.clone()), [("refine_sigmas", "none".to_owned())]);
            assert_eq!(refused(schedule, Overrides { stages: Some(Stages::Two), ..refine }), []);
        }
    }

    #[test]
    fn a_second_strength_needs_a_second_stage() {
        let lora = |strength, stage_2_strength| Overrides {
            loras: vec![LoraUse { name: "camera".into(), strength, stage_2_strength }],
            ..Overrides::default()
        };
        let distilled = |said| refused(Schedule::Distilled, said);
        assert_eq!(distilled(lora(Some(0.5), Some(1.0))), [("loras", "camera=0.5".to_owned())]);
        assert_eq!(distilled(lora(None, Some(1.0))), [("loras", "camera".to_owned())]);
        assert_eq!(distilled(lora(Some(0.5), Some(0.5))), [], "says what happens anyway");
        assert_eq!(distilled(Overrides { stages: Some(Stages::Two), ..lora(Some(0.5), Some(1.0)) }), []);
    }
}
