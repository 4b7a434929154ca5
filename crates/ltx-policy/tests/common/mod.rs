//! A request and a node that the tests vary.
//!
//! Must not know what is tested.
#![allow(dead_code)]

use ltx_policy::{Ask, KnownModel, ModelNames, PolicyConfig, Reason, Refusal, admit};
use ltx_types::{
    ConditioningMode, GenerationDraft, Guidance, ImageCondition, ImageSource, Schedule, Seed, Stages, Strength,
};

/// Seventeen frames with images at the given ones. The prompt names everything that is excluded.
pub(crate) fn draft(frames_of_images: &[usize]) -> GenerationDraft {
    let image = |&frame_index: &usize| ImageCondition {
        source: ImageSource::Path("image.png".into()),
        frame_index,
        strength: Strength::FULL,
    };
    GenerationDraft {
        prompt: "Use Seedance or Kling; sound effects, music; edit the hat in this video; Agent 2.0, no credits".into(),
        negative_prompt: String::new(),
        images: frames_of_images.iter().map(image).collect(),
        conditioning: ConditioningMode::ReplaceFirst,
        width: 64,
        height: 64,
        frames: 17,
        fps: 24.0,
        seed: Seed(1),
        schedule: Schedule::Distilled,
        steps: 8,
        stages: Stages::One,
        guidance: Guidance { cfg_scale: 3.0, stg_scale: 1.0, rescale_scale: 0.7, stg_blocks: vec![1] },
        image_crf: 33,
    }
}

/// Knows dev and distilled, has loaded distilled, and its operator excludes Hailuo too.
pub(crate) fn node() -> PolicyConfig {
    let known = |name: &str, aliases: &[&str]| KnownModel {
        name: name.into(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
    };
    let distilled = ["ltx", "LTX 2.3", "Carat Video", "Carat Basic Video", "Use Carat Basic Video (LTX 2.3)"];
    let known = vec![known("ltx-2.3-dev", &["LTX dev"]), known("ltx-2.3-distilled", &distilled)];
    PolicyConfig::new(ModelNames::new(known, ["Hailuo".to_owned()])).with_loaded(["ltx-2.3-distilled".to_owned()])
}

pub(crate) fn naming(model: &str) -> Ask {
    Ask { model: Some(model.to_owned()), ..Ask::default() }
}

/// The reasons of a refusal; none when it is unlimited.
pub(crate) fn reasons(images: &[usize], ask: &Ask) -> Vec<Reason> {
    match admit(ask, draft(images), &node()) {
        Ok(_) => vec![],
        Err(refusal) => listed(&refusal),
    }
}

pub(crate) fn listed(refusal: &Refusal) -> Vec<Reason> {
    refusal.grounds().map(|ground| ground.reason).collect()
}

/// The remedy of the one reason that holds.
pub(crate) fn remedy(images: &[usize], ask: &Ask) -> String {
    let refusal = admit(ask, draft(images), &node()).unwrap_err();
    assert_eq!(refusal.grounds().count(), 1, "{refusal}");
    refusal.grounds().map(|ground| ground.remedy.clone()).collect()
}
